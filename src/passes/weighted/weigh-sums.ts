import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { dimsOf } from "../../ops/value-types.ts";
import { BLOCKED_DOMAIN } from "../blocked/blocks.ts";
import { Call } from "../lower-training-ops/lowering.ts";
import { replaceByParts } from "../lower-training-ops/replace.ts";
import { updateOf } from "../update-of.ts";
import { weighingCostsLess } from "./costs.ts";
import type { Places } from "./places.ts";
import { isWeightable, type PlacedSum, splitTerms, sumOf, type Term, type Weight } from "./sums.ts";

/** A result that is a weighted sum, or the positive part of one. */
export interface Weighed extends PlacedSum {
  /** The sizes of the result, at most one of them not known. */
  readonly dims: readonly (number | null)[];
  readonly isPositivePart: boolean;
}

/**
 * Has ONNX Runtime's CPU provider compute sums of tensors, each times a number per channel, plus a number per channel, and their positive
 * part, in one pass over memory per tensor. It has no such operator, but convolutions in blocks of channels with a kernel of one number per
 * channel, which add another tensor and take `Relu`: as one block counts what so many neighbours of a channel are. Leaves the update of
 * parameters alone. Changes the model.
 * @param block the channels of a block, which the processor decides
 * @param pays decides which of the sums that can be taken so are
 * @returns how many are taken so
 */
export function weighSums(model: Model, block: number, pays: typeof weighingCostsLess = weighingCostsLess): number {
  const { graph } = model;
  inferTypes(model);
  const names = new Names(model);
  const left = updateOf(model);
  let count = 0;
  for (const node of graph.nodes.toReversed()) {
    const found = node.graph === graph && !left.has(node) ? weighedBy(node, graph, block) : null;
    if (found === null || !pays(found, block)) continue;
    const lower = (f: Formula): readonly Value[] => [new Passes(f, found.places, block).compute(found)];
    replaceByParts(graph, new Call(node), { lower }, { names, opset: model.opset, isInput: () => false });
    for (const each of found.nodes) left.add(each);
    count += 1;
  }
  if (count === 0) return 0;
  model.opsets.set(BLOCKED_DOMAIN, 1);
  removeDeadNodes(graph);
  return count;
}

function weighedBy(node: Node, graph: Graph, block: number): Weighed | null {
  const isPositivePart = node.domain === "" && node.opType === "Relu";
  const [input] = node.inputs;
  const [result] = node.outputs;
  if (!result || !(isPositivePart || isWeightable(node)) || elementTypeOf(result) !== DataType.float) return null;
  const dims = dimsOf(result);
  if (dims === null || dims.includes(0) || dims.filter((size) => size === null).length > 1) return null;
  if (isPositivePart && (input?.uses.length !== 1 || input.producer?.graph !== graph)) return null;
  const sum = sumOf(isPositivePart && input ? input : result, graph, block);
  if (sum === null) return null;
  return { ...sum, nodes: isPositivePart ? [node, ...sum.nodes] : sum.nodes, dims, isPositivePart };
}

/** Emits a pass over memory per tensor. */
class Passes {
  readonly #f: Formula;
  readonly #places: Places;
  readonly #block: number;

  constructor(f: Formula, places: Places, block: number) {
    this.#f = f;
    this.#places = places;
    this.#block = block;
  }

  compute({ terms, added, dims, isPositivePart }: Weighed): Value {
    const { passes, summands } = splitTerms(terms);
    const [summand = null, ...more] = summands.map((value) => this.#laid(value));
    const before = more.reduce<Value | null>((sum, value) => (sum === null ? value : this.#f.add(sum, value)), summand);
    const sum = passes.reduce<Value | null>((made, term, index) => {
      const isLast = index === passes.length - 1;
      return this.#pass(term, index === 0 ? added : null, made, isLast && isPositivePart);
    }, before);
    if (sum === null) throw new RangeError("a sum has terms");
    return this.#f.reshape(
      sum,
      dims.map((size) => size ?? -1),
    );
  }

  #pass({ value, weight }: Term, added: Weight | null, summand: Value | null, isPositivePart: boolean): Value {
    const { count } = this.#places;
    const channels = count * this.#block;
    const ones = Tensor.floats([channels, 1, 1, 1], new Array<number>(channels).fill(1));
    const kernels = weight === null ? this.#f.build.constant(ones) : this.#spread(weight, [channels, 1, 1, 1]);
    const inputs = [this.#laid(value), kernels, added && this.#spread(added, [channels]), summand];
    const attributes = [attribute.int("group", channels), attribute.ints("kernel_shape", [1, 1])];
    const activation = isPositivePart ? [attribute.string("activation", "Relu")] : [];
    return this.#f.build.call(
      { domain: BLOCKED_DOMAIN, name: "Conv" },
      inputs.slice(0, summand !== null ? 4 : added !== null ? 3 : 2),
      { attributes: [...attributes, ...activation] },
    );
  }

  /** As images in blocks of channels, each block of which is of one channel. */
  #laid(value: Value): Value {
    const { count, span } = this.#places;
    return this.#f.reshape(value, [-1, count * this.#block, span / this.#block, 1]);
  }

  /** A number for every channel of a block. */
  #spread(weight: Weight, shape: readonly number[]): Value {
    const f = this.#f;
    return f.reshape(f.expand(weight(f), f.ints([this.#places.count, this.#block])), shape);
  }
}
