import { GraphError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call } from "../lower-training-ops/lowering.ts";

/** A value of the optimizer's graph written out: a tensor, or the tensors of a sequence. */
export type Unrolled = Value | readonly Value[];

export function isList(value: Unrolled): value is readonly Value[] {
  return Array.isArray(value);
}

export interface SequenceCall {
  readonly call: Call;
  readonly f: Formula;
  /** Input `index` as a sequence. */
  readonly sequence: (index: number) => readonly Value[];
  readonly tensor: (index: number) => Value;
  /** Input `index` as it is. */
  readonly entry: (index: number) => Unrolled;
  /** Input `index` as a number known when the graph is written. */
  readonly number: (index: number) => number;
  readonly present: (index: number) => boolean;
  /** Writes out a body graph for these inputs. */
  readonly inline: (name: string, inputs: readonly Value[]) => readonly Value[];
}

/** What an operator on sequences does, tensor by tensor. */
export interface SequenceRule {
  readonly domain: string;
  readonly op: string;
  readonly unroll: (call: SequenceCall) => readonly Unrolled[];
}

function at<T>(list: readonly T[], index: number, what: Call): T {
  const found = list.at(index);
  if (found !== undefined) return found;
  throw new GraphError("E_GRAPH", `position ${index} of a sequence of ${list.length} (${what.node.opType})`, {
    field: what.node.name,
  });
}

const position = ({ present, number }: SequenceCall, index: number, fallback: number): number =>
  present(index) ? number(index) : fallback;

export const SEQUENCE_RULES: readonly SequenceRule[] = [
  { domain: "", op: "SequenceConstruct", unroll: ({ call }) => [call.inputs] },
  { domain: "", op: "SequenceEmpty", unroll: () => [[]] },
  {
    domain: "",
    op: "SequenceAt",
    unroll: ({ call, sequence, number }) => [at(sequence(0), number(1), call)],
  },
  {
    domain: "",
    op: "SequenceInsert",
    unroll: (rule) => {
      const list = rule.sequence(0);
      return [list.toSpliced(position(rule, 2, list.length), 0, rule.tensor(1))];
    },
  },
  {
    domain: "",
    op: "SequenceErase",
    unroll: (rule) => [rule.sequence(0).toSpliced(position(rule, 1, -1), 1)],
  },
  { domain: "", op: "SequenceLength", unroll: ({ f, sequence }) => [f.reshape(f.ints([sequence(0).length]), [])] },
  {
    domain: "",
    op: "SequenceMap",
    unroll: ({ call, sequence, entry, inline }) => {
      const others = call.node.inputs.slice(1).map((_, index) => entry(index + 1));
      const results = sequence(0).map((value, element) => {
        const beside = others.map((other) => (isList(other) ? at(other, element, call) : other));
        return inline("body", [value, ...beside]);
      });
      return call.node.outputs.map((_, output) => results.map((each) => at(each, output, call)));
    },
  },
  {
    domain: MICROSOFT,
    op: "InplaceClipGradNorm",
    unroll: ({ call, f, sequence }) => {
      const gradients = sequence(0);
      const norm = call.string("norm_type");
      if (norm !== "fro") throw call.refuse(`norm_type is "${norm}"`);
      const squares = gradients.map((gradient) => f.sum(f.square(gradient), null, false));
      const total = f.sqrt(f.emit("Sum", squares));
      const factor = f.min(f.div(call.float("max_norm"), f.add(total, 1e-6)), 1);
      return [gradients.map((gradient) => f.mul(gradient, factor))];
    },
  },
  {
    domain: MICROSOFT,
    op: "ReduceAllL2",
    unroll: ({ f, sequence }) => {
      const squares = sequence(0).map((gradient) => f.sum(f.square(gradient), null, false));
      return [f.sqrt(f.emit("Sum", squares))];
    },
  },
];
