/** What is used of WebAssembly's binary format. https://webassembly.github.io/spec/core/binary */
export type Bytes = readonly number[];

/** Types of values. */
export const I32 = 0x7f;
export const V128 = 0x7b;

const FUNCTION_TYPE = 0x60;
const SIMD = 0xfd;
/** A shared memory says how many pages it has at most. */
const SHARED_MEMORY = 0x03;
const KINDS = { function: 0x00, memory: 0x02 };
const SECTIONS = { type: 1, import: 2, function: 3, export: 7, code: 10 };
const HEADER: Bytes = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A whole number from 0 on, seven bits a byte (LEB128). */
export function unsigned(value: number): Bytes {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}

/** An instruction on vectors of 128 bits. */
export const simd = (code: number): Bytes => [SIMD, ...unsigned(code)];

/** Four numbers of float32 that are all the same. */
export function constantV128(value: number): Bytes {
  const four = new DataView(new ArrayBuffer(16));
  for (let at = 0; at < 16; at += 4) four.setFloat32(at, value, true);
  return [...simd(0x0c), ...new Uint8Array(four.buffer)];
}

/** Reads four numbers, or one number four times, at an address on the stack. */
export const LOAD_V128: Bytes = [...simd(0x00), 4, 0];
export const LOAD_SPLAT: Bytes = [...simd(0x09), 2, 0];
/** Writes four numbers. */
export const STORE_V128: Bytes = [...simd(0x0b), 4, 0];

export const localGet = (index: number): Bytes => [0x20, ...unsigned(index)];
export const localSet = (index: number): Bytes => [0x21, ...unsigned(index)];
export const localTee = (index: number): Bytes => [0x22, ...unsigned(index)];
export const ADD_I32: Bytes = [0x6a];
export const LESS_I32: Bytes = [0x49];
/** A number from 0 to 63. */
export const smallI32 = (value: number): Bytes => [0x41, value];

/** Runs the instructions again as long as they leave a number other than 0. */
export const loop = (body: Bytes): Bytes => [0x03, 0x40, ...body, 0x0d, 0, 0x0b];

/** A function that takes numbers of 32 bits and gives nothing. */
export interface WasmFunction {
  readonly parameters: number;
  /** Vectors beside the parameters, numbered after them. */
  readonly vectors: number;
  readonly body: Bytes;
}

const list = (items: readonly Bytes[]): Bytes => [...unsigned(items.length), ...items.flat()];
const sized = (bytes: Bytes): Bytes => [...unsigned(bytes.length), ...bytes];
const section = (id: number, items: readonly Bytes[]): Bytes => [id, ...sized(list(items))];
const text = (value: string): Bytes => sized([...new TextEncoder().encode(value)]);

/** A module whose functions, exported as "0", "1", ..., work on the shared memory `env.memory` of so many pages at most. */
export function encodeModule(functions: readonly WasmFunction[], mostPages: number): Uint8Array<ArrayBuffer> {
  const typeOf = ({ parameters }: WasmFunction): Bytes => [
    ...[FUNCTION_TYPE, ...list(Array.from({ length: parameters }, () => [I32]))],
    ...list([]),
  ];
  const codeOf = ({ vectors, body }: WasmFunction): Bytes =>
    sized([...list([[...unsigned(vectors), V128]]), ...body, 0x0b]);
  const memory = [...text("env"), ...text("memory"), KINDS.memory, SHARED_MEMORY, 1, ...unsigned(mostPages)];
  return Uint8Array.from([
    ...HEADER,
    ...section(SECTIONS.type, functions.map(typeOf)),
    ...section(SECTIONS.import, [memory]),
    ...section(
      SECTIONS.function,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(
      SECTIONS.export,
      functions.map((_, index) => [...text(String(index)), KINDS.function, ...unsigned(index)]),
    ),
    ...section(SECTIONS.code, functions.map(codeOf)),
  ]);
}
