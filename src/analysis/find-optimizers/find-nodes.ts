import { describeNode, type Graph, type Node } from "../../graph/graph.ts";
import { calledFunction, type Model, walkGraphs } from "../../graph/model.ts";
import type { Found, OptimizerSite, Refusal } from "./site.ts";

/**
 * Asks `recognise` about every node in all graphs of a model; null says the node is none of its business. A node that calls a
 * function of the model is not the operator of that name, whatever its inputs look like.
 */
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
      const { domain, opType } = node;
      if (calledFunction(model, node) !== undefined) {
        const reason = `the model has a function of its own named ${domain}.${opType}, which is not the operator`;
        refusals.push({ dialect: found.dialect, node, at: describeNode(node), reason });
      } else if ("reason" in found) refusals.push(found);
      else sites.push(found);
    }
  }
  return { sites, refusals };
}
