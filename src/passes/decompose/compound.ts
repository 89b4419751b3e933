import { unknownAttribute } from "../../autodiff/attributes.ts";
import { GradientError, type OnnxAgrError } from "../../errors.ts";
import { describeNode, type Node, type Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import type { Formula } from "../../ops/formula.ts";
import type { OpType } from "../../ops/operators/index.ts";
import { Call, type Lowering } from "../lower-training-ops/lowering.ts";

/** How an operator that is made of others is written in those. */
export interface Compound {
  readonly domain: string;
  readonly op: OpType;
  readonly source: string;
  /** Which nodes. Default: all. */
  readonly when?: (node: Node) => boolean;
  readonly parts: (f: Formula, call: Call) => readonly (Value | null)[];
}

export const keyOf = (domain: string, op: string): string => (domain === "" ? op : `${domain}.${op}`);

/** The same as a lowering, which refuses attributes that the parts do not know. */
export function loweringOfCompound({ domain, op, source, parts }: Compound): Lowering {
  return {
    domain,
    op,
    source,
    lower: (f, call) => {
      const unknown = unknownAttribute(call.node);
      if (unknown !== null) throw call.refuse(unknown);
      return parts(f, call);
    },
  };
}

/** A node whose parts are to be differentiated. */
export class Decomposed extends Call {
  override refuse = (reason: string): OnnxAgrError =>
    new GradientError("E_NO_GRADIENT", `${describeNode(this.node)} has no gradient: ${reason}`, {
      field: this.node.name,
      hint: "Freeze the parameters before it, or export the model without it.",
    });
}

export const isMicrosoft = ({ domain }: Compound): boolean => domain === MICROSOFT;
