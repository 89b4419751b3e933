import { DataError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import type { DataContent } from "./format.ts";

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
  const fail = (reason: string): DataError => new DataError("E_IDX", `this is not a whole IDX file: ${reason}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw fail(`it has ${bytes.length} bytes`);
  const [first, second, type = 0, rank = 0] = bytes;
  const element = ELEMENTS.get(type);
  if (first !== 0 || second !== 0 || element === undefined || rank === 0) {
    const magic = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw fail(`it begins with ${magic}, where 00 00, a type and a number of axes are due`);
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw fail(`its ${rank} sizes are cut off`);
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const count = dims.reduce((product, dim) => product * dim, 1);
  const due = start + count * element.bytes;
  if (due !== bytes.length) throw fail(`[${dims.join(",")}] takes ${due} bytes, it has ${bytes.length}`);
  if (element.bytes === 1) {
    const raw = bytes.slice(start);
    const values = element.dtype === DataType.int8 ? new Int8Array(raw.buffer) : raw;
    return named(rank, Tensor.from(element.dtype, dims, values));
  }
  const values = new element.array(count);
  for (let index = 0; index < count; index++) values[index] = element.read(view, start + index * element.bytes);
  return named(rank, Tensor.from(element.dtype, dims, values));
}

const named = (rank: number, tensor: Tensor): DataContent => ({
  tensors: [{ name: rank === 1 ? "labels" : "images", tensor }],
});
