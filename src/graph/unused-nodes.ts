import type { Graph, Node } from "./graph.ts";
import { subgraphsOf } from "./model.ts";

/** Removes the nodes whose results nothing reads. Those with graphs inside stay. */
export function removeUnusedNodes(graph: Graph): void {
  const isUnused = (node: Node): boolean =>
    subgraphsOf(node).length === 0 && node.outputs.every((output) => !output?.isUsed);
  for (const node of graph.nodes.toReversed()) if (isUnused(node)) graph.remove(node);
}
