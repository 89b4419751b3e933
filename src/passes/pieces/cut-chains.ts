import { orderNodes } from "../../edits/order-nodes.ts";
import { attribute } from "../../graph/attribute.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { rankOf } from "../../ops/value-types.ts";
import { updateOf } from "../update-of.ts";
import { alignedDims, type Chain, chainFrom, type Link, linkOf, readBy, sizeOf } from "./chains.ts";
import { isLarge, piecesOf } from "./costs.ts";

/** Decides what is cut. */
export interface CutCosts {
  /** Whether it may pay to cut tensors of these sizes. */
  readonly isLarge: (dims: readonly number[], threads: number) => boolean;
  /** In how many pieces a chain takes less time; null: it stays as it is. */
  readonly piecesOf: (chain: Chain, threads: number) => number | null;
}

/**
 * Has chains of elementwise nodes on large tensors computed piece by piece, all nodes of a piece one after the other: what they hand on stays in
 * a processor's caches then. A `Scan` goes over the pieces, which it reads and writes where they lie. Leaves the update of parameters alone.
 * Changes the model.
 * @param threads how many compute a node
 * @returns how many chains are cut
 */
export function cutChains(model: Model, threads: number, costs: CutCosts = { isLarge, piecesOf }): number {
  const { graph, opset } = model;
  inferTypes(model);
  const update = updateOf(model);
  const links = new Map<Node, Link>();
  for (const node of graph) {
    const link = update.has(node) ? null : linkOf(node, graph, opset);
    if (link !== null && costs.isLarge(link.dims, threads)) links.set(node, link);
  }
  const names = new Names(model);
  const tried = new Set<Node>();
  let count = 0;
  for (const [node, link] of links) {
    if (tried.has(node)) continue;
    const { nodes } = graph;
    const chain = chainFrom(nodes.slice(nodes.indexOf(node)), link, links);
    for (const each of chain.nodes) tried.add(each);
    const pieces = chain.nodes.length === 1 || chain.results.length === 0 ? null : costs.piecesOf(chain, threads);
    if (pieces === null) continue;
    cut(graph, chain, pieces, new Formula(builderFor(chain, names), opset));
    /** The next chain must not have to be computed between the nodes of this one. */
    orderNodes(graph);
    count += 1;
  }
  return count;
}

const builderFor = ({ nodes: [first], results: [result] }: Chain, names: Names): Builder =>
  new Builder({ prefix: first?.name || (result?.name ?? ""), names });

function cut(graph: Graph, chain: Chain, pieces: number, f: Formula): void {
  const { nodes, dims, axes, results } = chain;
  const rows = sizeOf(dims.slice(0, axes)) / pieces;
  /** Sizes behind the axes that are cut. */
  const rest = (value: Value): readonly number[] => (alignedDims(value, dims.length) ?? dims).slice(axes);
  const pieceType = (value: Value) => tensorType(elementTypeOf(value), [rows, ...rest(value)]);
  const read = readBy(chain);
  const whole = read.whole.map((value) => {
    const isLonger = (rankOf(value) ?? 0) > dims.length - axes;
    return [value, isLonger ? f.reshape(value, rest(value)) : value] as const;
  });
  const inputs = read.cut.map((value) => f.reshape(value, [pieces, rows, ...rest(value)]));
  const given = read.cut.map((value) => [value.name, pieceType(value)] as const);
  const body = f.body("piece", given, (inner, values) => {
    const inside = new Map<Value | null, Value>(whole);
    for (const [index, value] of values.entries()) inside.set(read.cut[index] ?? null, value);
    for (const node of nodes) {
      const own = node.inputs.map((value) => inside.get(value) ?? value);
      inside.set(node.outputs[0] ?? null, inner.build.again(node, own));
    }
    return results.map((value) => inside.get(value) ?? value);
  });
  for (const [index, value] of body.outputs.entries()) value.type = pieceType(results[index] ?? value);
  const attributes = [attribute.graph("body", body), attribute.int("num_scan_inputs", inputs.length)];
  const made = f.build.emitAll("Scan", inputs, results.length, { attributes }).map((value) => f.reshape(value, dims));
  const [first] = nodes;
  if (first !== undefined) graph.insertBefore(first, f.build.nodes);
  for (const [index, value] of results.entries()) {
    const next = made[index] ?? value;
    next.type = value.type;
    value.replaceAllUsesWith(next);
  }
  graph.remove(nodes);
}
