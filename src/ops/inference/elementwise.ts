import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { isOperator, type OperatorName } from "../operators/index.ts";
import { calculate, calculateOne, castElement, UNARY_ARITHMETIC } from "./arithmetic.ts";
import { broadcastContent } from "./content.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";
import { each } from "./rows.ts";
import { broadcastShapes } from "./shapes.ts";

const first: InferenceRule = (call) => [call.same()];

/** The elements of arithmetic on what is known, in one element type. */
function folded(call: InferenceCall, op: string, fold: (elements: readonly Dimension[]) => Dimension): Inferred {
  const dtype = TRUTHS.has(op) ? DataType.bool : call.dtype(0);
  const parts = call.node.inputs.map((_, index) => call.shaped(index));
  const known = parts.filter((part) => part !== null);
  const content = known.length < parts.length ? null : (broadcastContent(known, fold)?.elements ?? null);
  return { dtype, shape: broadcastShapes(inputShapes(call)), content };
}

const inputShapes = (call: InferenceCall): (readonly Dimension[] | null)[] =>
  call.node.inputs.map((_, index) => call.shape(index));

/** Two or more operands. */
const arithmetic: InferenceRule = (call) => {
  const { opType } = call.node;
  const op = opType === "Mod" && call.int("fmod") !== 0 ? "Fmod" : opType;
  const dtype = call.dtype(0);
  return [folded(call, opType, ([first = null, ...rest]) => rest.reduce((a, b) => calculate(op, dtype, a, b), first))];
};

const unary: InferenceRule = (call) => {
  const { opType } = call.node;
  return [folded(call, opType, ([element = null]) => calculateOne(opType, call.dtype(0), element))];
};

/** What is not an element of the result's type is not followed: an exponent of another type is none. */
const power: InferenceRule = (call) =>
  call.dtype(0) === call.dtype(1)
    ? arithmetic(call)
    : [{ dtype: call.dtype(0), shape: broadcastShapes(inputShapes(call)) }];

const test: InferenceRule = (call) => [{ dtype: DataType.bool, shape: call.shape(0) }];

function where(call: InferenceCall): readonly Inferred[] {
  const { content = null } = folded(call, "Where", ([condition = null, a = null, b = null]) =>
    typeof condition === "number" ? (condition === 0 ? b : a) : a === b ? a : null,
  );
  return [{ dtype: call.dtype(1), shape: broadcastShapes(inputShapes(call)), content }];
}

function cast(call: InferenceCall, to: number): readonly Inferred[] {
  const content = call.content(0)?.map((element) => castElement(element, call.dtype(0), to)) ?? null;
  return [{ dtype: to, shape: call.shape(0), content }];
}

/** Operators of two tensors that make truth values. */
const PREDICATES = ["And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] as const;
const TRUTHS: ReadonlySet<string> = new Set([...PREDICATES, "Not"]);

/** Operators of one tensor that keep its type and shape, and whose elements are not followed. */
// biome-ignore format: a list
const KEEPING: readonly OperatorName[] = [
  "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Celu", "Clip", "Cos", "Cosh", "CumSum", "Elu", "Erf", "Exp",
  "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "InstanceNormalization", "LRN", "LeakyRelu", "Log",
  "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "PRelu", "RMSNormalization", "Reciprocal", "Selu", "Shrink",
  "Sigmoid", "SimplifiedLayerNormalization", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
  "ThresholdedRelu", "Trilu",
  "ai.onnx.ml.Binarizer", "ai.onnx.ml.Imputer",
  "com.microsoft.BiasGelu", "com.microsoft.FastGelu", "com.microsoft.Gelu", "com.microsoft.QuickGelu",
];

/** The same of any numbers, which gives float32. */
const SCALING: readonly OperatorName[] = ["ai.onnx.ml.Normalizer", "ai.onnx.ml.Scaler"];

export const ELEMENTWISE_INFERENCE: InferenceRows = [
  ...each(KEEPING, first),
  ...each(SCALING, (call) => [{ dtype: DataType.float, shape: call.shape(0) }]),
  ...each(UNARY_ARITHMETIC.filter(isOperator), unary),
  ...each(["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Sum"], arithmetic),
  ...each(PREDICATES, arithmetic),
  ["Mean", (call) => [{ dtype: call.dtype(0), shape: broadcastShapes(inputShapes(call)) }]],
  ["Pow", power],
  ["IsNaN", test],
  ["IsInf", test],
  ["Where", where],
  ["Cast", (call) => cast(call, call.int("to"))],
  ["CastLike", (call) => cast(call, call.dtype(1))],
  ["Dropout", (call) => [call.same(), { dtype: DataType.bool, shape: call.shape(0) }]],
];
