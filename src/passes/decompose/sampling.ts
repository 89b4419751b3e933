import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import { SizeMath } from "../../ops/sizes.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import type { Compound } from "./compound.ts";

/** One axis of the image: where the window's places lie, before the offsets. */
interface Axis {
  readonly places: number;
  readonly dilation: number;
  readonly stride: number;
  readonly pad: number;
}

function axesOf(call: Call): readonly [Axis, Axis] {
  const kernel = call.ints("kernel_shape") ?? call.shape(1)?.slice(2) ?? [];
  const [strides, dilations, pads] = (["strides", "dilations", "pads"] as const).map((name) => call.ints(name));
  const axis = (at: number): Axis => {
    const places = kernel[at];
    if (typeof places !== "number" || kernel.length !== 2) {
      throw call.refuse("its kernel does not have two axes of known size");
    }
    return { places, dilation: dilations?.[at] ?? 1, stride: strides?.[at] ?? 1, pad: pads?.[at] ?? 0 };
  };
  return [axis(0), axis(1)];
}

/** Positions in the units of GridSample whose -1 and 1 are the outer edges of the outer pixels. */
function alongAxis(f: Formula, moved: Value, at: Value, image: Value, { stride, pad }: Axis, axis: number): Value {
  const size = f.cast(f.dim(image, axis), f.dtype);
  const numbers = f.cast(f.range(f.reshape(f.dim(moved, axis), [])), f.dtype);
  const steps = f.reshape(f.sub(f.mul(numbers, stride), pad), axis === 2 ? [-1, 1] : [-1]);
  const position = f.add(moved, f.add(at, steps));
  return f.sub(f.div(f.add(f.mul(position, 2), 1), size), 1);
}

/** Where each place of the window lies, [places, 1, 1]. */
function placesOf(
  f: Formula,
  [rows, columns]: readonly [Axis, Axis],
  pick: (row: number, column: number) => number,
): Value {
  const numbers = Array.from({ length: rows.places * columns.places }, (_, index) =>
    pick(Math.floor(index / columns.places) * rows.dilation, (index % columns.places) * columns.dilation),
  );
  const held = f.build.constant(Tensor.floats([numbers.length, 1, 1], numbers), "places");
  return f.dtype === DataType.float ? held : f.cast(held, f.dtype);
}

/** The image is sampled at each place of each window, moved by the offsets, and times the mask; then it is a product of matrices. */
function deformConv(f: Formula, call: Call): readonly Value[] {
  const [image, weight, offset] = [call.input(0), call.input(1), call.input(2)];
  const [groups, offsetGroups] = [call.int("group"), call.int("offset_group")];
  const axes = axesOf(call);
  const count = axes[0].places * axes[1].places;
  const sizes = new SizeMath(f);
  const int = f.typed(DataType.int64);
  const [height, width] = [f.dim(offset, 2), f.dim(offset, 3)];
  const area = int.mul(height, width);
  const offsets = f.reshape(offset, f.vector(-1, count, 2, height, width));
  const [y, x] = ([0, 1] as const).map((which) => {
    const moved = f.squeeze(f.slice(offsets, [which], [which + 1], [2]), [2]);
    const at = placesOf(f, axes, (row, column) => (which === 0 ? row : column));
    return f.unsqueeze(alongAxis(f, moved, at, image, axes[which], which + 2), [4]);
  });
  if (y === undefined || x === undefined) throw call.refuse("it has no offsets");
  const grid = f.reshape(f.concat([x, y], 4), [0, count, -1, 2]);
  const channels = int.div(f.dim(image, 1), offsetGroups);
  const parts = offsetGroups === 1 ? image : f.reshape(image, f.vector(-1, channels, f.shape(image, 2)));
  const sampled = f.emit("GridSample", [parts, grid], {
    attributes: [
      attribute.string("mode", f.opset < 20 ? "bilinear" : "linear"),
      attribute.string("padding_mode", "zeros"),
      attribute.int("align_corners", 0),
    ],
  });
  const mask = call.optional(4);
  const masked = mask === null ? sampled : f.mul(sampled, f.reshape(mask, f.vector(-1, 1, count, area)));
  const columns = f.reshape(masked, f.vector(f.dim(image, 0), groups, -1, area));
  const kernels = f.reshape(
    weight,
    sizes.value(sizes.concat([groups, -1], sizes.mul(sizes.of(weight, 1, 2), [count]))),
  );
  const product = f.reshape(f.matmul(kernels, columns), f.vector(0, -1, height, width));
  const bias = call.optional(3);
  return [bias === null ? product : f.add(product, f.reshape(bias, [1, -1, 1, 1]))];
}

export const SAMPLING: readonly Compound[] = [
  {
    domain: "",
    op: "DeformConv",
    source: "Zhu et al. 2018, arXiv 1811.11168; ONNX's operators, DeformConv",
    parts: deformConv,
  },
];
