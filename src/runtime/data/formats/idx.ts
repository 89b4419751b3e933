import { DataError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import type { DataContent } from "./format.ts";
import { type StoredTensor, stored } from "./stored.ts";

type Read = (view: DataView, at: number) => number;

interface Element {
  readonly dtype: number;
  readonly bytes: number;
  readonly array: new (size: number) => Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
  readonly read: Read;
}

/** By the third byte of the file; numbers are big-endian. Source: the description on the page of the MNIST database. */
const ELEMENTS = new Map<number, Element>([
  [0x08, { dtype: DataType.uint8, bytes: 1, array: Uint8Array, read: (view, at) => view.getUint8(at) }],
  [0x09, { dtype: DataType.int8, bytes: 1, array: Int8Array, read: (view, at) => view.getInt8(at) }],
  [0x0b, { dtype: DataType.int16, bytes: 2, array: Int16Array, read: (view, at) => view.getInt16(at) }],
  [0x0c, { dtype: DataType.int32, bytes: 4, array: Int32Array, read: (view, at) => view.getInt32(at) }],
  [0x0d, { dtype: DataType.float, bytes: 4, array: Float32Array, read: (view, at) => view.getFloat32(at) }],
  [0x0e, { dtype: DataType.double, bytes: 8, array: Float64Array, read: (view, at) => view.getFloat64(at) }],
]);

/**
 * Decodes an IDX file, as MNIST and its kin come: `images` where it has several axes, `labels` where it has one.
 * @throws DataError `E_IDX`
 */
export function decodeIdx(bytes: Uint8Array): DataContent {
  const { dtype, dims, offset, name } = idxLayout(bytes, bytes.length);
  const element = [...ELEMENTS.values()].find((each) => each.dtype === dtype);
  if (element === undefined) throw new Error(`no elements of type ${dtype}`);
  const tensorOf = (tensor: Tensor): DataContent => ({ tensors: [{ name, tensor }] });
  if (element.bytes === 1) {
    const raw = bytes.slice(offset);
    return tensorOf(Tensor.from(dtype, dims, dtype === DataType.int8 ? new Int8Array(raw.buffer) : raw));
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new element.array(dims.reduce((product, dim) => product * dim, 1));
  for (let index = 0; index < values.length; index++)
    values[index] = element.read(view, offset + index * element.bytes);
  return tensorOf(Tensor.from(dtype, dims, values));
}

/** Where the elements of an IDX file of `size` bytes lie, by its beginning. @throws DataError `E_IDX` */
export function idxLayout(bytes: Uint8Array, size: number): StoredTensor {
  const fail = (reason: string): DataError => new DataError("E_IDX", `this is not a whole IDX file: ${reason}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size < 4) throw fail(`it has ${size} bytes`);
  const [first, second, type = 0, rank = 0] = bytes;
  const element = ELEMENTS.get(type);
  if (first !== 0 || second !== 0 || element === undefined || rank === 0) {
    const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw fail(`it begins with ${magic}, where 00 00, a type and a number of axes are due`);
  }
  const start = 4 + 4 * rank;
  if (size < start) throw fail(`its ${rank} sizes are cut off`);
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const count = dims.reduce((product, dim) => product * dim, 1);
  const due = start + count * element.bytes;
  if (due !== size) throw fail(`[${dims.join(",")}] takes ${due} bytes, it has ${size}`);
  return {
    ...stored(rank === 1 ? "labels" : "images", element.dtype, dims, start),
    isSwapped: element.bytes > 1,
  };
}
