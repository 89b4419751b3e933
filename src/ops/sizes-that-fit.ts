import { GraphError, OnnxAgrError } from "../errors.ts";
import { describeNode, type Node } from "../graph/graph.ts";
import { NO_SIZE } from "../graph/tensor.ts";
import type { Dimension } from "../graph/value-type.ts";

/** Whether a size is one: fractions and negative numbers come from shapes that contradict each other. */
export const isSize = (dim: Dimension | undefined): boolean =>
  typeof dim !== "number" || (Number.isSafeInteger(dim) && dim >= 0);

/** @throws GraphError `E_SHAPE`, naming the node, for a shape that cannot be */
export function requireSizes(node: Node, shape: readonly Dimension[]): void {
  if (!shape.every(isSize)) throw contradiction(node, `the result would have the shape [${shape.join(",")}]`);
}

/** What `make` returns. Where it runs into a size that is none, the error names the node. */
export function requireSizesOf<T>(node: Node, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof OnnxAgrError) || error.code !== NO_SIZE) throw error;
    throw contradiction(node, error.message, error);
  }
}

function contradiction(node: Node, reason: string, cause?: unknown): GraphError {
  return new GraphError(NO_SIZE, `${describeNode(node)}: the shapes of its inputs contradict each other: ${reason}`, {
    field: node.name,
    hint: "The model is damaged; export it again.",
    cause,
  });
}
