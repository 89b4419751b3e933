import type { NodeView } from "../../ops/node-view.ts";
import type { OperatorName } from "../../ops/operators/index.ts";
import { dimsOf } from "../../ops/value-types.ts";

type Sizes = readonly (number | null)[] | null;

/** Null where a size is not known. */
const product = (sizes: Sizes): number | null =>
  sizes === null || sizes.includes(null) ? null : sizes.reduce<number>((size, dim) => size * (dim ?? 0), 1);

const times = (...factors: readonly (number | null)[]): number | null => product(factors);

type Count = (node: NodeView) => number | null;

const inputSizes = (node: NodeView, index: number): Sizes => {
  const value = node.optional(index);
  return value === null ? null : dimsOf(value);
};

/** Each element of the output is a sum over the kernel and the channels of its group. */
const convolution: Count = (node) => {
  const output = product(dimsOf(node.output(0)));
  return times(output, product(inputSizes(node, 1)?.slice(1) ?? null));
};

/** Each element of the input is multiplied with the kernel of every output channel of its group. */
const transposed: Count = (node) => times(product(inputSizes(node, 0)), product(inputSizes(node, 1)?.slice(1) ?? null));

const matrix: Count = (node) => times(product(dimsOf(node.output(0))), inputSizes(node, 0)?.at(-1) ?? null);

const general: Count = (node) => {
  const a = inputSizes(node, 0);
  return times(product(dimsOf(node.output(0))), a?.[node.int("transA") === 1 ? 0 : 1] ?? null);
};

/** Per time step, sample and direction: the products of every gate with the input and the state. */
const recurrent: Count = (node) => {
  const [x, w, r] = [0, 1, 2].map((index) => inputSizes(node, index));
  const steps = times(x?.[0] ?? null, x?.[1] ?? null);
  const [own, state] = [product(w ?? null), product(r ?? null)];
  return own === null || state === null ? null : times(steps, own + state);
};

/** Operators whose multiply-adds count: products of tensors. Elementwise ones are a pass over memory and count for nothing. */
const COUNTS: ReadonlyMap<OperatorName, Count> = new Map<OperatorName, Count>([
  ["Conv", convolution],
  ["ConvTranspose", transposed],
  ["MatMul", matrix],
  ["Gemm", general],
  ["LSTM", recurrent],
  ["GRU", recurrent],
  ["RNN", recurrent],
]);

/** The multiply-adds of a node; 0 of one that has none to count, null where sizes are not known. */
export function multiplyAddsOf(operator: string, node: NodeView): number | null {
  for (const [name, count] of COUNTS) if (name === operator) return count(node);
  return 0;
}
