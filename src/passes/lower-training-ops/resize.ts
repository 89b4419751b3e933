import type { Attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.12";

const KEPT = ["mode", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "nearest_mode"];

/** The matrix [out, in] that resizes one axis, found by resizing the identity. */
function resizing(f: Formula, size: Value, scale: Value, attributes: readonly Attribute[]): Value {
  const identity = f.emit("EyeLike", [f.zeros(f.vector(size, size))]);
  const single = f.typed(DataType.float);
  const scales = single.concat([scale, single.reshape(single.number(1), [1])], 0);
  return f.emit("Resize", [identity, null, scales], { attributes });
}

/** View: consecutive pieces of one buffer, each with its own shape. */
function pieces(f: Formula, buffer: Value, shapes: readonly Value[]): readonly Value[] {
  const int = f.typed(DataType.int64);
  const flat = f.flat(buffer);
  let start = int.ints([0]);
  return shapes.map((shape) => {
    const end = int.add(start, int.reduce("ReduceProd", shape, null));
    const piece = f.reshapeTo(f.slice(flat, start, end, [0]), shape);
    start = end;
    return piece;
  });
}

export const RESHAPING: readonly Lowering[] = [
  {
    op: "ResizeGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [dY, x, scales] = [call.input(0), call.input(1), call.input(3)];
      const attributes = [...call.node.attributes.values()].filter(({ name }) => KEPT.includes(name));
      const along = (axis: number): Value =>
        resizing(f, f.dim(x, axis), f.slice(scales, [axis], [axis + 1], [0]), attributes);
      return [f.matmul(f.transpose(along(2), [1, 0]), f.matmul(dY, along(3)))];
    },
  },
  { op: "View", source: SOURCE, lower: (f, call) => pieces(f, call.input(0), call.inputs.slice(1)) },
];
