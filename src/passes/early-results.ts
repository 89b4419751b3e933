import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { replaceNode } from "../edits/replace-node.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import { transposedFrom } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { shapeOf } from "../ops/value-types.ts";

/** From which on a `Gemm` needs no third input. */
const OLDEST_OPSET = 11;

/**
 * Has ONNX Runtime compute results that no node reads, as gradients are, as soon as what they are made of is there: it still lies in the
 * processor's caches then. ONNX Runtime takes such nodes from the last of the graph to the first, each with what it needs, but before them all
 * those that it writes anew. So they are put last, the one that needs least at the very end, and what it would write anew is written. Changes
 * the model; it computes the same bits.
 */
export function computeEarly(model: Model): void {
  const { graph } = model;
  if (model.opset < OLDEST_OPSET) return;
  inferTypes(model);
  for (const node of graph.nodes.filter((each) => isLast(graph, each))) readTransposed(graph, node);
  removeDeadNodes(graph);
  const depths = depthsOf(graph);
  const depth = (node: Node): number => depths.get(node) ?? 0;
  const last = graph.nodes.filter((node) => isLast(graph, node)).reverse();
  graph.append(last.sort((a, b) => depth(b) - depth(a)));
}

const isLast = (graph: Graph, { outputs }: Node): boolean =>
  outputs.every((output) => output === null || output.uses.every(({ user }) => user === graph));

/** How many nodes there are on the longest way to each. */
function depthsOf(graph: Graph): ReadonlyMap<Node, number> {
  const depths = new Map<Node, number>();
  for (const node of graph) {
    const before = node.inputs.map((value) => (value?.producer && depths.get(value.producer)) ?? 0);
    depths.set(node, 1 + Math.max(0, ...before));
  }
  return depths;
}

/** A product of transposed matrices as ONNX Runtime would write it by a new node. */
function readTransposed(graph: Graph, node: Node): void {
  if (node.domain !== "" || node.opType !== "MatMul") return;
  const operands = node.inputs.map((value) => (value && isMatrix(value) ? operandOf(value) : null));
  const [a, b] = operands;
  if (!a || !b || !(a.isTransposed || b.isTransposed)) return;
  const flag = (name: string, isSet: boolean) => (isSet ? [attribute.int(name, 1)] : []);
  replaceNode(graph, node, {
    opType: "Gemm",
    inputs: [a.value, b.value],
    attributes: [...flag("transA", a.isTransposed), ...flag("transB", b.isTransposed)],
  });
}

const isMatrix = (value: Value): boolean => elementTypeOf(value) === DataType.float && shapeOf(value)?.length === 2;

function operandOf(value: Value): { readonly value: Value; readonly isTransposed: boolean } {
  const [from, axes = []] = transposedFrom(value) ?? [];
  const isTransposed = from !== undefined && axes.join() === "1,0";
  return { value: isTransposed ? from : value, isTransposed };
}
