import { type Kind, listOf, TEXT, withFields } from "../arguments.ts";
import { FormatError } from "../errors.ts";
import type { Graph } from "./graph.ts";
import { A_TENSOR, NO_SIZE, type Tensor } from "./tensor.ts";
import type { ValueType } from "./value-type.ts";

/** A COO sparse tensor. */
export interface SparseTensor {
  readonly name: string;
  readonly values: Tensor | null;
  readonly indices: Tensor | null;
  readonly dims: readonly number[];
}

export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

export const NAMED_TENSORS: Kind = listOf(
  withFields({ name: TEXT, tensor: A_TENSOR }, "a named tensor"),
  "a list of { name, tensor }, the tensors of the class GraphTensor",
);

export interface AttributeValues {
  readonly float: number;
  readonly int: bigint;
  readonly string: Uint8Array;
  readonly tensor: NamedTensor;
  readonly graph: Graph;
  readonly "sparse-tensor": SparseTensor;
  readonly type: ValueType | null;
  readonly floats: readonly number[];
  readonly ints: readonly bigint[];
  readonly strings: readonly Uint8Array[];
  readonly tensors: readonly NamedTensor[];
  readonly graphs: readonly Graph[];
  readonly "sparse-tensors": readonly SparseTensor[];
  readonly types: readonly (ValueType | null)[];
  /** Inside a function body: the function's attribute that gives the value, and what kind of value it is. */
  readonly reference: { readonly attribute: string; readonly type: AttributeKind };
  readonly undefined: null;
}

export type AttributeKind = keyof AttributeValues;

/** An immutable attribute; only graphs inside it can change. */
export type Attribute = {
  readonly [Kind in AttributeKind]: {
    readonly name: string;
    readonly kind: Kind;
    readonly value: AttributeValues[Kind];
  };
}[AttributeKind];

function whole(value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isInteger(value)) throw new FormatError(NO_SIZE, `${value} is no size`);
  return BigInt(value);
}

/** What the builder and passes accept as attribute values: a number is a float, a bigint an int. */
const utf8 = new TextEncoder();

export const attribute = {
  float: (name: string, value: number): Attribute => ({ name, kind: "float", value }),
  int: (name: string, value: number | bigint): Attribute => ({ name, kind: "int", value: whole(value) }),
  string: (name: string, value: string): Attribute => ({ name, kind: "string", value: utf8.encode(value) }),
  /** @throws FormatError `E_SHAPE` for what is no whole number */
  ints: (name: string, value: readonly (number | bigint)[]): Attribute => ({
    name,
    kind: "ints",
    value: value.map(whole),
  }),
  floats: (name: string, value: readonly number[]): Attribute => ({ name, kind: "floats", value }),
  tensor: (name: string, tensor: Tensor): Attribute => ({ name, kind: "tensor", value: { name: "", tensor } }),
  graph: (name: string, value: Graph): Attribute => ({ name, kind: "graph", value }),
} as const;

/** The graphs an attribute holds: bodies of If, Loop, Scan, SequenceMap. */
export function graphsOf(attribute: Attribute): readonly Graph[] {
  if (attribute.kind === "graph") return [attribute.value];
  if (attribute.kind === "graphs") return attribute.value;
  return [];
}
