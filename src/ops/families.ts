/** Families of ONNX operators, for analyses that ask what an operator does to the shape of its inputs. */

/** Each output element is a sum of multiples of elements at the same place. */
export const LINEAR: ReadonlySet<string> = new Set(["Add", "Sub", "Mul", "Div", "Neg", "Identity", "Sum"]);

/** Each output element depends on elements at the same place only, with broadcasting. */
export const ELEMENTWISE: ReadonlySet<string> = new Set([
  ...LINEAR,
  "Abs",
  "And",
  "Cast",
  "Ceil",
  "Clip",
  "Equal",
  "Erf",
  "Exp",
  "Expand",
  "Floor",
  "Greater",
  "GreaterOrEqual",
  "IsInf",
  "IsNaN",
  "Less",
  "LessOrEqual",
  "Log",
  "Max",
  "Mean",
  "Min",
  "Mod",
  "Not",
  "Or",
  "Pow",
  "Reciprocal",
  "Relu",
  "Round",
  "Sigmoid",
  "Sign",
  "Sqrt",
  "Tanh",
  "Where",
  "Xor",
]);

/** Sums, norms and extremes over axes. */
export const REDUCTIONS: ReadonlySet<string> = new Set([
  "ReduceL1",
  "ReduceL2",
  "ReduceLogSum",
  "ReduceLogSumExp",
  "ReduceMax",
  "ReduceMean",
  "ReduceMin",
  "ReduceProd",
  "ReduceSum",
  "ReduceSumSquare",
]);
