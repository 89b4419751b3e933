import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import { resizingMatrix } from "../formulas/resizing.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

const RESIZE_KEPT = [
  ...["mode", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "nearest_mode", "antialias"],
];

/** Every mode works along one axis after the other, as a matrix [out, in] per axis, found by resizing the identity. */
function resize(b: Backward): InputGradients {
  const { f, sizes } = b;
  const kept = [...b.node.attributes.values()].filter(({ name }) => RESIZE_KEPT.includes(name));
  const coordinates = b.string("coordinate_transformation_mode");
  if (coordinates === "tf_crop_and_resize") throw b.refuse("its coordinate_transformation_mode is tf_crop_and_resize");
  if (b.int("antialias") === 1 && b.int("exclude_outside") === 1) {
    throw b.refuse("ONNX Runtime has no antialias with exclude_outside");
  }
  const rank = b.rank(0);
  const [from, to] = [b.shape(0), shapeOf(b.output(0))];
  const changed = axesFrom(0, rank).filter((axis) => axis >= 2 || from?.[axis] !== to?.[axis]);
  const gradient = changed
    .filter((axis) => typeof from?.[axis] !== "number" || from[axis] !== to?.[axis])
    .reduce((dy, axis) => {
      const matrix = resizingMatrix(f, b, axis, kept);
      const last = [...axesFrom(0, axis), ...axesFrom(axis + 1, rank), axis];
      const product = f.matmul(f.transpose(dy, last), matrix);
      return f.transpose(
        product,
        last.map((_, at) => last.indexOf(at)),
      );
    }, b.dy);
  return [f.reshape(gradient, sizes.target(b.input(0)))];
}

export const RESIZING_RULES: GradientTable = { Resize: { gradient: resize } };
