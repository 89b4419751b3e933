import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import type { InferenceCall, InferenceRule, Inferred } from "./inference.ts";
import { broadcastShapes, calculate } from "./shapes.ts";

const first: InferenceRule = (call) => [call.same()];

/** Content of arithmetic on shapes. */
function combined(call: InferenceCall, op: string): readonly Dimension[] | null {
  const [a, b] = [call.content(0), call.content(1)];
  if (a === null || b === null) return null;
  const length = Math.max(a.length, b.length);
  if ((a.length !== length && a.length !== 1) || (b.length !== length && b.length !== 1)) return null;
  return Array.from({ length }, (_, index) => {
    const [x = null, y = null] = [a.length === 1 ? a[0] : a[index], b.length === 1 ? b[0] : b[index]];
    return calculate(op, x, y);
  });
}

const inputShapes = (call: InferenceCall): (readonly Dimension[] | null)[] =>
  call.node.inputs.map((_, index) => call.shape(index));

const binary: InferenceRule = (call) => [
  { dtype: call.dtype(0), shape: broadcastShapes(inputShapes(call)), content: combined(call, call.node.opType) },
];

const comparison: InferenceRule = (call) => [
  { dtype: DataType.bool, shape: broadcastShapes(inputShapes(call)), content: combined(call, call.node.opType) },
];

const test: InferenceRule = (call) => [{ dtype: DataType.bool, shape: call.shape(0) }];

function where(call: InferenceCall): readonly Inferred[] {
  const [condition, a, b] = [call.content(0), call.content(1), call.content(2)];
  const content =
    condition !== null && a !== null && b !== null
      ? condition.map((each, index) => {
          const pick = (list: readonly Dimension[]): Dimension => (list.length === 1 ? list[0] : list[index]) ?? null;
          return each === null ? null : pick(each === 0 ? b : a);
        })
      : null;
  return [{ dtype: call.dtype(1), shape: broadcastShapes(inputShapes(call)), content }];
}

const UNARY = [
  ...[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
  ],
  ...[
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
  ],
  ...[
    "LpNormalization",
    "LRN",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "PRelu",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
  ],
  ...["Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh"],
  ...["ThresholdedRelu", "Trilu", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "Not"],
  ...["com.microsoft.Gelu", "com.microsoft.FastGelu", "com.microsoft.BiasGelu", "com.microsoft.QuickGelu"],
  ...["SimplifiedLayerNormalization"],
];

const keepsContent: InferenceRule = (call) => [{ ...call.same(), content: call.content(0) }];

export const ELEMENTWISE_INFERENCE: readonly (readonly [op: string, rule: InferenceRule])[] = [
  ...UNARY.map((op) => [op, first] as const),
  ["Identity", keepsContent],
  ...["Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor"].map(
    (op) => [op, binary] as const,
  ),
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"].map((op) => [op, comparison] as const),
  ["IsNaN", test],
  ["IsInf", test],
  ["Where", where],
  ["Cast", (call) => [{ dtype: call.int("to", DataType.undefined), shape: call.shape(0), content: castable(call) }]],
  ["CastLike", (call) => [{ dtype: call.dtype(1), shape: call.shape(0), content: castable(call) }]],
  ["Dropout", (call) => [call.same(), { dtype: DataType.bool, shape: call.shape(0) }]],
];

/** Whole numbers stay what they are in every number type. */
const castable = (call: InferenceCall): readonly Dimension[] | null => call.content(0);
