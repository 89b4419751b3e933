import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { Tensor } from "../graph/tensor.ts";

/** The constant behind a value: an initializer, or what a Constant node gives; null where it is computed or given by the user. */
export function constantOf(value: Value): Tensor | null {
  return value.tensor ?? (value.producer === null ? null : constantGivenBy(value.producer));
}

/** What a node of the operator Constant holds; null for others, and for what is no dense tensor of numbers. */
export function constantGivenBy(node: Node): Tensor | null {
  if (node.domain !== "" || node.opType !== "Constant") return null;
  for (const each of node.attributes.values()) {
    if (each.name === "value" && each.kind === "tensor") return each.value.tensor;
    if (each.name === "value_int" && each.kind === "int")
      return Tensor.from(DataType.int64, [], BigInt64Array.of(each.value));
    if (each.name === "value_ints" && each.kind === "ints")
      return Tensor.from(DataType.int64, [each.value.length], BigInt64Array.from(each.value));
    if (each.name === "value_float" && each.kind === "float") return Tensor.scalar(DataType.float, each.value);
    if (each.name === "value_floats" && each.kind === "floats") return Tensor.floats([each.value.length], each.value);
  }
  return null;
}

/** Whether a value is held by the model: an initializer, a sparse one, or made by a Constant node. */
export function isHeld({ tensor, producer }: Value): boolean {
  return tensor !== null || (producer?.domain === "" && producer.opType === "Constant");
}
