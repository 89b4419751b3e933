import protobuf from "protobufjs/minimal.js";
import type { FieldSpec, Message, Schema } from "./message.ts";

/** Byte fields from this size on are passed through as views instead of being copied into the output. */
const VIEW_THRESHOLD = 4096;

/** Encoded bytes in order, as pieces: tensor data stay views into wherever they came from. */
export interface Pieces {
  readonly parts: readonly Uint8Array[];
  readonly length: number;
}

/**
 * Encodes one message in protobuf's canonical order: fields ascending by number, unknown ones among them.
 */
export function writeMessage<T extends Message>(schema: Schema<T>, message: T): Pieces {
  const output = new Output();
  const values = message as Record<string, unknown>;
  const unknown = [...(message.unknown ?? [])].sort((a, b) => a.number - b.number);
  let next = 0;
  for (const [key, spec] of schema.ordered) {
    for (let field = unknown[next]; field !== undefined && field.number < spec.number; field = unknown[++next]) {
      output.raw(field.bytes);
    }
    const value = values[key];
    if (value === undefined) continue;
    if (spec.repeated && spec.kind !== "packed") {
      for (const item of value as unknown[]) writeField(output, spec, item);
    } else {
      writeField(output, spec, value);
    }
  }
  for (const field of unknown.slice(next)) output.raw(field.bytes);
  return output.finish();
}

function writeField(output: Output, spec: FieldSpec, value: unknown): void {
  switch (spec.kind) {
    case "int32":
      output.tag(spec.number, 0).int32(value as number);
      return;
    case "int64":
      output.tag(spec.number, 0).int64(toLong(value as bigint));
      return;
    case "float":
      output.tag(spec.number, 5).float(value as number);
      return;
    case "string":
      output.tag(spec.number, 2).string(value as string);
      return;
    case "bytes":
    case "packed":
      output.delimited(spec.number, { parts: [value as Uint8Array], length: (value as Uint8Array).length });
      return;
    case "message":
      if (spec.schema === undefined) throw new TypeError(`Field ${spec.number} has no schema`);
      output.delimited(spec.number, writeMessage(spec.schema(), value as Message));
  }
}

class Output {
  #writer = protobuf.Writer.create();
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  tag(number: number, wireType: number): protobuf.Writer {
    return this.#writer.uint32((number << 3) | wireType);
  }

  delimited(number: number, pieces: Pieces): void {
    this.tag(number, 2).uint32(pieces.length);
    for (const part of pieces.parts) this.raw(part);
  }

  raw(bytes: Uint8Array): void {
    if (bytes.length < VIEW_THRESHOLD) {
      this.#writer.raw(bytes);
      return;
    }
    this.#flush();
    this.#append(bytes);
  }

  finish(): Pieces {
    this.#flush();
    return { parts: this.#parts, length: this.#length };
  }

  #flush(): void {
    if (this.#writer.len === 0) return;
    this.#append(this.#writer.finish());
    this.#writer = protobuf.Writer.create();
  }

  #append(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

function toLong(value: bigint): protobuf.Long {
  const bits = BigInt.asUintN(64, value);
  return { low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0, unsigned: false } as protobuf.Long;
}
