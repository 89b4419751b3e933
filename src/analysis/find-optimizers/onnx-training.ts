import { findOperators, type InputPair, type OptimizerOperator } from "./operators.ts";
import type { Dialect } from "./site.ts";

const NAME = "onnx-training";
const DOMAIN = "ai.onnx.preview.training";

/** Rate and step, then all weights, all gradients, and `states` lists of states. */
function grouped(states: number): OptimizerOperator {
  return {
    pairs(count): readonly InputPair[] {
      const tensors = (count - 2) / (2 + states);
      if (!Number.isInteger(tensors) || tensors < 1) return [];
      return Array.from({ length: tensors }, (_, index) => ({ weight: 2 + index, gradient: 2 + tensors + index }));
    },
  };
}

const OPERATORS = new Map<string, OptimizerOperator>([
  ["Adam", grouped(2)],
  ["Adagrad", grouped(1)],
  ["Momentum", grouped(1)],
]);

/** ONNX's own training operators, in the algorithm of a `training_info` or in the main graph. */
export const onnxTraining: Dialect = {
  name: NAME,
  looksFor: `${DOMAIN} ${[...OPERATORS.keys()].join(", ")}`,
  find: (model) => findOperators(model, NAME, DOMAIN, OPERATORS),
};
