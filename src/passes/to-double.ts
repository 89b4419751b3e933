import { type Attribute, attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Tensor } from "../graph/tensor.ts";
import { intAttribute } from "../ops/attributes.ts";

/** Inputs that are float32 whatever the tensor is. */
const ALWAYS_FLOAT: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/**
 * Makes a float32 model a float64 one: constants, casts and declared types. Not every runtime has float64 kernels for every
 * operator; whether it runs is found out by running it.
 */
export function toDouble(model: Model): void {
  for (const graph of walkGraphs(model.graph)) {
    for (const value of graph.initializers) if (!isAlwaysFloat(value)) value.tensor = widened(value.tensor);
    for (const value of [...graph.inputs, ...graph.outputs, ...graph.initializers]) widenType(value);
    for (const node of graph) {
      for (const output of node.outputs) if (output !== null) widenType(output);
      widenNode(node);
    }
    graph.clearValueInfo();
  }
}

function isAlwaysFloat(value: Value | null): boolean {
  const uses = value?.uses ?? [];
  return (
    uses.length > 0 &&
    uses.every(({ user, index }) => "opType" in user && (ALWAYS_FLOAT[user.opType]?.includes(index) ?? false))
  );
}

function widenNode(node: Node): void {
  if (node.opType === "Cast" && intAttribute(node, "to", 0) === DataType.float) {
    node.attributes.set("to", attribute.int("to", DataType.double));
  }
  if (node.opType === "Constant" && isAlwaysFloat(node.outputs[0] ?? null)) return;
  for (const each of [...node.attributes.values()]) {
    if (each.kind === "tensor") {
      const tensor = widened(each.value.tensor);
      if (tensor !== null) node.attributes.set(each.name, { ...each, value: { ...each.value, tensor } } as Attribute);
    }
    if (node.opType === "Constant" && each.kind === "float") {
      node.attributes.delete(each.name);
      node.attributes.set("value", attribute.tensor("value", Tensor.scalar(DataType.double, each.value)));
    }
  }
}

function widened(tensor: Tensor | null): Tensor | null {
  if (tensor?.dtype !== DataType.float) return tensor;
  return Tensor.from(DataType.double, tensor.dims, Float64Array.from(tensor.values() as Float32Array));
}

function widenType(value: Value): void {
  if (value.type?.kind === "tensor" && value.type.dtype === DataType.float && !isAlwaysFloat(value)) {
    value.type = { ...value.type, dtype: DataType.double };
  }
}
