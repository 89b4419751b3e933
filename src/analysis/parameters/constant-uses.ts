import type { Node, Value } from "../../graph/graph.ts";
import { isHeld } from "../../ops/constants.ts";
import { type OpType, opTypes } from "../../ops/operators/index.ts";
import { isInitialState } from "./carried.ts";
import { CENTRE, isCentre } from "./centres.ts";
import { holdsOnly, isMask, isRotation, isSinusoid } from "./contents.ts";
import { isLookedUp, isPosition, madeBy, type Reading, readingsOf, sourceOf } from "./readings.ts";

/** A reading of an initializer, and what is known of the model around it. */
export interface ConstantReading extends Reading {
  readonly initializer: Value;
  /** Data as the user gives them, moved, scaled or shifted at most. */
  readonly raw: ReadonlySet<Value>;
  /** The other initializers, for tables that come in pairs. */
  readonly initializers: readonly Value[];
}

/** A use that tells a constant of the program from a parameter. */
export interface ConstantUse {
  readonly operators: readonly OpType[];
  /** Default: any input. */
  readonly inputs?: readonly number[];
  readonly when?: (reading: ConstantReading) => boolean;
  /** Ends the sentence "it is not trained: it is ...". */
  readonly reason: string;
}

const RECURRENT = ["LSTM", "GRU", "RNN"] as const;
const SCATTERS = ["Scatter", "ScatterElements", "ScatterND", "TensorScatter"] as const;
const ARITHMETIC = ["Add", "Sub", "Mul", "Div"] as const;
const COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] as const;
const PRODUCTS = opTypes([
  "MatMul",
  "Gemm",
  "Conv",
  "ConvTranspose",
  "Einsum",
  "FusedMatMul",
  "FusedConv",
  "FusedGemm",
]);

const sizeOf = ({ initializer: { tensor } }: ConstantReading): number => tensor?.size ?? 0;
const isNumber = (reading: ConstantReading): boolean => sizeOf(reading) === 1;

/** What a node of two inputs reads beside the initializer. */
function other({ node, index }: ConstantReading): Value | null {
  return node.inputs[1 - index] ?? null;
}

/** A number of the program is no data, also where it is made a floating-point one. */
const isConstant = (value: Value): boolean => isHeld(sourceOf(value));

/** What is looked up in a table is no scale of what it meets: a relative position's weight that a mask is added to. */
const meetsData = (reading: ConstantReading): boolean => {
  const value = other(reading);
  return value !== null && reading.raw.has(value) && !isConstant(value) && !isLookedUp(reading.value);
};

/** A variance whose root, kept from zero, the model's input is divided by: Keras' Normalization on JAX. */
function scalesData({ node, raw }: ConstantReading): boolean {
  const [root] = node.outputs;
  const readings = root ? readingsOf(root) : [];
  const behind = readings.flatMap((reading) => {
    const { opType, outputs } = reading.node;
    return opType === "Max" || opType === "Clip" ? (outputs[0] ? readingsOf(outputs[0]) : []) : [reading];
  });
  return (
    behind.length > 0 &&
    behind.every(({ node: next, index }) => {
      const [above] = next.inputs;
      return next.opType === "Div" && index === 1 && above !== null && above !== undefined && raw.has(above);
    })
  );
}

/** Multiplied by positions, of which sines and cosines are taken, both: the frequencies of rotary embeddings, and the positions. */
function isAngle(reading: ConstantReading): boolean {
  const value = other(reading);
  if (value === null || !(isPosition(value) || isConstant(value))) return false;
  const [output] = reading.node.outputs;
  const readers = new Set(output ? readingsOf(output).map(({ node }) => node.opType) : []);
  return readers.size === 2 && readers.has("Sin") && readers.has("Cos");
}

/** Added to a product. */
export function isBias({ node, index }: Reading): boolean {
  const value = node.inputs[1 - index] ?? null;
  const maker = value === null ? null : madeBy(value);
  return (node.opType === "Add" || node.opType === "Sub") && maker !== null && PRODUCTS.has(maker.opType);
}

/** A number without axes that is no bias: an exporter writes `x * 0.5` so. */
const isPlainNumber = (reading: ConstantReading): boolean =>
  reading.initializer.tensor?.dims.length === 0 && !isBias(reading);

/** Small, and added to what is rooted, divided by or taken the logarithm of next. */
function isEpsilon(reading: ConstantReading): boolean {
  const amount = Math.abs(Number(reading.initializer.tensor?.values()[0] ?? 0));
  const guarded = ["Sqrt", "Div", "Log", "Reciprocal", "Pow"];
  const isGuard = reading.node.outputs.some((output) =>
    output?.uses.some(({ user }) => "opType" in user && guarded.includes(user.opType)),
  );
  return isNumber(reading) && amount > 0 && amount <= 1e-3 && isGuard;
}

const meetsConstant = ({ node }: ConstantReading): boolean => !node.inputs[0] || isHeld(node.inputs[0]);

/** A normalization by groups in older opsets: between two Reshapes, and what scales its channels comes behind. */
function isGroupNormalization({ node, index, initializer }: ConstantReading): boolean {
  const isMoved = (maker: Node | null | undefined): boolean => maker?.opType === "Reshape";
  const readers = node.outputs[0]?.uses.map(({ user }) => user) ?? [];
  const isPlain = holdsOnly(initializer, index === 1 ? 1 : 0);
  return isPlain && isMoved(node.inputs[0]?.producer) && readers.every((user) => "opType" in user && isMoved(user));
}

/** Uses of constants. An initializer all of whose readings are of these is not trained unless it is asked for by name. */
export const CONSTANT_USES: readonly ConstantUse[] = [
  { operators: RECURRENT, inputs: [5, 6], reason: "an initial state" },
  { operators: ["Loop"], when: isInitialState, reason: "an initial state" },
  { operators: SCATTERS, inputs: [0], reason: "what a scatter begins with" },
  { operators: SCATTERS, inputs: [2], when: meetsConstant, reason: "scattered into a constant" },
  { operators: ARITHMETIC, when: meetsData, reason: "a scale or an offset of the model's input" },
  { operators: ["Sqrt"], when: scalesData, reason: "a scale or an offset of the model's input" },
  { operators: ["Sub"], when: isCentre, reason: CENTRE },
  {
    operators: [...ARITHMETIC, "Where", "Max", "Min"],
    when: ({ initializer }) => isMask(initializer),
    reason: "a mask",
  },
  {
    operators: ["Attention", "MultiHeadAttention"],
    inputs: [3, 5],
    when: ({ initializer }) => isMask(initializer),
    reason: "a mask",
  },
  {
    operators: ["Mul"],
    when: ({ initializer, initializers }) => isRotation(initializer, initializers),
    reason: "a table of cosines or sines",
  },
  { operators: ["MatMul", "Mul", "Einsum"], when: isAngle, reason: "angles of a table of cosines and sines" },
  { operators: ["RotaryEmbedding"], inputs: [1, 2, 3], reason: "a table of cosines or sines" },
  { operators: ["GroupQueryAttention"], inputs: [7, 8], reason: "a table of cosines or sines" },
  { operators: ["Add", "Sub"], when: ({ initializer }) => isSinusoid(initializer), reason: "a table of sinusoids" },
  { operators: ["Add", "Max"], when: isEpsilon, reason: "a number that guards a division, a root or a logarithm" },
  { operators: [...ARITHMETIC, "MatMul", "Gemm"], when: isPlainNumber, reason: "a number of the program" },
  {
    operators: ["Sum", "Mean"],
    when: ({ initializer }) => initializer.tensor?.dims.length === 0,
    reason: "a number of the program",
  },
  {
    operators: ["InstanceNormalization"],
    inputs: [1, 2],
    when: isGroupNormalization,
    reason: "what a normalization by groups leaves as it is",
  },
  { operators: ["Pow"], inputs: [1], when: isNumber, reason: "an exponent" },
  { operators: ["Pow"], inputs: [0], when: isNumber, reason: "the base of a power" },
  { operators: ["Clip"], inputs: [1, 2], reason: "a bound" },
  { operators: ["Max", "Min"], when: isNumber, reason: "a bound" },
  { operators: ["Where"], inputs: [1, 2], when: isNumber, reason: "a number that fills what is masked" },
  { operators: ["Mod"], reason: "a number of the program" },
  { operators: COMPARISONS, reason: "what something is compared with" },
  { operators: ["Pad"], inputs: [2], reason: "what is padded with" },
  { operators: ["OneHot"], inputs: [2], reason: "the values of a one-hot vector" },
  { operators: ["ConstantOfShape", "Range", "EyeLike"], reason: "a number of the program" },
  { operators: ["Resize", "Upsample"], inputs: [1, 2], reason: "a size" },
  { operators: ["Dropout"], inputs: [1], reason: "a rate" },
  { operators: ["QuantizeLinear", "DequantizeLinear"], inputs: [1], reason: "the scale of a quantization" },
  { operators: ["NonMaxSuppression"], reason: "a threshold" },
  { operators: ["GridSample"], inputs: [1], reason: "a grid" },
  { operators: ["RoiAlign"], inputs: [1], reason: "a box" },
  { operators: ["STFT"], inputs: [2], reason: "a window" },
];
