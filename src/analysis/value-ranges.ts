import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { ValueRange } from "../graph/value-range.ts";
import { constantOf } from "../ops/constants.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { NodeView } from "../ops/node-view.ts";
import { type OperatorName, operatorOf, opTypes } from "../ops/operators/index.ts";
import { shapeOf } from "../ops/value-types.ts";

/** An operator that takes whole numbers as places in a tensor. */
interface Lookup {
  /** Which input has the numbers, and which the tensor. */
  readonly numbers: number;
  readonly tensor: number;
  /** The axis along which they are places; a negative one counts from the end. */
  readonly axis: (node: Node) => number;
  /** What lies along that axis, in words. */
  readonly of: string;
  /** The number that stands for nothing; null where there is none, undefined where it is not known. */
  readonly ignored: (node: Node) => number | null | undefined;
  /** Whether numbers below zero count from the end. */
  readonly fromEnd: (tensor: Value) => boolean;
}

const never = (): boolean => false;
const none = (): null => null;
const axisOf = (node: Node): number => new NodeView(node).int("axis");

const LOSS: Lookup = {
  ...{ numbers: 1, tensor: 0, axis: () => 1, of: "classes", fromEnd: never },
  ignored: (node) => new NodeView(node).intOrNull("ignore_index"),
};
const LOSS_WITH_INPUT: Lookup = { ...LOSS, ignored: (node) => numberHeldBy(node.inputs[3] ?? null) };
/** Of a matrix, a gather takes rows: an embedding, whose exporters know no numbers below zero. */
const GATHER: Lookup = {
  ...{ numbers: 1, tensor: 0, axis: axisOf, of: "rows", ignored: none },
  fromEnd: (tensor) => shapeOf(tensor)?.length !== 2,
};

const LOOKUPS: ReadonlyMap<string, Lookup> = new Map<OperatorName, Lookup>([
  ["SoftmaxCrossEntropyLoss", LOSS],
  ["NegativeLogLikelihoodLoss", LOSS],
  ["com.microsoft.SoftmaxCrossEntropyLossInternal", LOSS_WITH_INPUT],
  ["com.microsoft.NegativeLogLikelihoodLossInternal", LOSS_WITH_INPUT],
  ["SparseSoftmaxCrossEntropy", { ...LOSS, axis: () => -1, ignored: none }],
  ["Gather", GATHER],
  ["com.microsoft.ShrunkenGather", GATHER],
  ["RoiAlign", { ...GATHER, numbers: 2, axis: () => 0, of: "images", fromEnd: never }],
  ["GatherElements", { ...GATHER, fromEnd: () => true }],
]);

/** Operators whose output has the elements of their first input, all of them. */
const REARRANGING = opTypes(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand"]);

/**
 * Which numbers inputs must have that a graph uses as classes of a loss or as rows of a table, where the graph tells how
 * many there are. The model is left as it is.
 * @returns by the input's name
 */
export function valueRanges(model: Model): ReadonlyMap<string, ValueRange> {
  const copy = model.clone();
  inferTypes(copy);
  const inputs = new Set<Value | null>(copy.graph.inputs);
  const ranges = new Map<string, ValueRange>();
  for (const node of copy.graph.nodes) {
    const lookup = LOOKUPS.get(operatorOf(node));
    if (lookup === undefined) continue;
    const origin = originOf(node.inputs[lookup.numbers] ?? null);
    const range = rangeOf(node, lookup);
    if (origin === null || range === null || !inputs.has(origin)) continue;
    const earlier = ranges.get(origin.name);
    ranges.set(origin.name, earlier === undefined ? range : both(earlier, range));
  }
  return ranges;
}

function originOf(value: Value | null): Value | null {
  let origin = value;
  while (origin?.producer && origin.producer.domain === "" && REARRANGING.has(origin.producer.opType)) {
    origin = origin.producer.inputs[0] ?? null;
  }
  return origin;
}

function rangeOf(node: Node, { tensor: index, axis: axisOfNode, of, ignored, fromEnd }: Lookup): ValueRange | null {
  const tensor = node.inputs[index] ?? null;
  const shape = tensor === null ? null : shapeOf(tensor);
  const exception = ignored(node);
  if (tensor === null || shape === null || exception === undefined) return null;
  const size = shape.at(axisOfNode(node));
  if (typeof size !== "number") return null;
  const where = node.name === "" ? node.opType : `"${node.name}" (${node.opType})`;
  return {
    least: fromEnd(tensor) ? -size : 0,
    greatest: size - 1,
    ignored: exception,
    of: `the ${size} ${of} of ${where}`,
  };
}

/** What fits two uses. */
function both(a: ValueRange, b: ValueRange): ValueRange {
  const narrower = b.greatest < a.greatest ? b : a;
  return {
    least: Math.max(a.least, b.least),
    greatest: narrower.greatest,
    ignored: a.ignored === b.ignored ? a.ignored : null,
    of: narrower.of,
  };
}

/** The one number a constant holds; null where there is no value, undefined where it is no constant. */
function numberHeldBy(value: Value | null): number | null | undefined {
  if (value === null) return null;
  const tensor = constantOf(value);
  return tensor === null || tensor.data.kind === "external" || tensor.size !== 1
    ? undefined
    : Number(tensor.values()[0]);
}
