import type { StandardOperator } from "../../ops/operators/index.ts";
import { uniqueRows } from "../../ops/unique-rows.ts";
import {
  namedType,
  notConsumed,
  ofTests,
  paddingsRenamed,
  roundConstants,
  secondAxis,
  shapeInput,
  slopePerChannel,
  splitAxis,
  stretched,
  twoScales,
  wholeNorm,
  without,
} from "./first-opsets.ts";
import {
  clipBounds,
  dropoutRatio,
  intsToInput,
  padAmounts,
  sliceBounds,
  splitCount,
  topCount,
  upsampleScales,
} from "./inputs.ts";
import {
  asymmetricResize,
  flatteningAxis,
  inferenceStatistics,
  interpolationName,
  knownCoordinates,
  noMaskBefore,
  perChannelStatistics,
  renamed,
  roiWithoutOffset,
} from "./meaning.ts";
import type { Conversion } from "./site.ts";

/** What a version of an operator asks of a node of the version before: nothing, a rewriting, or it cannot be. */
export type Step = "unchanged" | Conversion | { readonly refused: string };

/** Versions that only took more types, ranks or negative axes, or attributes whose default is what was there before. */
// biome-ignore format: a table
const UNCHANGED: Readonly<Record<number, readonly StandardOperator[]>> = {
  3: ["GRU"],
  6: ["Gemm"],
  7: ["AveragePool"],
  8: ["Max", "MaxPool", "Mean", "Min", "Sum"],
  9: ["Cast", "Constant", "Flatten", "Gemm", "Greater", "Less", "MatMul", "PRelu"],
  10: ["AveragePool", "MaxPool"],
  11: [
    "ArgMax", "ArgMin", "AveragePool", "Compress", "Concat", "Constant", "Conv", "ConvTranspose", "DepthToSpace", "Equal",
    "Flatten", "Gather", "Gemm", "Hardmax", "If", "LogSoftmax", "Loop", "LpPool", "MaxPool", "MaxUnpool", "NonMaxSuppression",
    "OneHot", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare", "Scan", "Slice", "Softmax", "Split", "Squeeze", "TopK", "Unsqueeze",
  ],
  12: ["ArgMax", "ArgMin", "Clip", "Constant", "GatherND", "Max", "MaxPool", "Min", "Pow", "ReduceMax", "ReduceMin"],
  13: [
    "Abs", "Add", "ArgMax", "ArgMin", "Cast", "Ceil", "Clip", "Concat", "Constant", "DepthToSpace", "DequantizeLinear", "Div",
    "Dropout", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Greater",
    "Identity", "If", "IsNaN", "LRN", "Less", "Log", "Loop", "MatMul", "Max", "Mean", "MeanVarianceNormalization", "Min", "Mod",
    "Mul", "Neg", "NegativeLogLikelihoodLoss", "NonZero", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare", "Relu",
    "Reshape", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Size", "Slice", "SoftmaxCrossEntropyLoss",
    "SpaceToDepth", "Sqrt", "Sub", "Sum", "Tanh", "Tile", "Transpose",
  ],
  14: ["Add", "CumSum", "Div", "GRU", "Identity", "LSTM", "Mul", "RNN", "Relu", "Reshape", "Sub"],
  15: ["BatchNormalization", "Pow", "Shape"],
  16: [
    "GreaterOrEqual", "Identity", "If", "LeakyRelu", "LessOrEqual", "Loop", "PRelu", "Scan", "ScatterElements", "ScatterND",
    "Where",
  ],
  18: ["LpPool", "OptionalGetElement", "OptionalHasElement", "Pad", "Resize", "ScatterElements", "ScatterND"],
  19: [
    "AveragePool", "Cast", "CastLike", "Constant", "DequantizeLinear", "Equal", "Identity", "If", "Loop", "Pad",
    "QuantizeLinear", "Reshape", "Resize", "Scan", "Shape", "Size",
  ],
  20: ["ConstantOfShape", "IsInf", "IsNaN", "ReduceMax", "ReduceMin"],
  21: [
    "Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear", "Flatten", "Identity", "If", "Loop", "Pad",
    "QLinearMatMul", "QuantizeLinear", "Reshape", "Scan", "Shape", "Size", "Squeeze", "Transpose", "Unsqueeze",
  ],
  22: [
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "Bernoulli", "Conv", "ConvTranspose", "Cos", "Cosh",
    "DeformConv", "Det", "Dropout", "Elu", "EyeLike", "GRU", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GridSample",
    "HardSigmoid", "HardSwish", "InstanceNormalization", "LSTM", "LpNormalization", "LpPool", "MaxPool", "MaxRoiPool",
    "MaxUnpool", "Mish", "Multinomial", "NegativeLogLikelihoodLoss", "RNN", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "RoiAlign", "Round", "Selu", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "ThresholdedRelu",
  ],
  23: [
    "Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear", "Flatten", "Identity", "If", "Loop", "Pad",
    "QuantizeLinear", "Reshape", "Scan", "Shape", "Size", "Squeeze", "Transpose", "Unsqueeze",
  ],
  24: [
    "Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear", "Flatten", "Identity", "If", "Loop", "Pad",
    "QuantizeLinear", "Reshape", "Scan", "Shape", "Size", "SplitToSequence", "Squeeze", "TopK", "Transpose", "Unsqueeze",
  ],
  25: [
    "Cast", "CastLike", "Constant", "ConstantOfShape", "DequantizeLinear", "Flatten", "Identity", "If", "Loop", "Pad",
    "QuantizeLinear", "Reshape", "Scan", "Shape", "Size", "Squeeze", "Transpose", "Unsqueeze",
  ],
};

const axesToInput = intsToInput("axes", 1);

/** The same step for several operators. */
const all = (step: Step, ...ops: readonly StandardOperator[]): Partial<Record<StandardOperator, Step>> =>
  Object.fromEntries(ops.map((op) => [op, step]));

const CHANGED: Readonly<Record<number, Readonly<Partial<Record<StandardOperator, Step>>>>> = {
  2: { GlobalLpPool: wholeNorm, LpPool: wholeNorm, Pad: paddingsRenamed, Split: splitAxis },
  4: { Concat: secondAxis },
  5: { Reshape: shapeInput },
  6: {
    ...all(
      notConsumed,
      ...(["Abs", "Add", "BatchNormalization", "Ceil", "Clip", "Div", "Dropout", "Elu", "Exp", "Floor"] as const),
      ...(["HardSigmoid", "InstanceNormalization", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mul", "Neg"] as const),
      ...(["PRelu", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Sub", "Sum", "Tanh"] as const),
    ),
    Cast: namedType,
    Selu: roundConstants,
    Tile: { refused: "the number of tiles and their axis became one input" },
  },
  7: {
    ...all(
      stretched,
      ...(["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"] as const),
    ),
    ...all(without("output_sequence"), "GRU", "LSTM", "RNN"),
    BatchNormalization: ofTests,
    Dropout: ofTests,
    Gemm: without("broadcast"),
    PRelu: slopePerChannel,
    Upsample: twoScales,
  },
  9: {
    BatchNormalization: perChannelStatistics,
    Scan: { refused: "its batch axis went" },
    Upsample: upsampleScales,
  },
  10: { Dropout: noMaskBefore, Slice: sliceBounds, TopK: topCount, Upsample: renamed("Resize") },
  11: {
    Clip: clipBounds,
    Pad: padAmounts,
    Resize: asymmetricResize,
    Scatter: renamed("ScatterElements"),
  },
  12: { Dropout: dropoutRatio },
  13: {
    Hardmax: flatteningAxis,
    LogSoftmax: flatteningAxis,
    Softmax: flatteningAxis,
    Resize: knownCoordinates,
    ReduceSum: axesToInput,
    Split: intsToInput("split", 1),
    Squeeze: axesToInput,
    Unsqueeze: axesToInput,
  },
  14: { BatchNormalization: inferenceStatistics },
  16: { RoiAlign: roiWithoutOffset },
  18: {
    ...all(
      axesToInput,
      ...(["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"] as const),
      ...(["ReduceMin", "ReduceProd", "ReduceSumSquare"] as const),
    ),
    Split: splitCount,
  },
  20: { DFT: { refused: "its axis became an input" }, GridSample: interpolationName },
  21: { GroupNormalization: { refused: "its scale and bias are per channel from then on, not per group" } },
};

const key = (op: string, opset: number): string => `${op}, ${opset}`;

const STEPS: ReadonlyMap<string, Step> = uniqueRows<string, Step>(
  "steps from opset to opset",
  Object.entries(UNCHANGED).flatMap(([opset, ops]) => ops.map((op) => [key(op, Number(opset)), "unchanged"] as const)),
  Object.entries(CHANGED).flatMap(([opset, steps]) =>
    Object.entries(steps).map(([op, step]) => [key(op, Number(opset)), step] as const),
  ),
);

/** The row of the table for an operator and the opset that changed it; undefined where there is none. */
export function stepOf(op: string, opset: number): Step | undefined {
  return STEPS.get(key(op, opset));
}
