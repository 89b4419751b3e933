import { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import type { Graph } from "../../graph/graph.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { randomFloats, randomInputs, randomValues } from "../random-inputs.ts";

/** Which inputs may be negative: weights want it, variances and masks do not, and no graph says which is which. */
export const SIGNS = [
  { state: true, data: true },
  { state: false, data: false },
  { state: false, data: true },
  { state: true, data: false },
] as const;

/** The largest element: of matrices so small that layers keep their input's size. */
function scaleOf(dims: readonly number[], isState: boolean, isSigned: boolean): number {
  if (!isState || dims.length < 2) return 1;
  const fan = Math.max(
    1,
    dims.slice(1).reduce((size, dim) => size * dim, 1),
  );
  return isSigned ? Math.sqrt(3 / fan) : 2 / fan;
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
  const sign = SIGNS[seed % SIGNS.length] ?? SIGNS[0];
  return randomInputs(graph, seed, ({ name, type }, index, dims, size) => {
    const isState = state.has(name);
    const isSigned = isState ? sign.state : sign.data;
    const scale = zeros.has(name) ? 0 : scaleOf(dims, isState, isSigned);
    const own = 7919 * (seed + 1) + index;
    const make = (value: number): number => scale * (isSigned ? value : Math.abs(value));
    return type?.kind === "tensor" && type.dtype === DataType.double
      ? new Tensor("float64", randomValues(size, own).map(make), [...dims])
      : new Tensor("float32", randomFloats(size, own, make), [...dims]);
  });
}
