import type { Graph, Node } from "../graph/graph.ts";
import { removeUnusedNodes } from "../graph/unused-nodes.ts";
import { replaceNode } from "./replace-node.ts";

/** Removes the nodes and initializers of a graph that nothing reads any more, and optional outputs that nothing reads. */
export function removeDeadNodes(graph: Graph): void {
  removeUnusedNodes(graph);
  for (const node of graph.nodes) dropOptionalOutput(graph, node);
  graph.replaceInitializers(graph.initializers.filter(({ isUsed }) => isUsed));
}

/** Operators whose second output is for the backward pass only: it costs time, and WebGPU has no indices. */
const SECOND_IS_OPTIONAL = new Set(["MaxPool", "Dropout"]);

function dropOptionalOutput(graph: Graph, node: Node): void {
  const [output, second] = node.outputs;
  if (node.domain !== "" || !SECOND_IS_OPTIONAL.has(node.opType)) return;
  if (!output || !second || second.isUsed) return;
  replaceNode(graph, node, { keep: 1 });
}
