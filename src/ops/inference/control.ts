import { graphsOf } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";

/** Nodes with graphs in them: what the inputs of a body are, and what the node gives. */

const isTensor = (call: InferenceCall, index: number): boolean => call.node.inputs[index]?.type?.kind !== "sequence";

const statesOf = (call: InferenceCall): number => call.node.inputs.length - call.int("num_scan_inputs");

/** A shape without one of its axes; the length of that axis. */
function cut(shape: readonly Dimension[] | null, axis: number): readonly Dimension[] | null {
  if (shape === null) return null;
  const at = axis < 0 ? axis + shape.length : axis;
  return shape.filter((_, each) => each !== at);
}

/** What is carried keeps its shape; of the others each step has a slice. */
const scanInputs: InferenceRule = (call) =>
  call.node.inputs.map((_, at) => {
    const slice = at - statesOf(call);
    if (slice < 0) return call.same(at);
    return { dtype: call.dtype(at), shape: cut(call.shape(at), call.ints("scan_input_axes")?.[slice] ?? 0) };
  });

/** The number of the step, whether it is done, and what is carried, whose sizes may change from step to step. */
const loopInputs: InferenceRule = (call) => [
  { dtype: DataType.int64, shape: [] },
  { dtype: DataType.bool, shape: [] },
  ...call.node.inputs.slice(2).map((_, at) => {
    return isTensor(call, 2 + at) ? call.open(call.dtype(2 + at), call.rank(2 + at)) : null;
  }),
];

/** What the inputs of the graph inside a node are, from the node's own. */
export const BODY_INPUTS: ReadonlyMap<string, InferenceRule> = new Map([
  ["Scan", scanInputs],
  ["Loop", loopInputs],
]);

const bodyOutputs = (call: InferenceCall): readonly (Inferred | null)[] => {
  const [body] = [...call.node.attributes.values()].flatMap(graphsOf);
  return (body?.outputs ?? []).map(({ type }) =>
    type?.kind === "tensor" ? { dtype: type.dtype, shape: type.shape } : null,
  );
};

/** One more axis, an entry per step. */
function piled(each: Inferred | null, steps: Dimension, axis: number): Inferred | null {
  if (each === null || each.shape === null) return each;
  const at = axis < 0 ? axis + each.shape.length + 1 : axis;
  return { dtype: each.dtype, shape: [...each.shape.slice(0, at), steps, ...each.shape.slice(at)] };
}

function scan(call: InferenceCall): readonly (Inferred | null)[] {
  const states = statesOf(call);
  const axis = call.ints("scan_input_axes")?.[0] ?? 0;
  const first = call.shape(states);
  const steps = first?.at(axis) ?? null;
  const axes = call.ints("scan_output_axes");
  return bodyOutputs(call).map((each, at) =>
    at < states ? call.same(at) : piled(each, steps, axes?.[at - states] ?? 0),
  );
}

function loop(call: InferenceCall): readonly (Inferred | null)[] {
  const carried = call.node.inputs.length - 2;
  return bodyOutputs(call)
    .slice(1)
    .map((each, at) => (at < carried ? each : piled(each, null, 0)));
}

/** What both branches of If give, or the one that is taken where the condition is known: exporters ask for ranks so. */
function ifOutputs(call: InferenceCall): readonly (Inferred | null)[] {
  const condition = call.content(0)?.[0];
  const open = ["then_branch", "else_branch"] as const;
  const names = typeof condition === "number" ? [condition === 0 ? open[1] : open[0]] : open;
  const branches = names.flatMap((name) => {
    const branch = call.node.attributes.get(name);
    return branch === undefined ? [] : graphsOf(branch);
  });
  return call.node.outputs.map((_, index) => {
    const [first, second = first] = branches.map(({ outputs }) => outputs[index]?.type ?? null);
    if (first?.kind !== "tensor" || second?.kind !== "tensor" || first.dtype !== second.dtype) return null;
    const isSameRank = first.shape !== null && first.shape.length === second.shape?.length;
    const shape = first.shape?.map((dim, axis) => (dim === second.shape?.[axis] ? dim : null)) ?? null;
    return { dtype: first.dtype, shape: isSameRank ? shape : null };
  });
}

export const CONTROL_INFERENCE: InferenceRows = [
  ["If", ifOutputs],
  ["Scan", scan],
  ["Loop", loop],
];
