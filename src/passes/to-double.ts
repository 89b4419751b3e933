import { type Attribute, attribute } from "../graph/attribute.ts";
import { DataType, type TypedArray } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Tensor } from "../graph/tensor.ts";
import { NodeView } from "../ops/node-view.ts";

/** Inputs that are float32 whatever the tensor is. */
const ALWAYS_FLOAT: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/** The types that become float64, and how their elements are read. */
const NARROW = new Map<number, (values: TypedArray) => Float64Array>([
  [DataType.float, (values) => Float64Array.from(values as Float32Array)],
  [DataType.float16, (bits) => Float64Array.from(bits as Uint16Array, fromHalf)],
  [DataType.bfloat16, (bits) => Float64Array.from(bits as Uint16Array, fromBfloat)],
]);

/**
 * Makes a model of float32, float16 or bfloat16 a float64 one: constants, casts and declared types. Not every runtime has float64 kernels for every
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
    uses.every(
      ({ user, index }) =>
        "opType" in user &&
        Object.hasOwn(ALWAYS_FLOAT, user.opType) &&
        (ALWAYS_FLOAT[user.opType]?.includes(index) ?? false),
    )
  );
}

function widenNode(node: Node): void {
  if (node.opType === "Cast" && NARROW.has(new NodeView(node).int("to"))) {
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
  const read = tensor === null ? undefined : NARROW.get(tensor.dtype);
  if (tensor === null || read === undefined) return tensor;
  return Tensor.from(DataType.double, tensor.dims, read(tensor.values()));
}

function widenType(value: Value): void {
  if (value.type?.kind === "tensor" && NARROW.has(value.type.dtype) && !isAlwaysFloat(value)) {
    value.type = { ...value.type, dtype: DataType.double };
  }
}

function fromHalf(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  const value = exponent === 31 ? (fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN) : size;
  return bits & 0x8000 ? -value : value;
}

const fromBfloat = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0] ?? Number.NaN;
