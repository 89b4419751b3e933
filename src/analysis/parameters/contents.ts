import type { Value } from "../../graph/graph.ts";
import type { Tensor } from "../../graph/tensor.ts";

/** What is added to a score so that its softmax is zero; no weight is as low. */
const MASKED = -1e4;
/** Of cos² + sin², in float32. */
const CLOSE = 1e-3;

/** Zeros, and numbers so low that they mask; or a table of zeros and ones alone, both of them. */
export function isMask({ tensor }: Value): boolean {
  if (tensor === null || tensor.size === 0) return false;
  const values = floats(tensor);
  if (values.every((value) => value === 0 || value <= MASKED)) return values.some((value) => value !== 0);
  return isTable(tensor) && values.every((value) => value === 0 || value === 1) && values.includes(0);
}

/** Whether all elements are one number. */
export function holdsOnly({ tensor }: Value, number: number): boolean {
  return tensor !== null && floats(tensor).every((value) => value === number);
}

/** Whether all elements are the same. */
export function isUniform(tensor: Tensor): boolean {
  const values = floats(tensor);
  return values.every((value) => value === values[0]);
}

/** One of two tables of a shape whose squares add up to one number everywhere. */
export function isRotation(initializer: Value, initializers: readonly Value[]): boolean {
  const { tensor } = initializer;
  if (tensor === null || !isTable(tensor)) return false;
  return initializers.some(
    (each) =>
      each !== initializer && each.tensor !== null && isSameShape(each.tensor, tensor) && turns(tensor, each.tensor),
  );
}

/** Positions by channels, where the channels are sines and cosines of the same angles: side by side or in halves. */
export function isSinusoid({ tensor }: Value): boolean {
  if (tensor === null || tensor.dims.length < 2) return false;
  const width = tensor.dims.at(-1) ?? 0;
  if (width < 2 || width % 2 !== 0 || tensor.size < 2 * width) return false;
  const values = floats(tensor);
  const pairs = (partner: (at: number) => number): boolean =>
    values.every((value, at) => isUnit(value, values[partner(at)] ?? Number.NaN, 1));
  const half = width / 2;
  return pairs((at) => at ^ 1) || pairs((at) => (at % width < half ? at + half : at - half));
}

function turns(a: Tensor, b: Tensor): boolean {
  const [first, second] = [floats(a), floats(b)];
  const square = (first[0] ?? 0) ** 2 + (second[0] ?? 0) ** 2;
  const isUneven = first.some((value) => value !== first[0]);
  return square > 0 && isUneven && first.every((value, at) => isUnit(value, second[at] ?? Number.NaN, square));
}

/** Two axes or more that are longer than 1. */
const isTable = ({ dims }: Tensor): boolean => dims.filter((dim) => dim > 1).length >= 2;

const isUnit = (a: number, b: number, square: number): boolean => Math.abs(a * a + b * b - square) <= CLOSE * square;

const isSameShape = (a: Tensor, b: Tensor): boolean =>
  a.dtype === b.dtype && a.dims.length === b.dims.length && a.dims.every((dim, axis) => dim === b.dims[axis]);

/** float16 and bfloat16 come as bit patterns, in which none of these is found. */
const floats = (tensor: Tensor): Float32Array => tensor.values() as Float32Array;
