import { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { randomInputs, randomValues } from "../random-inputs.ts";

/** Which inputs may be negative: weights want it, variances and masks do not, and no graph says which is which. */
export const SIGNS = [
  { state: true, data: true },
  { state: false, data: false },
  { state: false, data: true },
  { state: true, data: false },
] as const;

/** An element of float data: uniform below 1, or in [-1, 1]; of matrices, so small that layers keep their input's size. */
function scaleOf({ type }: Value, isState: boolean): number {
  const dims = type?.kind === "tensor" ? (type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1)) : [];
  if (!isState || dims.length < 2) return 1;
  return Math.sqrt(
    3 /
      Math.max(
        1,
        dims.slice(1).reduce((size, dim) => size * dim, 1),
      ),
  );
}

/**
 * Seeded values for a step's inputs, or why there are none.
 * @param state names of the inputs that are state
 * @param zeros names of the inputs that are zero: what gradients are added up in
 */
export function draw(
  graph: Graph,
  state: ReadonlySet<string>,
  zeros: ReadonlySet<string>,
  seed: number,
): NamedTensors | string {
  const made = randomInputs(graph, seed);
  if (typeof made === "string") return made;
  const sign = SIGNS[seed % SIGNS.length] ?? SIGNS[0];
  const feeds: Record<string, Tensor> = { ...made };
  for (const [index, input] of graph.inputs.entries()) {
    const tensor = feeds[input.name];
    const dtype = input.type?.kind === "tensor" ? input.type.dtype : DataType.undefined;
    if (tensor === undefined || (dtype !== DataType.float && dtype !== DataType.double)) continue;
    const isState = state.has(input.name);
    const values = randomValues(tensor.size, 7919 * (seed + 1) + index);
    const scale = zeros.has(input.name) ? 0 : scaleOf(input, isState);
    const signed = isState ? sign.state : sign.data;
    feeds[input.name] = floats(dtype, values, (value) => scale * (signed ? value : Math.abs(value)), tensor.dims);
  }
  return feeds;
}

/** A float32 or float64 tensor. */
export function floats(
  dtype: number,
  values: Float64Array,
  make: (value: number, index: number) => number,
  dims: readonly number[],
): Tensor {
  return dtype === DataType.double
    ? new Tensor("float64", values.map(make), dims)
    : new Tensor("float32", Float32Array.from(values, make), dims);
}
