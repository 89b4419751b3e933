import type { Node, Value } from "../../graph/graph.ts";
import { NodeView } from "../../ops/node-view.ts";

/** How many layers are taken out of a parameter one by one along its first axis; null where it is one layer's. */
export function stackOf({ type, uses }: Value): number | null {
  const count = type?.kind === "tensor" && type.shape !== null && type.shape.length > 2 ? type.shape[0] : null;
  if (typeof count !== "number" || count < 2) return null;
  const pieces = uses.reduce((sum, { user }) => sum + ("opType" in user ? piecesTakenBy(user, count) : 0), 0);
  return pieces >= count ? count : null;
}

/** How many entries of the first axis, of so many, a node takes apart. */
function piecesTakenBy(node: Node, count: number): number {
  if (node.opType === "Scan") return count;
  const isFirst = (): boolean => new NodeView(node).int("axis") === 0;
  if (node.opType === "Split") return isFirst() && node.outputs.length === count ? count : 0;
  const [, index] = node.inputs;
  const isOne = index?.type?.kind === "tensor" && index.type.shape?.every((dim) => dim === 1) === true;
  if (node.opType === "Gather") return isOne && isFirst() ? 1 : 0;
  const [output] = node.outputs;
  const made = output?.type?.kind === "tensor" ? output.type.shape : null;
  return node.opType === "Slice" && made?.[0] === 1 ? 1 : 0;
}
