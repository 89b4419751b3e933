import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";

/**
 * Kernels [k, 1, kernel...] of which each takes one place of the window: a convolution with them lays the places of each window side
 * by side.
 */
export function placeKernels(f: Formula, kernel: readonly number[]): Value {
  const count = kernel.reduce((product, size) => product * size, 1);
  const identity = Array.from({ length: count * count }, (_, index) => (index % (count + 1) === 0 ? 1 : 0));
  const single = f.build.constant(Tensor.floats([count, 1, ...kernel], identity), "places");
  return f.dtype === DataType.float ? single : f.cast(single, f.dtype);
}
