import { NUMBER, requireArgument } from "../arguments.ts";
/** Element types, numbered as `onnx.TensorProto.DataType`. */
export const DataType = {
  undefined: 0,
  float: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  double: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const;

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

interface Layout {
  /** Bits of one element in `raw_data`; 0 where elements have no fixed size. */
  readonly bits: number;
  /** The typed array one element per entry fits; sub-byte and string types have none. */
  readonly array?: {
    readonly BYTES_PER_ELEMENT: number;
    new (buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray;
  };
  /** The typed field of TensorProto that may hold the elements instead of `raw_data`, and how many entries an element takes. */
  readonly field: "floatData" | "doubleData" | "int32Data" | "int64Data" | "uint64Data" | "stringData";
  readonly entries?: number;
}

const LAYOUTS = new Map<number, Layout>([
  [DataType.float, { bits: 32, array: Float32Array, field: "floatData" }],
  [DataType.uint8, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.int8, { bits: 8, array: Int8Array, field: "int32Data" }],
  [DataType.uint16, { bits: 16, array: Uint16Array, field: "int32Data" }],
  [DataType.int16, { bits: 16, array: Int16Array, field: "int32Data" }],
  [DataType.int32, { bits: 32, array: Int32Array, field: "int32Data" }],
  [DataType.int64, { bits: 64, array: BigInt64Array, field: "int64Data" }],
  [DataType.string, { bits: 0, field: "stringData" }],
  [DataType.bool, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.float16, { bits: 16, array: Uint16Array, field: "int32Data" }],
  [DataType.double, { bits: 64, array: Float64Array, field: "doubleData" }],
  [DataType.uint32, { bits: 32, array: Uint32Array, field: "uint64Data" }],
  [DataType.uint64, { bits: 64, array: BigUint64Array, field: "uint64Data" }],
  [DataType.complex64, { bits: 64, field: "floatData", entries: 2 }],
  [DataType.complex128, { bits: 128, field: "doubleData", entries: 2 }],
  [DataType.bfloat16, { bits: 16, array: Uint16Array, field: "int32Data" }],
  [DataType.float8e4m3fn, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.float8e4m3fnuz, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.float8e5m2, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.float8e5m2fnuz, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.uint4, { bits: 4, field: "int32Data" }],
  [DataType.int4, { bits: 4, field: "int32Data" }],
  [DataType.float4e2m1, { bits: 4, field: "int32Data" }],
  [DataType.float8e8m0, { bits: 8, array: Uint8Array, field: "int32Data" }],
  [DataType.uint2, { bits: 2, field: "int32Data" }],
  [DataType.int2, { bits: 2, field: "int32Data" }],
]);

const NAMES = new Map<number, string>(Object.entries(DataType).map(([name, code]) => [code, name]));

/** `float`, `int64`, ...; `unknown(99)` for a code this version does not know. */
export function dataTypeName(code: number): string {
  requireArgument("code", code, NUMBER);
  return NAMES.get(code) ?? `unknown(${code})`;
}

export function layoutOf(code: number): Layout | undefined {
  return LAYOUTS.get(code);
}

/** Floating point with a sign and at least 16 bits: what a gradient may be made of. */
export function isGradientType(code: number): boolean {
  return code === DataType.float || code === DataType.float16 || code === DataType.bfloat16 || code === DataType.double;
}
