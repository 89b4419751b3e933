import { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import { realsOf } from "../../runtime/ort-tensor.ts";

/** float32 sums of more numbers in a row are no longer exact to a millionth. */
const LONGEST = 4096;

/** The sizes of a parameter in two axes, so that sums over the last are short; one of one where its size does not allow it. */
export function piecesOf(parameter: Value): readonly [number, number] {
  const size = known(dimsOf(parameter))?.reduce((product, dim) => product * dim, 1) ?? 1;
  let length = Math.min(LONGEST, Math.ceil(Math.sqrt(size)));
  while (length > 1 && size % length !== 0) length--;
  return [-1, length];
}

/** The sum of a tensor of two axes, along one after the other: no rounding adds up in float32. */
export function sumInPieces(f: Formula, value: Value): Value {
  return f.sum(f.sum(value, [1], false), null, false);
}

/** A tensor's direction and size in float, without overflow, in two axes. */
export function unit(
  f: Formula,
  value: Value,
  pieces: readonly number[],
): { readonly direction: Value; readonly size: Value } {
  const flat = f.cast(f.reshape(value, pieces), DataType.float);
  const largest = f.max(f.reduce("ReduceMax", f.emit("Abs", [flat]), null, false), 1e-37);
  const scaled = f.div(flat, largest);
  const length = f.max(f.sqrt(sumInPieces(f, f.square(scaled))), 1e-37);
  return { direction: f.div(scaled, length), size: f.mul(largest, length) };
}

/** A tensor of floats, moved along a direction. */
export function movedAlong(tensor: Tensor, direction: Float32Array, by: number): Tensor {
  const values = realsOf(tensor).slice();
  const { dims } = tensor;
  for (let index = 0; index < values.length; index++)
    values[index] = (values[index] ?? 0) + by * (direction[index] ?? 0);
  return values instanceof Float64Array
    ? new Tensor("float64", values, [...dims])
    : new Tensor("float32", values, [...dims]);
}

/** The product of a tensor of floats with a direction; NaN for no tensor. */
export function dotOf(tensor: Tensor | undefined, direction: Float32Array): number {
  if (tensor?.size !== direction.length) return Number.NaN;
  const data = realsOf(tensor);
  let sum = 0;
  for (let index = 0; index < direction.length; index++) sum += (data[index] ?? 0) * (direction[index] ?? 0);
  return sum;
}
