import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { findOperators, type OptimizerOperator } from "./operators.ts";
import type { Dialect } from "./site.ts";

const NAME = "ort-tensor";

/** The operators' inputs as ORT-TRAINING 3.4 to 3.6 has them. */
const OPERATORS = new Map<string, OptimizerOperator>([
  ["AdamOptimizer", { pairs: () => [{ weight: 2, gradient: 3 }] }],
  ["AdamWOptimizer", { pairs: () => [{ weight: 2, gradient: 3 }] }],
  ["SGDOptimizer", { pairs: () => [{ weight: 1, gradient: 2 }] }],
  [
    "LambOptimizer",
    {
      // update signal, loss scale, gradient norm, rate and step; then weight, gradient, two moments and a float16 copy each.
      pairs: (count) =>
        Array.from({ length: Math.floor((count - 5) / 5) }, (_, group) => ({
          weight: 5 + 5 * group,
          gradient: 6 + 5 * group,
        })),
    },
  ],
]);

/** ONNX Runtime's optimizers that take a parameter's gradient as a tensor: what older exporters write, one node per parameter. */
export const ortTensor: Dialect = {
  name: NAME,
  looksFor: `${MICROSOFT} ${[...OPERATORS.keys()].join(", ")} over gradient tensors`,
  find: (model) => findOperators(model, NAME, MICROSOFT, OPERATORS),
};
