import type { Attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { NodeView } from "../../ops/node-view.ts";

/** The matrix [out, in] that resizes one axis, found by resizing the identity. @param attributes those of the Resize that it keeps */
export function resizingMatrix(
  f: Formula,
  node: Pick<NodeView, "input" | "optional">,
  axis: number,
  attributes: readonly Attribute[],
): Value {
  const int = f.typed(DataType.int64);
  const size = int.dim(node.input(0), axis);
  const identity = f.emit("EyeLike", [f.zeros(int.vector(size, size))]);
  const sizes = node.optional(3);
  if (sizes !== null) {
    const target = int.vector(int.slice(sizes, [axis], [axis + 1], [0]), size);
    return f.emit("Resize", [identity, null, null, target], { attributes });
  }
  const single = f.typed(DataType.float);
  const scale = single.slice(node.input(2), [axis], [axis + 1], [0]);
  const scales = single.concat([scale, single.reshape(single.number(1), [1])], 0);
  return f.emit("Resize", [identity, null, scales], { attributes });
}
