import protobuf from "protobufjs/minimal.js";
import { FormatError } from "../../errors.ts";
import type { FieldSpec, Message, Scalar, Schema } from "./message.ts";

/** Protobuf's own default in C++, Java and Go; deeper input is an attack on the stack, not a model. */
export const MAX_MESSAGE_DEPTH = 100;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

const WIRE_TYPE: Record<Scalar | "message", number> = {
  string: BYTES,
  bytes: BYTES,
  message: BYTES,
  int32: VARINT,
  int64: VARINT,
  float: FIXED32,
};
const ELEMENT_WIRE_TYPE = { varint: VARINT, fixed32: FIXED32, fixed64: FIXED64 };

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes one message. Byte fields are views into `bytes`. Fields the schema does not know are kept. A field given twice is
 * merged as protobuf says: the last scalar wins, messages merge, lists append.
 * @throws FormatError `E_PROTOBUF` with the path of the field and its offset.
 */
export function readMessage<T extends Message>(schema: Schema<T>, bytes: Uint8Array): T {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new Decoder(plain);
  return decoder.message(schema as Schema<Message>, bytes.length, {}, "") as T;
}

class Decoder {
  readonly #reader: protobuf.Reader;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#reader = new protobuf.Reader(bytes);
  }

  message(schema: Schema<Message>, end: number, into: Message, path: string): Message {
    const reader = this.#reader;
    if (++this.#depth > MAX_MESSAGE_DEPTH) {
      throw this.#error(path, `messages are nested deeper than ${MAX_MESSAGE_DEPTH}`);
    }
    const message = into as Record<string, unknown>;
    const chunks = new Map<string, Uint8Array[]>();
    while (reader.pos < end) {
      const start = reader.pos;
      const tag = this.#guard(path, () => reader.uint32());
      const number = tag >>> 3;
      const wireType = tag & 7;
      if (number === 0) throw this.#error(path, "a field has number 0", start);
      const known = schema.byNumber.get(number);
      if (known === undefined) {
        this.#skip(wireType, number, end, `${path || schema.name} field ${number}`, start);
        into.unknown ??= [];
        into.unknown.push({ number, bytes: reader.raw(start, reader.pos) });
        continue;
      }
      const [key, spec] = known;
      const at = path === "" ? key : `${path}.${key}`;
      if (spec.kind === "packed") {
        const list = chunks.get(key) ?? [];
        list.push(this.#packedChunk(spec, wireType, end, at, start));
        chunks.set(key, list);
      } else if (spec.repeated) {
        this.#repeated(message, key, spec, spec.kind, wireType, end, at, start);
      } else {
        this.#expect(wireType, WIRE_TYPE[spec.kind], at, start);
        if (spec.oneof !== undefined) clearOthers(schema, message, key, spec.oneof);
        message[key] =
          spec.kind === "message"
            ? this.#child(spec, (message[key] as Message | undefined) ?? {}, end, at)
            : this.#scalar(spec.kind, end, at);
      }
    }
    for (const [key, list] of chunks) message[key] = join(list);
    this.#depth--;
    return into;
  }

  #repeated(
    message: Record<string, unknown>,
    key: string,
    spec: FieldSpec,
    kind: Scalar | "message",
    wireType: number,
    end: number,
    path: string,
    start: number,
  ): void {
    message[key] ??= [];
    const list = message[key] as unknown[];
    const at = `${path}[${list.length}]`;
    if (wireType === BYTES && WIRE_TYPE[kind] !== BYTES) {
      const stop = this.#length(end, path);
      while (this.#reader.pos < stop) list.push(this.#scalar(kind as Scalar, stop, `${path}[${list.length}]`));
      return;
    }
    this.#expect(wireType, WIRE_TYPE[kind], at, start);
    list.push(kind === "message" ? this.#child(spec, {}, end, at) : this.#scalar(kind, end, at));
  }

  #child(spec: FieldSpec, into: Message, end: number, path: string): Message {
    const stop = this.#length(end, path);
    if (spec.schema === undefined) throw new TypeError(`The schema of ${path} is missing`);
    return this.message(spec.schema(), stop, into, path);
  }

  #scalar(kind: Scalar, end: number, path: string): unknown {
    const reader = this.#reader;
    switch (kind) {
      case "int32":
        return this.#within(end, path, () => reader.int32());
      case "int64":
        return this.#within(end, path, () => toBigInt(reader.int64()));
      case "float":
        return this.#within(end, path, () => reader.float());
      case "bytes": {
        const stop = this.#length(end, path);
        const view = reader.raw(reader.pos, stop);
        reader.pos = stop;
        return view;
      }
      case "string": {
        const stop = this.#length(end, path);
        const offset = reader.pos;
        reader.pos = stop;
        try {
          return text.decode(reader.raw(offset, stop));
        } catch (cause) {
          throw this.#error(path, "the text is not valid UTF-8", offset, cause);
        }
      }
    }
  }

  #packedChunk(spec: FieldSpec, wireType: number, end: number, path: string, start: number): Uint8Array {
    const reader = this.#reader;
    const element = spec.element ?? "varint";
    if (wireType !== BYTES) {
      this.#expect(wireType, ELEMENT_WIRE_TYPE[element], path, start);
      const offset = reader.pos;
      this.#skip(wireType, spec.number, end, path, start);
      return reader.raw(offset, reader.pos);
    }
    const stop = this.#length(end, path);
    const payload = reader.raw(reader.pos, stop);
    const size = element === "fixed32" ? 4 : element === "fixed64" ? 8 : 1;
    if (payload.length % size !== 0) {
      throw this.#error(path, `${payload.length} bytes are not a whole number of ${size}-byte elements`);
    }
    if (element === "varint" && payload.length > 0 && (payload[payload.length - 1] ?? 0) >= 0x80) {
      throw this.#error(path, "the last varint is truncated");
    }
    reader.pos = stop;
    return payload;
  }

  /** Reads a length prefix and returns where its payload ends. */
  #length(end: number, path: string): number {
    const reader = this.#reader;
    const length = this.#within(end, path, () => Number(toBigInt(reader.uint64(), true)));
    if (length > end - reader.pos) {
      throw this.#error(path, `${length} bytes declared, ${end - reader.pos} left`);
    }
    return reader.pos + length;
  }

  #skip(wireType: number, number: number, end: number, path: string, start: number): void {
    const reader = this.#reader;
    switch (wireType) {
      case VARINT:
        this.#within(end, path, () => reader.uint64());
        return;
      case FIXED64:
        this.#within(end, path, () => reader.skip(8));
        return;
      case BYTES:
        reader.pos = this.#length(end, path);
        return;
      case FIXED32:
        this.#within(end, path, () => reader.skip(4));
        return;
      case START_GROUP:
        this.#skipGroup(number, end, path, start);
        return;
      default:
        throw this.#error(path, `wire type ${wireType} does not exist`, start);
    }
  }

  #skipGroup(number: number, end: number, path: string, start: number): void {
    if (++this.#depth > MAX_MESSAGE_DEPTH) {
      throw this.#error(path, `groups are nested deeper than ${MAX_MESSAGE_DEPTH}`, start);
    }
    while (this.#reader.pos < end) {
      const at = this.#reader.pos;
      const tag = this.#within(end, path, () => this.#reader.uint32());
      if ((tag & 7) === END_GROUP) {
        if (tag >>> 3 !== number) throw this.#error(path, `group ${number} is closed as ${tag >>> 3}`, at);
        this.#depth--;
        return;
      }
      if (tag >>> 3 === 0) throw this.#error(path, "a field has number 0", at);
      this.#skip(tag & 7, tag >>> 3, end, path, at);
    }
    throw this.#error(path, `group ${number} is never closed`, start);
  }

  #expect(actual: number, expected: number, path: string, start: number): void {
    if (actual !== expected) {
      throw this.#error(path, `wire type ${actual} where ${expected} is expected`, start);
    }
  }

  #within<T>(end: number, path: string, read: () => T): T {
    const value = this.#guard(path, read);
    if (this.#reader.pos > end) throw this.#error(path, "the field runs past the end of its message");
    return value;
  }

  #guard<T>(path: string, read: () => T): T {
    const offset = this.#reader.pos;
    try {
      return read();
    } catch (cause) {
      const reason = cause instanceof RangeError ? "the data end in the middle of it" : "it is not a valid varint";
      throw this.#error(path, reason, offset, cause);
    }
  }

  #error(path: string, reason: string, offset = this.#reader.pos, cause?: unknown): FormatError {
    const field = path === "" ? "model" : path;
    return new FormatError("E_PROTOBUF", `${field}: ${reason} (offset ${offset})`, {
      field,
      hint: "The file is damaged or is not an ONNX model; export or download it again.",
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

function clearOthers(schema: Schema<Message>, message: Record<string, unknown>, key: string, oneof: string): void {
  for (const [other, spec] of schema.ordered) {
    if (spec.oneof === oneof && other !== key) delete message[other];
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first;
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    joined.set(chunk, offset);
    offset += chunk.length;
  }
  return joined;
}

type LongBits = { readonly low: number; readonly high: number };

/** protobufjs hands out 64-bit integers as two halves. */
export function toBigInt(value: LongBits | number, unsigned = false): bigint {
  if (typeof value === "number") return BigInt(value);
  const low = BigInt(value.low >>> 0);
  if (value.high === 0) return low;
  const bits = (BigInt(value.high >>> 0) << 32n) | low;
  return unsigned ? bits : BigInt.asIntN(64, bits);
}
