import { replaceNode } from "../../edits/replace-node.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { NodeView } from "../../ops/node-view.ts";

/**
 * Sums magnitudes in one pass over them where nothing else reads them: ONNX Runtime's `ReduceL1` of a whole tensor adds in the order in
 * which its `ReduceSum` of `Abs` does, and gives the same to the bit.
 * @returns how many sums there were
 */
export function sumMagnitudes(graph: Graph): number {
  const found = graph.nodes.flatMap((node) => {
    const [magnitudes] = node.inputs;
    const abs = magnitudes?.producer ?? null;
    if (!magnitudes || elementTypeOf(magnitudes) !== DataType.float) return [];
    const isOne = isWholeSum(node) && abs?.domain === "" && abs.opType === "Abs" && magnitudes.uses.length === 1;
    return isOne ? [{ node, abs }] : [];
  });
  for (const { node, abs } of found) {
    const attributes = [...node.attributes.values()].filter(({ name }) => name === "keepdims");
    replaceNode(graph, node, { opType: "ReduceL1", inputs: abs.inputs, attributes });
    graph.remove(abs);
  }
  return found.length;
}

/** Whether a node adds up all of a tensor. */
function isWholeSum(node: Node): boolean {
  const { domain, opType, inputs, attributes } = node;
  if (domain !== "" || opType !== "ReduceSum" || inputs[1] || attributes.has("axes")) return false;
  return new NodeView(node).int("noop_with_empty_axes") === 0;
}
