import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { replaceNode } from "../../edits/replace-node.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import { elementTypeOf } from "../../ops/element-type.ts";

/**
 * Has `Max` raise what lies below a limit to it where `Less` and `Where` do: it gives the same bits, a NaN where there is one, too.
 * @param graph of which types are inferred
 */
export function raiseByMax(graph: Graph): void {
  for (const node of graph) {
    const raised = raisedBy(node);
    if (raised !== null) replaceNode(graph, node, { opType: "Max", inputs: raised });
  }
  removeDeadNodes(graph);
}

/** What a node raises, and the limit; null where it is another node. */
function raisedBy({ domain, opType, inputs: [is, limit, value] }: Node): readonly [Value, Value] | null {
  const less = is?.producer ?? null;
  if (domain !== "" || opType !== "Where" || less?.domain !== "" || less.opType !== "Less") return null;
  if (!value || !limit || less.inputs[0] !== value || less.inputs[1] !== limit) return null;
  return elementTypeOf(value) === DataType.float && isPositive(limit) ? [value, limit] : null;
}

/** Zeros differ in their sign, and `Max` may give either. */
const isPositive = (value: Value): boolean => {
  const numbers = constantOf(value)?.values() ?? [];
  return numbers.length > 0 && [...numbers].every((number) => Number(number) > 0);
};
