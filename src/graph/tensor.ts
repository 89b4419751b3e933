import protobuf from "protobufjs/minimal.js";
import { instanceOf, type Kind, listOf, NUMBER, requireArgument } from "../arguments.ts";
import { FormatError } from "../errors.ts";
import { DataType, dataTypeName, layoutOf, type TypedArray } from "./data-type.ts";
import { toBigInt } from "./proto/read.ts";

/** Where tensor data lie in another file, as the model says it; nothing is read until asked for. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  /** Bytes; null where the model leaves it to the tensor's shape and type. */
  readonly length: number | null;
  readonly checksum: string | null;
}

/** The elements, in the form the file has them. Byte arrays are views into the model's bytes. */
export type TensorData =
  | { readonly kind: "raw"; readonly bytes: Uint8Array }
  | { readonly kind: "packed"; readonly field: PackedField; readonly bytes: Uint8Array }
  | { readonly kind: "strings"; readonly values: readonly Uint8Array[] }
  | { readonly kind: "external"; readonly at: ExternalData };

export type PackedField = "floatData" | "doubleData" | "int32Data" | "int64Data" | "uint64Data";

/** Code of the error for sizes that are none. */
export const NO_SIZE = "E_SHAPE";

const DIMS = listOf(NUMBER, "a list of sizes");
const TYPED_ARRAY: Kind = {
  what: "a typed array",
  holds: (given) => ArrayBuffer.isView(given) && !(given instanceof DataView),
};

/** An immutable dense tensor, row-major. */
export class Tensor {
  readonly dtype: number;
  readonly dims: readonly number[];
  readonly data: TensorData;

  constructor(dtype: number, dims: readonly number[], data: TensorData) {
    this.dtype = dtype;
    this.dims = dims;
    this.data = data;
  }

  /** @param values one entry per element, little-endian in memory as everywhere Node runs. */
  static from(dtype: number, dims: readonly number[], values: TypedArray): Tensor {
    requireArgument("dtype", dtype, NUMBER);
    requireArgument("dims", dims, DIMS);
    requireArgument("values", values, TYPED_ARRAY);
    const tensor = new Tensor(dtype, dims, {
      kind: "raw",
      bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
    if (values.length !== tensor.size) {
      throw new FormatError("E_TENSOR", `${values.length} values do not fill the shape [${dims.join(",")}]`);
    }
    return tensor;
  }

  static floats(dims: readonly number[], values: readonly number[]): Tensor {
    return Tensor.from(DataType.float, dims, Float32Array.from(values));
  }

  /** @throws FormatError `E_SHAPE` for what is no whole number */
  static ints(values: readonly number[]): Tensor {
    const wrong = values.find((value) => !Number.isSafeInteger(value));
    if (wrong !== undefined) throw new FormatError(NO_SIZE, `${wrong} is no size`);
    return Tensor.from(DataType.int64, [values.length], BigInt64Array.from(values, BigInt));
  }

  static scalar(
    dtype: typeof DataType.float | typeof DataType.double | typeof DataType.int32 | typeof DataType.int64,
    value: number,
  ): Tensor {
    const arrays = {
      [DataType.float]: () => Float32Array.of(value),
      [DataType.double]: () => Float64Array.of(value),
      [DataType.int32]: () => Int32Array.of(value),
      [DataType.int64]: () => BigInt64Array.of(BigInt(value)),
    };
    return Tensor.from(dtype, [], arrays[dtype]());
  }

  /** Number of elements. */
  get size(): number {
    return this.dims.reduce((product, dim) => product * dim, 1);
  }

  /** Bytes the elements take in `raw_data`; null for strings and unknown types. */
  get byteLength(): number | null {
    const bits = layoutOf(this.dtype)?.bits ?? 0;
    return bits === 0 ? null : Math.ceil((this.size * bits) / 8);
  }

  /**
   * The elements, one per entry: a view where the bytes are aligned, a copy otherwise. float16 and bfloat16 come as their
   * bit patterns in a Uint16Array, bool as 0 and 1.
   * @throws FormatError `E_TENSOR` for external data (read them first) and for types without one entry per element.
   */
  values(): TypedArray {
    const ArrayType = layoutOf(this.dtype)?.array;
    if (ArrayType === undefined) {
      throw new FormatError("E_TENSOR", `Elements of type ${dataTypeName(this.dtype)} have no typed array`);
    }
    if (this.data.kind === "external") {
      throw new FormatError("E_TENSOR", `The data are in "${this.data.at.location}" and have not been read`);
    }
    const bytes = this.data.kind === "packed" ? unpack(this.dtype, this.data) : this.rawBytes();
    const aligned = bytes.byteOffset % ArrayType.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
    return new ArrayType(aligned.buffer, aligned.byteOffset, this.size);
  }

  /** The elements of a float32 tensor, as `values` gives them. @throws FormatError `E_TENSOR` for other types too */
  floatValues(): Float32Array {
    const values = this.values();
    if (values instanceof Float32Array) return values;
    throw new FormatError("E_TENSOR", `The elements are ${dataTypeName(this.dtype)}, where float32 is needed`);
  }

  /** Those of a float32 or float64 tensor. @throws FormatError `E_TENSOR` for other types too */
  realValues(): Float32Array | Float64Array {
    const values = this.values();
    return values instanceof Float64Array ? values : this.floatValues();
  }

  /**
   * The same tensor with its elements in `raw_data`, where they are in a typed field of the file; else this one.
   * @throws FormatError as `values`
   */
  repacked(): Tensor {
    return this.data.kind === "packed" ? Tensor.from(this.dtype, this.dims, this.values()) : this;
  }

  private rawBytes(): Uint8Array {
    if (this.data.kind !== "raw") throw new FormatError("E_TENSOR", "The tensor holds no bytes");
    if (this.data.bytes.length !== this.byteLength) {
      throw new FormatError(
        "E_TENSOR",
        `${this.data.bytes.length} bytes do not fill the shape [${this.dims.join(",")}]`,
      );
    }
    return this.data.bytes;
  }
}

export const A_TENSOR: Kind = instanceOf(Tensor, "a tensor of the class GraphTensor");

/** Turns the payload of a typed field into the bytes `raw_data` would hold. */
function unpack(dtype: number, data: { readonly field: PackedField; readonly bytes: Uint8Array }): Uint8Array {
  if (data.field === "floatData" || data.field === "doubleData") return data.bytes;
  const width = (layoutOf(dtype)?.bits ?? 8) / 8;
  const reader = new protobuf.Reader(data.bytes);
  const output: bigint[] = [];
  while (reader.pos < reader.len) output.push(toBigInt(reader.int64()));
  const bytes = new Uint8Array(output.length * width);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of output.entries()) {
    if (width === 8) view.setBigInt64(index * 8, value, true);
    else if (width === 4) view.setInt32(index * 4, Number(BigInt.asIntN(32, value)), true);
    else if (width === 2) view.setInt16(index * 2, Number(BigInt.asIntN(16, value)), true);
    else view.setInt8(index, Number(BigInt.asIntN(8, value)));
  }
  return bytes;
}

/** How many elements the tensor's typed field holds; a varint ends with each byte below 0x80. */
export function packedCount(data: { readonly field: PackedField; readonly bytes: Uint8Array }): number {
  if (data.field === "floatData") return data.bytes.length / 4;
  if (data.field === "doubleData") return data.bytes.length / 8;
  let count = 0;
  for (const byte of data.bytes) if (byte < 0x80) count++;
  return count;
}
