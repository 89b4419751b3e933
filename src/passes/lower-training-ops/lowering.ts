import { GraphError, type OnnxAgrError, PassError } from "../../errors.ts";
import { describeNode, type Node, type Value } from "../../graph/graph.ts";
import { floatAttribute, floatsAttribute, intAttribute, intsAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { Formula } from "../../ops/formula.ts";
import { rankOf } from "../../ops/value-types.ts";

/** How one operator of ONNX Runtime's training builds is written in standard operators. */
export interface Lowering {
  /** Default `com.microsoft`. */
  readonly domain?: string;
  readonly op: string;
  /** Where the operator's meaning is written down. */
  readonly source: string;
  /** Emits the operator's outputs, in their order; null for one that nobody reads. */
  readonly lower: (f: Formula, call: Call) => readonly (Value | null)[];
  /** Outputs that overwrite an input in place: `[output, input]`. A graph input among them becomes state. */
  readonly renews?: readonly (readonly [output: number, input: number])[];
}

/** One node to be lowered, with its inputs and attributes at hand. */
export class Call {
  readonly node: Node;

  constructor(node: Node) {
    this.node = node;
  }

  /** @throws GraphError `E_GRAPH` where the node lacks it */
  input(index: number): Value {
    const value = this.node.inputs[index];
    if (value !== undefined && value !== null) return value;
    throw new GraphError("E_GRAPH", `${describeNode(this.node)} has no input ${index}`);
  }

  optional(index: number): Value | null {
    return this.node.inputs[index] ?? null;
  }

  get inputs(): readonly Value[] {
    return this.node.inputs.filter((value) => value !== null);
  }

  /** Whether the node has this output and something reads it. */
  wants(index: number): boolean {
    return (this.node.outputs[index]?.uses.length ?? 0) > 0;
  }

  int = (name: string, fallback: number): number => intAttribute(this.node, name, fallback);
  float = (name: string, fallback: number): number => floatAttribute(this.node, name, fallback);
  string = (name: string, fallback: string): string => stringAttribute(this.node, name, fallback);
  ints = (name: string): readonly number[] | null => intsAttribute(this.node, name, null);
  floats = (name: string): readonly number[] | null => floatsAttribute(this.node, name, null);

  /** The number of axes of an input. @throws PassError `E_NO_SHAPE` where the model does not tell it */
  rank(index: number): number {
    const rank = rankOf(this.input(index));
    if (rank !== null) return rank;
    throw new PassError(
      "E_NO_SHAPE",
      `${describeNode(this.node)}: the rank of "${this.input(index).name}" is not known`,
      {
        field: this.input(index).name,
        hint: "Run ONNX shape inference on the model first, so that it has value_info.",
      },
    );
  }

  /** The node cannot be lowered with these attributes. */
  refuse = (reason: string): OnnxAgrError =>
    new PassError("E_NO_LOWERING", `${describeNode(this.node)} cannot be lowered: ${reason}`, {
      field: this.node.name,
    });
}
