import { replaceNode } from "../../edits/replace-node.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { type Dimension, tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { costOf, NODE_COST, VECTOR } from "./costs.ts";
import { type IsTurned, matrixOf, operandsOf, rowOf } from "./operators.ts";
import { type Region, regionsOf } from "./regions.ts";

/** From which on axes are an input of ReduceSum and Unsqueeze. */
const OLDEST_OPSET = 13;

/** What a size that is not known counts as. */
const UNKNOWN_SIZE = 32;

/**
 * Lets the results of matrix products lie transposed, with everything elementwise between them, where ONNX Runtime's CPU provider has less
 * work so: it lays out the second operand of a product anew in every run, and a batch is smaller than a weight. Changes the model.
 * @param pays decides which of the regions that may lie so do
 * @returns how many regions do
 */
export function turnProducts(model: Model, pays: typeof costsLess = costsLess): number {
  const { graph } = model;
  if (model.opset < OLDEST_OPSET) return 0;
  inferTypes(model);
  const regions = chosen(regionsOf(graph), pays);
  if (regions.length === 0) return 0;
  const turned = new Set(regions.flatMap(({ values }) => [...values]));
  const isTurned: IsTurned = (value) => value !== null && turned.has(value);
  const names = new Names(model);
  for (const node of graph) {
    const row = [...node.inputs, ...node.outputs].some(isTurned) ? rowOf(node) : null;
    if (row === null) continue;
    const build = new Builder({ prefix: node.name || (node.outputs[0]?.name ?? node.opType), names });
    const replacement = row.turned(node, isTurned, new Formula(build, model.opset));
    graph.insertBefore(node, build.nodes);
    const made = replaceNode(graph, node, replacement);
    for (const [index, old] of node.outputs.entries()) {
      const next = made.outputs[index];
      const sizes = old && matrixOf(old);
      if (!next || !sizes || !isTurned(old)) continue;
      turned.add(next);
      next.type = tensorType(elementTypeOf(old), [sizes[1], sizes[0]]);
    }
  }
  return regions.length;
}

/** Those that still pay when those are left that do not. */
function chosen(regions: readonly Region[], pays: typeof costsLess): readonly Region[] {
  const turned = new Set(regions.flatMap(({ values }) => [...values]));
  const isTurned: IsTurned = (value) => value !== null && turned.has(value);
  const kept = regions.filter((region) => {
    if (pays(region, isTurned)) return true;
    for (const value of region.values) turned.delete(value);
    return false;
  });
  return kept.length === regions.length ? kept : chosen(kept, pays);
}

/** Whether the products of a region cost less where it lies transposed, beside others that do. Few samples leave vectors half empty. */
function costsLess({ values, products }: Region, isTurned: IsTurned): boolean {
  const [first] = values;
  if (first === undefined || matrixOf(first)?.some((size) => sizeOf(size) < VECTOR)) return false;
  const without: IsTurned = (value) => value !== null && !values.has(value) && isTurned(value);
  const total = (turned: IsTurned): number => products.reduce((sum, node) => sum + productCost(node, turned), 0);
  return total(isTurned) < total(without);
}

function productCost(node: Node, isTurned: IsTurned): number {
  const { first, second } = operandsOf(node, isTurned);
  /** What lies transposed once more lies as its type says. */
  const sizes = (value: Value, isTransposed: boolean): readonly [number, number] => {
    const [rows, columns] = (matrixOf(value) ?? [null, null]).map(sizeOf);
    const [a = 1, b = 1] = [rows, columns];
    return isTransposed !== isTurned(value) ? [b, a] : [a, b];
  };
  const [rows, depth] = sizes(first.value, first.isTransposed);
  const [, columns] = sizes(second.value, second.isTransposed);
  const [, , bias] = node.inputs;
  const column = bias && isTurned(node.outputs[0] ?? null) ? NODE_COST : 0;
  return costOf({ rows, depth, columns, transA: first.isTransposed }) + column;
}

const sizeOf = (size: Dimension): number => (typeof size === "number" ? size : UNKNOWN_SIZE);
