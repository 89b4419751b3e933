import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { replaceNode } from "../edits/replace-node.ts";
import { attribute } from "../graph/attribute.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { constantOf } from "../ops/constants.ts";

/** Who writes BatchNormalization of fixed statistics as arithmetic only where it is one: PyTorch's exporters write `FrozenBatchNorm2d` alike. */
const EXPORTERS: ReadonlySet<string> = new Set(["jax2onnx"]);
/** Keras' and Flax's default; a file of arithmetic does not hold it. */
const MOMENTUM = 0.99;

/** A tensor with one number per channel, and the place of the channels among how many axes. */
interface Channels {
  readonly vector: Value;
  readonly axis: number;
  readonly rank: number;
}

interface WrittenOut {
  readonly x: Value;
  readonly mean: Channels;
  readonly variance: Value;
  readonly epsilon: number;
  /** Null where the layer has none. */
  readonly scale: Value | null;
  readonly offset: Value | null;
}

/**
 * Makes BatchNormalization of what Keras writes on JAX, `x * (scale / sqrt(variance + epsilon)) + (offset - mean * ...)`, so that its
 * statistics are state of the training and no parameters. Its four tensors keep their names.
 * @returns what is said of it
 */
export function restoreBatchNorm(model: Model): readonly string[] {
  const { graph, producerName } = model;
  if (!EXPORTERS.has(producerName)) return [];
  const names = new Names(model);
  let count = 0;
  for (const node of graph) {
    const found = writtenOut(node);
    if (found === null) continue;
    restore(graph, node, found, names);
    count++;
  }
  if (count === 0) return [];
  removeDeadNodes(graph);
  return [
    `${count} batch normalizations that the exporter wrote as arithmetic are BatchNormalization again: their means and variances are statistics, renewed with Keras' momentum (${MOMENTUM}), and not trained`,
  ];
}

function restore(graph: Graph, sum: Node, found: WrittenOut, names: Names): void {
  const { x, mean, variance, epsilon } = found;
  const [y] = sum.outputs;
  const prefix = y?.name ?? sum.name;
  const emit = (opType: string, inputs: readonly Value[], attributes: Node["attributes"] | null = null): Value => {
    const made = new Value(names.fresh(`${prefix}/${opType}`));
    const init = { name: names.fresh(made.name), attributes: [...(attributes?.values() ?? [])] };
    graph.insertBefore(sum, new Node(opType, inputs, [made], init));
    return made;
  };
  const filled = (number: number): Value => {
    const size = mean.vector.tensor?.size ?? 0;
    const value = attribute.tensor("value", Tensor.floats([size], new Array<number>(size).fill(number)));
    return emit("Constant", [], new Map([[value.name, value]]));
  };
  const moved = (value: Value, perm: readonly number[]): Value => {
    const held = attribute.ints("perm", perm);
    return emit("Transpose", [value], new Map([[held.name, held]]));
  };
  const others = Array.from({ length: mean.rank }, (_, axis) => axis).filter((axis) => axis !== mean.axis);
  const [first = 0, ...rest] = others;
  const forth = [first, mean.axis, ...rest];
  const back = forth.map((_, axis) => forth.indexOf(axis));
  const isInPlace = mean.axis === 1;
  const inputs = [
    isInPlace ? x : moved(x, forth),
    found.scale ?? filled(1),
    found.offset ?? filled(0),
    mean.vector,
    variance,
  ];
  const attributes = [attribute.float("epsilon", epsilon), attribute.float("momentum", MOMENTUM)];
  if (isInPlace) {
    replaceNode(graph, sum, { opType: "BatchNormalization", inputs, attributes });
    return;
  }
  const normalized = emit("BatchNormalization", inputs, new Map(attributes.map((each) => [each.name, each])));
  replaceNode(graph, sum, {
    opType: "Transpose",
    inputs: [normalized],
    attributes: [attribute.ints("perm", back)],
  });
}

/** `x * factor + shift`. */
function writtenOut(sum: Node): WrittenOut | null {
  for (const [product, shift] of operands(sum, "Add")) {
    for (const [x, factor] of operands(product.producer, "Mul")) {
      const scaled = factorOf(factor);
      const shifted = scaled === null ? null : shiftOf(shift, factor);
      if (scaled === null || shifted === null) continue;
      const parts = [shifted.mean, scaled.variance, scaled.scale, shifted.offset].map((part) =>
        part === null ? null : channelsOf(part),
      );
      const [mean, variance, scale, offset] = parts;
      if (!mean || !variance || scale === undefined || offset === undefined) continue;
      if ((scaled.scale !== null && scale === null) || (shifted.offset !== null && offset === null)) continue;
      if (!parts.every((part) => part === null || isAlong(part, mean))) continue;
      return {
        ...{ x, mean, variance: variance.vector, epsilon: scaled.epsilon },
        scale: scale?.vector ?? null,
        offset: offset?.vector ?? null,
      };
    }
  }
  return null;
}

const isAlong = (one: Channels, other: Channels): boolean =>
  one.axis === other.axis && one.rank === other.rank && one.vector.tensor?.size === other.vector.tensor?.size;

/** `1 / sqrt(variance + epsilon)`, or that times the scale. */
function factorOf(factor: Value): { variance: Value; epsilon: number; scale: Value | null } | null {
  const alone = inverseRoot(factor);
  if (alone !== null) return { ...alone, scale: null };
  for (const [inverse, scale] of operands(factor.producer, "Mul")) {
    const found = inverseRoot(inverse);
    if (found !== null) return { ...found, scale };
  }
  return null;
}

function inverseRoot({ producer }: Value): { variance: Value; epsilon: number } | null {
  if (producer === null || producer.domain !== "") return null;
  const [above, below] = producer.inputs;
  const isOver = producer.opType === "Div" && above && numberOf(above) === 1;
  const root = isOver ? below : producer.opType === "Reciprocal" ? above : null;
  if (root?.producer?.opType !== "Sqrt" || root.producer.domain !== "") return null;
  for (const [variance, guard] of operands(root.producer.inputs[0]?.producer ?? null, "Add")) {
    const epsilon = numberOf(guard);
    if (epsilon !== null) return { variance, epsilon };
  }
  return null;
}

/** `-mean * factor`, or that plus the offset. */
function shiftOf(shift: Value, factor: Value): { mean: Value; offset: Value | null } | null {
  const alone = negatedMean(shift, factor);
  if (alone !== null) return { mean: alone, offset: null };
  for (const [product, offset] of operands(shift.producer, "Add")) {
    const mean = negatedMean(product, factor);
    if (mean !== null) return { mean, offset };
  }
  return null;
}

function negatedMean(product: Value, factor: Value): Value | null {
  for (const [negated, other] of operands(product.producer, "Mul")) {
    if (other !== factor || negated.producer?.opType !== "Neg" || negated.producer.domain !== "") continue;
    return negated.producer.inputs[0] ?? null;
  }
  return null;
}

/** What a node of two inputs reads, in both orders; nothing where it is of another operator. */
function operands(node: Node | null, opType: string): readonly (readonly [Value, Value])[] {
  if (node === null || node.domain !== "" || node.opType !== opType) return [];
  const [one, other] = node.inputs;
  return one && other ? [[one, other] as const, [other, one] as const] : [];
}

/** An initializer of one axis that is given others of size 1. */
function channelsOf({ producer }: Value): Channels | null {
  const [vector, shape] = producer?.domain === "" && producer.opType === "Reshape" ? producer.inputs : [];
  const dims = shape ? constantOf(shape) : null;
  const length = vector?.tensor?.dims.length === 1 ? vector.tensor.size : 0;
  if (!vector || length < 2 || dims === null) return null;
  const sizes = Array.from<number | bigint, number>(dims.values(), Number);
  const axis = sizes.indexOf(length);
  return axis > 0 && sizes.every((size, at) => at === axis || size === 1) ? { vector, axis, rank: sizes.length } : null;
}

function numberOf(value: Value): number | null {
  const tensor = constantOf(value);
  return tensor?.size === 1 ? Number(tensor.values()[0]) : null;
}
