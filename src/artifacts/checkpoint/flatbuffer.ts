import { FormatError } from "../../errors.ts";
import { mistaken } from "../../graph/sniff.ts";

/** No honest checkpoint needs more reads than this many per byte; a crafted one with shared tables could need any number. */
const READS_PER_BYTE = 4;

/**
 * Reads FlatBuffers with every offset and length checked before use. The JavaScript runtime of FlatBuffers has no verifier:
 * reads outside the buffer return 0 there, without an error.
 */
export class FlatBuffer {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #budget: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#budget = 1024 + bytes.length * READS_PER_BYTE;
  }

  root(identifier: string): Table {
    const other = mistaken(this.#bytes);
    if (other !== null) throw new FormatError("E_CHECKPOINT", `this is ${other.what}`, { hint: other.hint });
    if (this.#bytes.length < 8) throw damaged(`${this.#bytes.length} bytes are too few`);
    const found = String.fromCharCode(...this.#bytes.subarray(4, 8));
    if (found !== identifier) {
      throw new FormatError("E_CHECKPOINT", `the identifier is ${JSON.stringify(found)}, not "${identifier}"`, {
        hint: "This is not a checkpoint of ONNX Runtime's training API.",
      });
    }
    return new Table(this, this.offset(0, "root"), "checkpoint");
  }

  /** Follows the unsigned offset at `at`. */
  offset(at: number, what: string): number {
    return at + this.uint32(at, what);
  }

  uint32(at: number, what: string): number {
    this.need(at, 4, what);
    return this.#view.getUint32(at, true);
  }

  int32(at: number, what: string): number {
    this.need(at, 4, what);
    return this.#view.getInt32(at, true);
  }

  uint16(at: number, what: string): number {
    this.need(at, 2, what);
    return this.#view.getUint16(at, true);
  }

  int64(at: number, what: string): bigint {
    this.need(at, 8, what);
    return this.#view.getBigInt64(at, true);
  }

  float(at: number, what: string): number {
    this.need(at, 4, what);
    return this.#view.getFloat32(at, true);
  }

  bytes(at: number, length: number, what: string): Uint8Array {
    this.need(at, length, what);
    return this.#bytes.subarray(at, at + length);
  }

  need(at: number, length: number, what: string): void {
    if (--this.#budget < 0) throw damaged(`${what}: tables refer to each other without end`);
    if (at < 0 || length < 0 || at + length > this.#bytes.length) {
      throw damaged(`${what}: bytes ${at} to ${at + length} are asked for, the file has ${this.#bytes.length}`);
    }
  }
}

export function damaged(reason: string): FormatError {
  return new FormatError("E_CHECKPOINT", `the checkpoint is damaged: ${reason}`, {
    hint: "Use another copy, or make the artifacts again.",
  });
}

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One table: fields by their declaration order. An absent field gives its default. */
export class Table {
  readonly #buffer: FlatBuffer;
  readonly #at: number;
  readonly #vtable: number;
  readonly #vtableSize: number;
  readonly path: string;

  constructor(buffer: FlatBuffer, at: number, path: string) {
    this.#buffer = buffer;
    this.#at = at;
    this.path = path;
    this.#vtable = at - buffer.int32(at, path);
    this.#vtableSize = buffer.uint16(this.#vtable, `${path} vtable`);
    buffer.need(this.#vtable, this.#vtableSize, `${path} vtable`);
  }

  int32(field: number, name: string): number {
    const at = this.#field(field);
    return at === null ? 0 : this.#buffer.int32(at, this.#name(name));
  }

  int64(field: number, name: string, otherwise = 0n): bigint {
    const at = this.#field(field);
    return at === null ? otherwise : this.#buffer.int64(at, this.#name(name));
  }

  float(field: number, name: string): number {
    const at = this.#field(field);
    return at === null ? 0 : this.#buffer.float(at, this.#name(name));
  }

  bool(field: number, name: string): boolean {
    const at = this.#field(field);
    return at !== null && this.#buffer.bytes(at, 1, this.#name(name))[0] !== 0;
  }

  string(field: number, name: string): string {
    const vector = this.#vector(field, name, 1);
    if (vector === null) return "";
    const { at, length } = vector;
    const bytes = this.#buffer.bytes(at, length, this.#name(name));
    if (this.#buffer.bytes(at + length, 1, this.#name(name))[0] !== 0)
      throw damaged(`${this.#name(name)} is not terminated`);
    try {
      return text.decode(bytes);
    } catch {
      throw damaged(`${this.#name(name)} is not valid UTF-8`);
    }
  }

  bytes(field: number, name: string): Uint8Array | null {
    const vector = this.#vector(field, name, 1);
    return vector === null ? null : this.#buffer.bytes(vector.at, vector.length, this.#name(name));
  }

  int64s(field: number, name: string): bigint[] {
    const vector = this.#vector(field, name, 8);
    if (vector === null) return [];
    return Array.from({ length: vector.length }, (_, index) =>
      this.#buffer.int64(vector.at + 8 * index, this.#name(name)),
    );
  }

  table(field: number, name: string): Table | null {
    const at = this.#field(field);
    return at === null ? null : new Table(this.#buffer, this.#buffer.offset(at, this.#name(name)), this.#name(name));
  }

  /** A vector of tables; null where the field is absent. */
  tables(field: number, name: string): Table[] | null {
    const vector = this.#vector(field, name, 4);
    if (vector === null) return null;
    return Array.from({ length: vector.length }, (_, index) => {
      const path = `${this.#name(name)}[${index}]`;
      return new Table(this.#buffer, this.#buffer.offset(vector.at + 4 * index, path), path);
    });
  }

  #vector(field: number, name: string, width: number): { readonly at: number; readonly length: number } | null {
    const at = this.#field(field);
    if (at === null) return null;
    const start = this.#buffer.offset(at, this.#name(name));
    const length = this.#buffer.uint32(start, this.#name(name));
    this.#buffer.need(start + 4, length * width, this.#name(name));
    return { at: start + 4, length };
  }

  #field(index: number): number | null {
    const slot = 4 + 2 * index;
    if (slot + 2 > this.#vtableSize) return null;
    const offset = this.#buffer.uint16(this.#vtable + slot, `${this.path} vtable`);
    return offset === 0 ? null : this.#at + offset;
  }

  #name(field: string): string {
    return `${this.path}.${field}`;
  }
}
