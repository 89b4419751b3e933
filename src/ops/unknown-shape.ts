import { describeNode, type Node, type Value } from "../graph/graph.ts";
import { rankOf } from "./value-types.ts";

/** Where a shape stopped being known, and what to do about it. */
export interface UnknownShape {
  readonly reason: string;
  readonly hint: string;
}

/** Tells of a value without a known rank which input or node is to blame. */
export function unknownShapeOf(value: Value): UnknownShape {
  const source = sourceOf(value);
  if (source.producer === null) {
    return {
      reason: `the rank of "${value.name}" is not known, since the model does not declare that of its input "${source.name}"`,
      hint: `Declare the shape of "${source.name}", with names for sizes that change: export the model with an example input.`,
    };
  }
  const maker = describeNode(source.producer);
  const open = openSizes(source.producer);
  return {
    reason: `the rank of "${value.name}" is not known, since nothing tells what shape ${maker} makes`,
    hint:
      open.length === 0
        ? `Declare the shape of "${source.name}" in the model's value_info, as onnx.shape_inference.infer_shapes does.`
        : `Fix sizes that its inputs leave open, with --dim ${open[0]}=<size>, or declare the shape of "${source.name}" in the model's value_info.`,
  };
}

/** The value furthest back whose shape is not known while those it is made of are. */
function sourceOf(value: Value): Value {
  const seen = new Set<Value>();
  let at = value;
  while (!seen.has(at)) {
    seen.add(at);
    const before: Value | undefined =
      at.producer?.inputs.find(
        (input) => input !== null && input.tensor === null && rankOf(input) === null && !seen.has(input),
      ) ?? undefined;
    if (before === undefined) break;
    at = before;
  }
  return at;
}

/** Names of open sizes among a node's inputs. */
function openSizes(node: Node): readonly string[] {
  const dims = node.inputs.flatMap((input) => (input?.type?.kind === "tensor" ? (input.type.shape ?? []) : []));
  const names = dims.flatMap((dim) =>
    typeof dim === "string" ? (dim.match(/[A-Za-z_][\w.:]*(?![\w.:(])/g) ?? []) : [],
  );
  return [...new Set(names)];
}
