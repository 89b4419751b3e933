import type { Node } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import { opTypes } from "../../ops/operators/index.ts";

/** Operators whose every element is rounded as it is anywhere else, wherever in a tensor it lies. */
const ELEMENTWISE = opTypes(
  ["Add", "Sub", "Mul", "Div", "Sqrt", "Abs", "Neg", "Sign", "Max", "Min", "Clip", "Cast", "Relu"],
  ["Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "IsNaN"],
);

/** Operators that make one number of a whole tensor where they are given no axes or all. */
const REDUCTIONS = opTypes(
  ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"],
  ["ReduceL1", "ReduceL2", "ReduceSumSquare"],
);

/** Operators that give what they take, in another shape or none. */
const ALIASES = opTypes(["Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"]);

export const isElementwise = ({ domain, opType }: Node): boolean => domain === "" && ELEMENTWISE.has(opType);
export const isReduction = ({ domain, opType }: Node): boolean => domain === "" && REDUCTIONS.has(opType);
export const isAlias = ({ domain, opType }: Node): boolean => domain === "" && ALIASES.has(opType);

/** Whether a node is 1 / c. ONNX Runtime makes x / c of x * (1 / c) where nothing else reads 1 / c, and rounds once in the place of twice. */
export function isReciprocal(node: Node | null): boolean {
  const [one] = node?.inputs ?? [];
  if (node?.domain !== "" || node.opType !== "Div" || !one) return false;
  const numbers = constantOf(one)?.values() ?? [];
  return numbers.length === 1 && Number(numbers[0]) === 1;
}
