import { resizingMatrix } from "../../autodiff/formulas/resizing.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import type { Compound } from "../decompose/compound.ts";
import type { Call } from "../lower-training-ops/lowering.ts";

/** What says how many elements an axis has; the others say how one is made. */
const OF_SIZES = ["axes", "keep_aspect_ratio_policy"];

/**
 * One product per axis, with the matrix [out, in] that ONNX Runtime resizes the identity to: in float32, as it interpolates, and the same
 * for the model and for its gradients.
 */
function resize(f: Formula, call: Call): readonly Value[] {
  const x = call.input(0);
  const rank = call.rank(0);
  const [from, to] = [shapeOf(x), shapeOf(call.output(0))];
  const attributes = [...call.node.attributes.values()].filter(({ name }) => !OF_SIZES.includes(name));
  const changed = axesFrom(0, rank).filter((axis) => typeof from?.[axis] !== "number" || from[axis] !== to?.[axis]);
  const y = changed.reduce((all, axis) => {
    const matrix = f.cast(resizingMatrix(f.typed(DataType.float), call, axis, attributes), f.dtype);
    const last = [...axesFrom(0, axis), ...axesFrom(axis + 1, rank), axis];
    const product = f.matmul(f.transpose(all, last), f.transpose(matrix, [1, 0]));
    return f.transpose(
      product,
      last.map((_, at) => last.indexOf(at)),
    );
  }, x);
  return [changed.length === 0 ? f.identity(y) : y];
}

/** Those that resize all axes as they say, without a region. */
function isPlain(node: Node): boolean {
  const view = new NodeView(node);
  const isOfAll = !view.gives("axes") && ["", "stretch"].includes(view.stringOrNull("keep_aspect_ratio_policy") ?? "");
  return isOfAll && view.string("coordinate_transformation_mode") !== "tf_crop_and_resize";
}

export const RESIZING: readonly Compound[] = [
  { domain: "", op: "Resize", source: "ONNX's operators", when: isPlain, parts: resize },
];
