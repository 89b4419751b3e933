import { type OnnxAgrError, PassError } from "../../errors.ts";
import { describeNode, type Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import type { OpType } from "../../ops/operators/index.ts";
import { unknownShapeOf } from "../../ops/unknown-shape.ts";
import { rankOf } from "../../ops/value-types.ts";

/** How one operator of ONNX Runtime's training builds is written in standard operators. */
export interface Lowering {
  /** Default `com.microsoft`. */
  readonly domain?: string;
  readonly op: OpType;
  /** Where the operator's meaning is written down. */
  readonly source: string;
  /** Emits the operator's outputs, in their order; null for one that nobody reads. */
  readonly lower: (f: Formula, call: Call) => readonly (Value | null)[];
  /** Outputs that overwrite an input in place: `[output, input]`. A graph input among them becomes state. */
  readonly renews?: readonly (readonly [output: number, input: number])[];
}

/** One node to be lowered, with its inputs and attributes at hand. */
export class Call extends NodeView {
  /** Whether the node has this output and something reads it. */
  wants(index: number): boolean {
    return (this.node.outputs[index]?.uses.length ?? 0) > 0;
  }

  /** The number of axes of an input. @throws PassError `E_NO_SHAPE` where the model does not tell it */
  rank(index: number): number {
    const rank = rankOf(this.input(index));
    if (rank !== null) return rank;
    const { reason, hint } = unknownShapeOf(this.input(index));
    throw new PassError("E_NO_SHAPE", `${describeNode(this.node)}: ${reason}`, {
      field: this.input(index).name,
      hint,
    });
  }

  /** The node cannot be lowered with these attributes. */
  refuse = (reason: string): OnnxAgrError =>
    new PassError("E_NO_LOWERING", `${describeNode(this.node)} cannot be lowered: ${reason}`, {
      field: this.node.name,
    });
}
