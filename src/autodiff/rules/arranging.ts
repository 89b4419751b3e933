import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Sizes } from "../../ops/sizes.ts";
import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import { unbroadcast } from "../broadcast.ts";
import { again, byPlaces } from "../places.ts";
import type { Backward, GradientRule, GradientTable, InputGradients } from "../rule.ts";

/** Back to the input's shape: operators that only change the shape. */
const reshaped: GradientRule = { gradient: (b) => [b.f.reshape(b.dy, b.sizes.target(b.input(0)))] };

function transpose(b: Backward): InputGradients {
  const perm = b.ints("perm") ?? axesFrom(0, b.rank(0)).toReversed();
  const back = perm.map((_, axis) => perm.indexOf(axis));
  return [b.f.transpose(b.dy, back)];
}

function concat(b: Backward): InputGradients {
  const { f, sizes, node } = b;
  const axis = b.axis();
  const parts = node.inputs.map((_, index) => sizes.of(b.input(index), axis, axis + 1));
  return f.build.emitAll("Split", [b.dy, sizes.value(sizes.concat(...parts))], node.inputs.length, {
    attributes: [attribute.int("axis", axis)],
  });
}

/** An output without a gradient counts as zeros. */
function split(b: Backward): InputGradients {
  const { f, node } = b;
  const axis = b.axis();
  const parts = node.outputs.flatMap((output, index) =>
    output === null ? [] : [b.dyOf(index) ?? f.zeros(f.shape(output))],
  );
  return [f.concat(parts, axis)];
}

function slice(b: Backward): InputGradients {
  const { f, sizes } = b;
  const starts = b.constantsOrNull(1);
  const steps = b.optional(4) === null ? [] : b.constantsOrNull(4);
  const rank = b.rank(0);
  const axes = (b.constants(3) ?? starts?.map((_, index) => index) ?? []).map((axis) =>
    axis < 0 ? axis + rank : axis,
  );
  const isPlain = steps?.every((step) => step === 1) === true && starts?.every((start) => start >= 0) === true;
  if (starts === null || !isPlain) return [byPlaces(b, (places) => again(b, places))];
  const dims = b.shape(0);
  const begin = axesFrom(0, rank).map((axis) => {
    const start = starts[axes.indexOf(axis)] ?? 0;
    const dim = dims?.[axis];
    return typeof dim === "number" ? Math.min(start, dim) : start;
  });
  const end = sizes.sub(sizes.sub(sizes.of(b.input(0)), sizes.of(b.dy)), begin);
  return [f.emit("Pad", [b.dy, sizes.value(sizes.concat(begin, end))])];
}

function pad(b: Backward): InputGradients {
  const { f, sizes } = b;
  const mode = b.string("mode");
  if (mode !== "constant") return [byPlaces(b, (places) => again(b, places))];
  const dX = unpadded(b);
  if (!b.wants(2)) return [dX];
  const outside = f.sub(f.sum(b.dy, null, false), f.sum(dX, null, false));
  return [dX, null, f.reshape(outside, sizes.target(b.input(2)))];
}

/** What of dY is not of the pads; zeros where x was cut. */
function unpadded(b: Backward): Value {
  const { f, sizes } = b;
  const pads = b.constantsOrNull(1);
  if (pads === null || pads.some((each) => each < 0)) {
    const back = f.typed(DataType.int64).neg(b.input(1));
    const axes = b.optional(3);
    return f.emit("Pad", axes === null ? [b.dy, back] : [b.dy, back, null, axes]);
  }
  const rank = b.rank(0);
  const axes = (b.constants(3) ?? axesFrom(0, rank)).map((axis) => (axis < 0 ? axis + rank : axis));
  const whole = axesFrom(0, rank).map((axis) => pads[axes.indexOf(axis)] ?? 0);
  const end: Sizes = sizes.add(sizes.of(b.input(0)), whole);
  return f.slice(b.dy, whole, sizes.value(end), axesFrom(0, rank));
}

/** Repeats are axes of their own, over which dY is summed. */
function tile(b: Backward): InputGradients {
  const { f, sizes } = b;
  const rank = b.rank(0);
  const repeats = f.typed(DataType.int64);
  const dims = sizes.of(b.input(0));
  const pairs = axesFrom(0, rank).flatMap((axis): readonly Sizes[] => [
    repeats.slice(b.input(1), [axis], [axis + 1], [0]),
    sizes.slice(dims, axis, axis + 1),
  ]);
  const apart = f.reshape(b.dy, sizes.concat(...pairs));
  return [
    f.sum(
      apart,
      axesFrom(0, rank).map((axis) => 2 * axis),
      false,
    ),
  ];
}

/** [N, C, H, W] cut into squares: the inverse rearrangement, for either order of the depth. */
function depthToSpace(b: Backward): InputGradients {
  const { f, sizes } = b;
  const size = b.int("blocksize");
  const isDepthFirst = b.string("mode") === "DCR";
  const spatial = sizes.of(b.input(0), 2);
  const [height, width] = [sizes.slice(spatial, 0, 1), sizes.slice(spatial, 1, 2)];
  const apart = f.reshape(b.dy, sizes.concat([0, -1], height, [size], width, [size]));
  const back = f.transpose(apart, isDepthFirst ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4]);
  return [f.reshape(back, sizes.target(b.input(0)))];
}

function spaceToDepth(b: Backward): InputGradients {
  const attributes = [attribute.int("blocksize", b.int("blocksize")), attribute.string("mode", "DCR")];
  return [b.f.emit("DepthToSpace", [b.dy], { attributes })];
}

function trilu(b: Backward): InputGradients {
  return [b.f.emit("Trilu", [b.dy, b.optional(1)], { attributes: [...b.node.attributes.values()] })];
}

/** Turned round twice, a sequence is as it was. */
function reverseSequence(b: Backward): InputGradients {
  const attributes = [...b.node.attributes.values()];
  return [b.f.emit("ReverseSequence", [b.dy, b.input(1)], { attributes })];
}

export const ARRANGING_RULES: GradientTable = {
  Reshape: reshaped,
  Flatten: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: { gradient: transpose },
  Expand: { gradient: (b) => [unbroadcast(b.f, b.dy, shapeOf(b.output(0)), b.input(0))] },
  Tile: { gradient: tile },
  Concat: { gradient: concat },
  Split: { gradient: split },
  Slice: { gradient: slice },
  Pad: { gradient: pad },
  ReverseSequence: { gradient: reverseSequence },
  DepthToSpace: { gradient: depthToSpace },
  SpaceToDepth: { gradient: spaceToDepth },
  Trilu: { gradient: trilu },
};
