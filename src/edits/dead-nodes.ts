import type { Graph, Node } from "../graph/graph.ts";
import { removeUnusedNodes } from "../graph/unused-nodes.ts";
import { opTypes } from "../ops/operators/index.ts";
import { replaceNode } from "./replace-node.ts";

/**
 * Removes the nodes and initializers of a graph that nothing reads any more, and optional outputs that nothing reads.
 * @returns how many there were
 */
export function removeDeadNodes(graph: Graph): number {
  const before = graph.nodeCount + graph.initializers.length;
  removeUnusedNodes(graph);
  graph.replaceInitializers(graph.initializers.filter(({ isUsed }) => isUsed));
  const removed = before - graph.nodeCount - graph.initializers.length;
  return removed + graph.nodes.filter((node) => dropOptionalOutput(graph, node)).length;
}

/** Operators whose second output is for the backward pass only: it costs time, and WebGPU has no indices. */
const SECOND_IS_OPTIONAL = opTypes(["MaxPool", "Dropout"]);

/** @returns whether there was one */
function dropOptionalOutput(graph: Graph, node: Node): boolean {
  const [output, second] = node.outputs;
  if (node.domain !== "" || !SECOND_IS_OPTIONAL.has(node.opType)) return false;
  if (!output || !second || second.isUsed) return false;
  replaceNode(graph, node, { keep: 1 });
  return true;
}
