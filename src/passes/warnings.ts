import { madeBy } from "../analysis/parameters/readings.ts";
import { DataType } from "../graph/data-type.ts";
import { describeNode, type Graph, type Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import type { ValueType } from "../graph/value-type.ts";
import type { OpType } from "../ops/operators/index.ts";
import type { LossKind } from "./add-loss.ts";
import type { TrainingGraphOptions } from "./make-training-graph.ts";

/** A loss that takes scores, and outputs that are none any more. */
interface TwiceTaken {
  readonly loss: LossKind;
  readonly operators: readonly OpType[];
  readonly consequence: string;
}

const TWICE_TAKEN: readonly TwiceTaken[] = [
  {
    loss: "cross-entropy",
    operators: ["Softmax", "Hardmax", "Sigmoid"],
    consequence: "cross-entropy takes a softmax of it again, and trains slowly and to other weights",
  },
  {
    loss: "cross-entropy",
    operators: ["LogSoftmax"],
    consequence: "cross-entropy takes it again, which costs time and changes nothing else",
  },
  {
    loss: "bce-with-logits",
    operators: ["Sigmoid", "HardSigmoid", "Softmax"],
    consequence: "bce-with-logits takes a sigmoid of it again, and trains slowly and to other weights",
  },
];

/**
 * What trains, but hardly as it was meant.
 * @param graph a forward graph, prepared for training, types inferred
 * @param scores what the loss is computed from
 */
export function warningsOf(graph: Graph, scores: Value | undefined, loss: LossKind): readonly string[] {
  return [...takenTwice(scores, loss), ...singleValues(graph)];
}

/** Options about operators that the model does not have. */
export function withoutUse(
  { graph }: Model,
  { batchNorm, quantizationAware = false }: Pick<TrainingGraphOptions, "batchNorm" | "quantizationAware">,
): readonly string[] {
  const found = new Set([...walkGraphs(graph)].flatMap(({ nodes }) => nodes.map(({ opType }) => opType)));
  const hasNone = (operators: readonly OpType[]): boolean => !operators.some((each) => found.has(each));
  return [
    ...(batchNorm === "running" && hasNone(["BatchNormalization"])
      ? ["--batch-norm running (batchNorm) changes nothing: the model has no BatchNormalization"]
      : []),
    ...(quantizationAware !== false && hasNone(["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"])
      ? ["--qat (quantizationAware) changes nothing: the model has no QuantizeLinear or DequantizeLinear"]
      : []),
  ];
}

/** What is said where an exporter wrote the sizes of its example for those that the inputs leave open. */
export function declaredOtherwise({ name, type }: Value, declared: ValueType | null): readonly string[] {
  if (type?.kind !== "tensor" || declared?.kind !== "tensor") return [];
  const isOther = declared.shape?.some(
    (dim, axis) => typeof dim === "number" && typeof type.shape?.[axis] === "string",
  );
  if (isOther !== true) return [];
  return [`the output "${name}" is declared as [${declared.shape}]; by what the model computes it is [${type.shape}]`];
}

/** Vectors that several nodes read are one parameter; fresh ones look the same whether that is meant or not. */
export function mergedByChance(parameters: readonly Value[]): readonly string[] {
  const merged = parameters.filter((value) => {
    const readers = new Set(value.uses.map(({ user }) => user));
    return readers.size > 1 && isFreshVector(value);
  });
  if (merged.length === 0) return [];
  const names = merged.map(({ name }) => `"${name}"`).join(", ");
  return [
    `${names}: each is read by several nodes, and its elements are all equal: it is trained as one parameter; where a tool merged parameters since they were equal, export without it`,
  ];
}

function isFreshVector({ tensor }: Value): boolean {
  if (tensor === null || tensor.dims.length !== 1 || tensor.size < 2 || tensor.dtype !== DataType.float) return false;
  const values = tensor.floatValues();
  return values.every((value) => value === values[0]);
}

function takenTwice(scores: Value | undefined, loss: LossKind): readonly string[] {
  const maker = scores === undefined ? null : madeBy(scores);
  const found = TWICE_TAKEN.find((each) => each.loss === loss && each.operators.some((op) => op === maker?.opType));
  if (found === undefined || maker === null) return [];
  return [
    `the output "${scores?.name}" is a ${maker.opType} already: ${found.consequence}; make what goes into ${describeNode(maker)} the output`,
  ];
}

/** Statistics of one value are that value and zero. */
function singleValues(graph: Graph): readonly string[] {
  const nodes = [...walkGraphs(graph)].flatMap((each) => each.nodes);
  const single = nodes.filter(({ opType, inputs: [x] }) => opType === "BatchNormInternal" && isSingle(x ?? null));
  return single.map(
    (node) =>
      `${describeNode(node).replace("com.microsoft.BatchNormInternal", "BatchNormalization")} has a single value per channel to take ` +
      "statistics of: its output is its bias, and no gradient goes through it; train it with --batch-norm running (batchNorm), or export the model with more samples in a batch, or a symbolic batch",
  );
}

/** One value per channel, for certain. */
function isSingle(x: Value | null): boolean {
  const shape = x?.type?.kind === "tensor" ? x.type.shape : null;
  return shape !== null && shape.length >= 2 && shape.every((dim, axis) => axis === 1 || dim === 1);
}
