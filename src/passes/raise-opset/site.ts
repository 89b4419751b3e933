import { type Replacement, replaceNode } from "../../edits/replace-node.ts";
import { PassError } from "../../errors.ts";
import { type Attribute, attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { Builder, type EmitOptions } from "../../ops/builder.ts";
import { constantOf } from "../../ops/constants.ts";
import { NodeView } from "../../ops/node-view.ts";
import type { StandardOperator } from "../../ops/operators/index.ts";

/** Where one node is rewritten as a later opset has it. What is emitted must be valid in that opset. */
export class ConversionSite {
  readonly node: Node;
  /** The node as the opset before has it. */
  readonly before: NodeView;
  readonly opset: number;
  readonly #graph: Graph;
  readonly #build: Builder;
  readonly #infer: () => void;
  #result: Node;

  constructor(graph: Graph, node: Node, opset: number, names: Names, infer: () => void) {
    const output = node.outputs.find((value) => value !== null)?.name ?? node.opType;
    this.node = node;
    this.before = new NodeView(node, opset - 1);
    this.opset = opset;
    this.#graph = graph;
    this.#build = new Builder({ prefix: node.name || output, names });
    this.#infer = infer;
    this.#result = node;
  }

  /** What stands in the node's place: what was emitted, and the node itself or another. */
  get nodes(): readonly Node[] {
    return [...this.#build.nodes, this.#result];
  }

  /** An int64 vector. The largest numbers, of which exporters make ends that mean the border, are the largest that there are. */
  ints(values: readonly number[], hint: string): Value {
    const elements = BigInt64Array.from(values, (value) => {
      if (value >= 2 ** 63) return 2n ** 63n - 1n;
      return value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(value);
    });
    return this.#build.constant(Tensor.from(DataType.int64, [values.length], elements), hint);
  }

  constant(tensor: Tensor, hint: string): Value {
    return this.#build.constant(tensor, hint);
  }

  emit(op: StandardOperator, inputs: readonly (Value | null)[], options?: EmitOptions): Value {
    return this.#build.emit(op, inputs, options);
  }

  /** The node once more, of another input and with other attributes. */
  again(input: Value | null, attributes: readonly Attribute[]): Value {
    return this.#build.again(this.node, [input], attributes);
  }

  /** Puts what was emitted before the node, and another node in its place. */
  replace(replacement: Replacement): void {
    this.#graph.insertBefore(this.node, ...this.#build.nodes);
    this.#result = replaceNode(this.#graph, this.node, replacement);
  }

  /** The node's attributes but some, and others beside them. */
  attributes(without: readonly string[], more: readonly Attribute[] = []): readonly Attribute[] {
    const left = [...this.node.attributes.values()].filter(({ name }) => !without.includes(name));
    return [...left, ...more];
  }

  /** Gives the node an attribute, unless it has it. */
  setDefault(name: string, value: string): void {
    if (!this.node.attributes.has(name)) this.node.attributes.set(name, attribute.string(name, value));
  }

  /** @throws PassError `E_NO_UPGRADE` */
  dtypeOf(input: number): number {
    const type = this.#typeOf(input);
    if (type === null) throw this.refusal(`the element type of its input ${input} is not known`);
    return type.dtype;
  }

  /** Null where it is not known. */
  rankOf(input: number): number | null {
    return this.#typeOf(input)?.shape?.length ?? null;
  }

  /** Null where not even their number is known. */
  sizesOf(input: number): readonly Dimension[] | null {
    return this.#typeOf(input)?.shape ?? null;
  }

  #typeOf(input: number) {
    const value = this.node.inputs[input] ?? null;
    const known = (): boolean => value?.type?.kind === "tensor" && value.type.shape !== null;
    if (!known()) this.#infer();
    return value?.type?.kind === "tensor" ? value.type : null;
  }

  /** The numbers of an input that is a constant of the model; null for any other. */
  valuesOf(input: number): readonly number[] | null {
    const value = this.node.inputs[input] ?? null;
    const tensor = value === null ? null : constantOf(value);
    return tensor === null || tensor.data.kind === "external" ? null : Array.from(tensor.values(), Number);
  }

  refusal(reason: string): PassError {
    return new PassError(
      "E_NO_UPGRADE",
      `${describeNode(this.node)} cannot be raised to opset ${this.opset}: ${reason}`,
      {
        field: this.node.name || (this.node.outputs[0]?.name ?? this.node.opType),
        hint: `Export the model with opset ${this.opset} or later.`,
      },
    );
  }
}

/** Rewrites a node of the opset before as one of the site's opset. */
export type Conversion = (site: ConversionSite) => void;
