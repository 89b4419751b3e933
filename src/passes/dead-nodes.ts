import type { Graph, Node } from "../graph/graph.ts";
import { subgraphsOf } from "../graph/model.ts";

/** Removes the nodes and initializers of a graph that nothing reads any more. */
export function removeDeadNodes(graph: Graph): void {
  const isDead = (node: Node): boolean =>
    subgraphsOf(node).length === 0 && node.outputs.every((output) => output === null || output.uses.length === 0);
  for (const node of graph.nodes.toReversed()) if (isDead(node)) graph.remove(node);
  const live = graph.initializers.filter(({ uses }) => uses.length > 0);
  graph.initializers.splice(0, graph.initializers.length, ...live);
}
