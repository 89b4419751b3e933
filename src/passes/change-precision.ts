import { type Attribute, attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { fromBfloat, fromHalf } from "../graph/half.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Tensor } from "../graph/tensor.ts";
import { NodeView } from "../ops/node-view.ts";
import { decompose } from "./decompose/index.ts";
import { IN_FLOAT64 } from "./float64/table.ts";

/** Inputs that are float32 whatever the tensor is. */
const ALWAYS_FLOAT: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };
/** Attributes that say what type a node makes. */
const TYPE_ATTRIBUTES: Readonly<Record<string, "to" | "dtype">> = {
  Cast: "to",
  EyeLike: "dtype",
  Bernoulli: "dtype",
  RandomNormal: "dtype",
  RandomNormalLike: "dtype",
  RandomUniform: "dtype",
  RandomUniformLike: "dtype",
};

/** What an entry of a typed array stands for. */
const READERS = new Map<number, (entry: number) => number>([
  [DataType.float, (value) => value],
  [DataType.float16, fromHalf],
  [DataType.bfloat16, fromBfloat],
]);

interface Change {
  readonly from: ReadonlySet<number>;
  readonly to: typeof DataType.float | typeof DataType.double;
}

/**
 * Makes a model of float32, float16 or bfloat16 a float64 one: constants, casts and declared types. Not every runtime has
 * float64 kernels for every operator; whether it runs is found out by running it.
 */
export function toDouble(model: Model): void {
  change(model, { from: new Set([DataType.float, DataType.float16, DataType.bfloat16]), to: DataType.double });
  /** What cannot be written in others stays, and is found out by running it. */
  decompose(model, IN_FLOAT64, () => undefined);
}

/** Makes what a model has in float16 and bfloat16 float32: constants, casts and declared types. */
export function toSingle(model: Model): void {
  change(model, { from: new Set([DataType.float16, DataType.bfloat16]), to: DataType.float });
}

/** A tensor of float16 or bfloat16 in float32, which has all its values; others as they are. */
export function singleOf(tensor: Tensor): Tensor {
  return changed(tensor, { from: new Set([DataType.float16, DataType.bfloat16]), to: DataType.float });
}

function change(model: Model, how: Change): void {
  for (const graph of walkGraphs(model.graph)) {
    for (const value of graph.initializers) {
      if (value.tensor !== null && !isAlwaysFloat(value)) value.tensor = changed(value.tensor, how);
    }
    for (const value of [...graph.inputs, ...graph.outputs, ...graph.initializers]) changeType(value, how);
    for (const node of graph) {
      for (const output of node.outputs) if (output !== null) changeType(output, how);
      changeNode(node, how);
    }
    const initializers = new Set(graph.initializers);
    /** What is declared of initializers says what they were computed from, too. */
    for (const { value } of graph.valueInfo) if (!initializers.has(value)) graph.undeclare(value);
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

function changeNode(node: Node, how: Change): void {
  const named = Object.hasOwn(TYPE_ATTRIBUTES, node.opType) ? TYPE_ATTRIBUTES[node.opType] : undefined;
  if (named !== undefined && how.from.has(new NodeView(node).intOrNull(named) ?? DataType.undefined)) {
    node.attributes.set(named, attribute.int(named, how.to));
  }
  if (node.opType === "Constant" && isAlwaysFloat(node.outputs[0] ?? null)) return;
  for (const each of [...node.attributes.values()]) {
    if (each.kind === "tensor") {
      const tensor = changed(each.value.tensor, how);
      node.attributes.set(each.name, { ...each, value: { ...each.value, tensor } } as Attribute);
    }
    if (node.opType === "Constant" && each.kind === "float" && how.from.has(DataType.float)) {
      node.attributes.delete(each.name);
      node.attributes.set("value", attribute.tensor("value", Tensor.scalar(how.to, each.value)));
    }
  }
}

function changed(tensor: Tensor, { from, to }: Change): Tensor {
  const read = READERS.get(tensor.dtype);
  if (read === undefined || !from.has(tensor.dtype)) return tensor;
  const bits = tensor.values();
  if (bits instanceof BigInt64Array || bits instanceof BigUint64Array) return tensor;
  const numbers = Float64Array.from(bits, read);
  return Tensor.from(to, tensor.dims, to === DataType.double ? numbers : Float32Array.from(numbers));
}

function changeType(value: Value, { from, to }: Change): void {
  if (value.type?.kind === "tensor" && from.has(value.type.dtype) && !isAlwaysFloat(value)) {
    value.type = { ...value.type, dtype: to };
  }
}
