import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { MICROSOFT } from "../onnxruntime/domain.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { Formula } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { NodeView } from "../ops/node-view.ts";
import { axesFrom, dimsOf, known, shapeOf } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";
import { updateOf } from "./update-of.ts";
import { product, sameShape } from "./weighted/places.ts";

const REDUCTIONS: ReadonlySet<string> = new Set(["ReduceSum", "ReduceMean"]);

/** A sum or mean of products over the last axes of two tensors, and over some of those before. */
interface Reduced {
  readonly node: Node;
  /** Dot products are taken over the last axes, from this one on. */
  readonly first: number;
  /** Numbers of a vector. */
  readonly length: number;
  /** Axes before them that are summed over, too. */
  readonly others: readonly number[];
}

/**
 * Has ONNX Runtime's CPU provider take sums of products of numbers in the same places as dot products of long vectors: their products do not go
 * to memory. Leaves the update of parameters alone. Changes the model.
 * @param pays decides which lengths of vectors are taken so
 * @returns how many sums are taken so
 */
export function takeDotProducts(model: Model, pays: typeof dotCostsLess = dotCostsLess): number {
  const { graph } = model;
  inferTypes(model);
  const names = new Names(model);
  const places = new Map(graph.nodes.map((node, index) => [node, index]));
  const placeOf = ({ node }: Reduced): number => places.get(node) ?? 0;
  const left = updateOf(model);
  let count = 0;
  for (const node of graph) {
    const [a, b] = node.inputs;
    const sums = isProduct(node) && !left.has(node) ? sumsOf(node, graph) : null;
    if (sums === null || !a || !b || !sums.every(({ length }) => pays(length))) continue;
    const dots = new Map<number, Value>();
    for (const sum of sums.toSorted((one, other) => placeOf(one) - placeOf(other))) {
      const lower = (f: Formula): readonly Value[] => [sumOfDots(f, [a, b], sum, dots)];
      replaceByParts(graph, new Call(sum.node), { lower }, { names, opset: model.opset, isInput: () => false });
      count += 1;
    }
  }
  if (count === 0) return 0;
  model.opsets.set(MICROSOFT, 1);
  removeDeadNodes(graph);
  return count;
}

const isProduct = ({ domain, opType }: Node): boolean => domain === "" && opType === "Mul";

/** @param dots those that were taken, by their length: a sum and a mean share them */
function sumOfDots(f: Formula, [a, b]: readonly [Value, Value], sum: Reduced, dots: Map<number, Value>): Value {
  const { node, first, length, others } = sum;
  const rank = shapeOf(a)?.length ?? first;
  const vectors = (value: Value): Value => f.reshape(value, [-1, 1, length]);
  const made = (): Value => {
    const left = vectors(a);
    const attributes = [attribute.int("transB", 1)];
    return f.build.call({ domain: MICROSOFT, name: "FusedMatMul" }, [left, a === b ? left : vectors(b)], {
      attributes,
    });
  };
  const dot = dots.get(length) ?? made();
  dots.set(length, dot);
  const isMean = node.opType === "ReduceMean";
  const keepsAxes = new NodeView(node).int("keepdims") !== 0;
  const outer = (dimsOf(a) ?? []).slice(0, first);
  const inner = keepsAxes ? axesFrom(first, rank).map(() => 1) : [];
  const apart = f.reshape(dot, [...outer.map((size) => size ?? -1), ...inner]);
  const each = isMean ? f.mul(apart, 1 / length) : apart;
  if (others.length === 0) return each;
  return isMean ? f.mean(each, others, keepsAxes) : f.sum(each, others, keepsAxes);
}

/** What reads a product, where all of it takes sums over vectors; null where it is of another kind. */
function sumsOf({ inputs: [a, b], outputs: [made] }: Node, graph: Graph): readonly Reduced[] | null {
  if (!a || !b || !made || elementTypeOf(made) !== DataType.float) return null;
  if (!sameShape(a, made) || !sameShape(b, made)) return null;
  const sums = made.uses.map(({ user, index }) =>
    index === 0 && "graph" in user && user.graph === graph ? reducedBy(user, made) : null,
  );
  return sums.length > 0 && sums.every((each) => each !== null) ? sums : null;
}

function reducedBy(node: Node, value: Value): Reduced | null {
  const dims = dimsOf(value);
  if (node.domain !== "" || !REDUCTIONS.has(node.opType) || dims === null) return null;
  const view = new NodeView(node);
  const given = view.ints("axes") ?? (view.constant(1) && Array.from(view.constant(1)?.values() ?? [], Number));
  if (given === null || given.length === 0) return null;
  const axes = new Set(given.map((axis) => (axis < 0 ? axis + dims.length : axis)));
  const first = 1 + axesFrom(0, dims.length).findLastIndex((axis) => !axes.has(axis));
  const inner = known(dims.slice(first));
  if (inner === null || inner.length === 0 || dims.includes(0)) return null;
  if (dims.slice(0, first).filter((size) => size === null).length > 1) return null;
  return {
    ...{ node, first, length: product(inner) },
    others: [...axes].filter((axis) => axis < first).sort((a, b) => a - b),
  };
}

/** From how many numbers on a dot product takes less time than the pass over memory that it saves. */
const SHORTEST = 256;

const dotCostsLess = (length: number): boolean => length >= SHORTEST;
