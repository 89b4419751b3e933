import type { Graph, Node } from "../../graph/graph.ts";
import { type Model, walkGraphs } from "../../graph/model.ts";
import type { Found, OptimizerSite, Refusal } from "./site.ts";

/** Asks `recognise` about every node in all graphs of a model; null says the node is none of its business. */
export function findNodes(
  model: Model,
  recognise: (graph: Graph, node: Node) => OptimizerSite | Refusal | null,
): Found {
  const sites: OptimizerSite[] = [];
  const refusals: Refusal[] = [];
  for (const graph of model.rootGraphs.flatMap((root) => [...walkGraphs(root)])) {
    for (const node of graph) {
      const found = recognise(graph, node);
      if (found === null) continue;
      if ("reason" in found) refusals.push(found);
      else sites.push(found);
    }
  }
  return { sites, refusals };
}
