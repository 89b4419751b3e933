import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { NodeView } from "./node-view.ts";

/** The element type of a value: as declared, else as the nodes that make it take it over from their first input. */
export function elementTypeOf(value: Value): number {
  const seen = new Set<Value>();
  for (let at: Value | null = value; at !== null && !seen.has(at); ) {
    seen.add(at);
    if (at.tensor !== null) return at.tensor.dtype;
    if (at.type?.kind === "tensor") return at.type.dtype;
    const producer: Node | null = at.producer;
    if (producer === null) break;
    if (producer.opType === "Cast") return new NodeView(producer).int("to");
    at = producer.inputs[producer.opType === "Where" ? 1 : 0] ?? null;
  }
  return DataType.float;
}
