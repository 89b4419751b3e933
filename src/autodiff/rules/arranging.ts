import { type Attribute, attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { paddingRowOf } from "../../ops/padding-row.ts";
import type { Sizes } from "../../ops/sizes.ts";
import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import { unbroadcast } from "../broadcast.ts";
import type { Backward, GradientRule, GradientTable, InputGradients } from "../rule.ts";

/** Back to the input's shape: operators that only change the shape. */
const reshaped: GradientRule = { gradient: (b) => [b.f.reshape(b.dy, b.sizes.target(b.input(0)))] };

/**
 * The gradient of an operator that only moves elements, whatever it does: it is applied to the numbers of the places, which then
 * say where each dY belongs.
 */
function byPlaces(b: Backward, move: (places: Value) => Value): Value {
  const { f } = b;
  const shape = f.shape(b.input(0));
  const size = f.size(b.input(0));
  const places = move(f.reshape(f.range(size), shape));
  return f.reshape(f.scatterAdd(f.reshape(size, [1]), f.flat(places), f.flat(b.dy), { axis: 0 }), shape);
}

/** The node once more, on another tensor. */
const again = (b: Backward, value: Value): Value => b.f.build.again(b.node, [value, ...b.node.inputs.slice(1)]);

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
  const rank = b.rank(0);
  const axes = (b.constants(3) ?? axesFrom(0, rank)).map((axis) => (axis < 0 ? axis + rank : axis));
  const begin = b.constants(1)?.slice(0, axes.length) ?? [];
  const whole = axesFrom(0, rank).map((axis) => begin[axes.indexOf(axis)] ?? 0);
  if (whole.some((each) => each < 0)) throw b.refuse("its pads are negative");
  const end: Sizes = sizes.add(sizes.of(b.input(0)), whole);
  return [f.slice(b.dy, whole, sizes.value(end), axesFrom(0, rank))];
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

function gather(b: Backward): InputGradients {
  const { f, sizes } = b;
  const rank = b.rank(0);
  const axis = b.axis();
  const given = b.input(1);
  const indices = elementTypeOf(given) === DataType.int64 ? given : f.cast(given, DataType.int64);
  const count = b.rank(1);
  const known = count === 0 ? b.constantsOrNull(1) : null;
  const [index] = known ?? [];
  const dy = withoutPadding(b, count);
  if (index !== undefined && index >= 0) {
    const begin = axesFrom(0, rank).map((at) => (at === axis ? index : 0));
    const row = f.unsqueeze(dy, [axis]);
    const size = sizes.sub(sizes.of(b.input(0), axis, axis + 1), [index + 1]);
    const end = sizes.concat(
      axesFrom(0, axis).map(() => 0),
      size,
      axesFrom(axis + 1, rank).map(() => 0),
    );
    return [f.emit("Pad", [row, sizes.value(sizes.concat(begin, end))])];
  }
  const front = axesFrom(0, axis);
  /** The gathered axes first, then what was before them. */
  const moved = f.transpose(dy, [
    ...axesFrom(axis, axis + count),
    ...front,
    ...axesFrom(axis + count, rank + count - 1),
  ]);
  const dims = sizes.of(b.input(0));
  const first = [axis, ...front, ...axesFrom(axis + 1, rank)];
  const shape = sizes.concat(...first.map((at) => sizes.slice(dims, at, at + 1)));
  const added = f.scatterAdd(sizes.value(shape), f.unsqueeze(indices, [-1]), moved, "nd");
  return [
    f.transpose(
      added,
      first.map((_, at) => first.indexOf(at)),
    ),
  ];
}

/** dY, zero where the row is read that gets no gradient. */
function withoutPadding(b: Backward, count: number): Value {
  const { f } = b;
  const row = paddingRowOf(b.node);
  if (row === null) return b.dy;
  const isPadding = f.typed(DataType.int64).equal(f.cast(b.input(1), DataType.int64), row);
  const width = b.rank(0) - 1;
  return f.where(width === 0 ? isPadding : f.unsqueeze(isPadding, axesFrom(count, count + width)), 0, b.dy);
}

function gatherElements(b: Backward): InputGradients {
  return [b.f.scatterAdd(b.f.shape(b.input(0)), b.input(1), b.dy, { axis: b.int("axis") })];
}

function gatherNd(b: Backward): InputGradients {
  if (b.int("batch_dims") !== 0) return [byPlaces(b, (places) => again(b, places))];
  return [b.f.scatterAdd(b.f.shape(b.input(0)), b.input(1), b.dy, "nd")];
}

/** How one of the scatters reads elements from where its updates went, and puts others there. */
interface Places {
  readonly pick: (from: Value) => Value;
  readonly place: (onto: Value, updates: Value, reduction?: string) => Value;
}

/** Data that is written over has no gradient; what is added to has dY whole. The updates read dY where they went. */
function scatter(b: Backward, places: Places): InputGradients {
  const { f } = b;
  const reduction = b.string("reduction");
  if (reduction === "max" || reduction === "min") return scatteredExtreme(b, places);
  if (reduction === "mul") return scatteredProduct(b, places);
  if (reduction !== "none" && reduction !== "add") throw b.refuse(`its reduction is ${reduction}`);
  const updates = b.wants(2) ? places.pick(b.dy) : null;
  return [reduction === "add" ? b.dy : places.place(b.dy, f.zeros(f.shape(b.input(2)))), null, updates];
}

/** What is the largest, or smallest, has the gradient; what ties shares it equally, as PyTorch has it. */
function scatteredExtreme(b: Backward, { pick, place }: Places): InputGradients {
  const { f } = b;
  const y = b.output(0);
  const isData = f.cast(f.equal(b.input(0), y), f.dtype);
  const isUpdate = f.cast(f.equal(b.input(2), pick(y)), f.dtype);
  const share = f.div(b.dy, place(isData, isUpdate, "add"));
  return [f.mul(share, isData), null, f.mul(pick(share), isUpdate)];
}

/** Each factor has dY times the product of the others, which zeros among them do not spoil. */
function scatteredProduct(b: Backward, { pick, place }: Places): InputGradients {
  const { f } = b;
  const [data, updates] = [b.input(0), b.input(2)];
  const ones = f.add(f.zeros(f.shape(data)), 1);
  const dData = f.mul(b.dy, place(ones, updates, "mul"));
  if (!b.wants(2)) return [dData];
  const isZero = f.equal(updates, 0);
  const zeros = place(f.zeros(f.shape(data)), f.cast(isZero, f.dtype), "add");
  const others = place(data, f.where(isZero, 1, updates), "mul");
  const alone = f.where(f.greater(zeros, 1), 0, others);
  const ofZero = pick(f.mul(b.dy, alone));
  const ofOther = f.div(pick(f.mul(b.dy, b.output(0))), f.where(isZero, 1, updates));
  return [dData, null, f.where(isZero, ofZero, ofOther)];
}

const reducing = (reduction: string | undefined): readonly Attribute[] =>
  reduction === undefined ? [] : [attribute.string("reduction", reduction)];

function scatterElements(b: Backward): InputGradients {
  const axis = attribute.int("axis", b.int("axis"));
  return scatter(b, {
    pick: (from) => b.f.emit("GatherElements", [from, b.input(1)], { attributes: [axis] }),
    place: (onto, updates, reduction) =>
      b.f.emit("ScatterElements", [onto, b.input(1), updates], { attributes: [axis, ...reducing(reduction)] }),
  });
}

function scatterNd(b: Backward): InputGradients {
  return scatter(b, {
    pick: (from) => b.f.emit("GatherND", [from, b.input(1)]),
    place: (onto, updates, reduction) =>
      b.f.emit("ScatterND", [onto, b.input(1), updates], { attributes: reducing(reduction) }),
  });
}

function topK(b: Backward): InputGradients {
  return [b.f.scatterAdd(b.f.shape(b.input(0)), b.output(1), b.dy, { axis: b.int("axis") })];
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
      const matrix = resizing(b, axis, kept);
      const last = [...axesFrom(0, axis), ...axesFrom(axis + 1, rank), axis];
      const product = f.matmul(f.transpose(dy, last), matrix);
      return f.transpose(
        product,
        last.map((_, at) => last.indexOf(at)),
      );
    }, b.dy);
  return [f.reshape(gradient, sizes.target(b.input(0)))];
}

/** The matrix [out, in] that resizes one axis. */
function resizing(b: Backward, axis: number, attributes: readonly Attribute[]): Value {
  const { f } = b;
  const int = f.typed(DataType.int64);
  const size = f.dim(b.input(0), axis);
  const identity = f.emit("EyeLike", [f.zeros(int.vector(size, size))]);
  if (b.optional(3) !== null) {
    const target = int.vector(int.slice(b.input(3), [axis], [axis + 1], [0]), size);
    return f.emit("Resize", [identity, null, null, target], { attributes });
  }
  const single = f.typed(DataType.float);
  const scale = single.slice(b.input(2), [axis], [axis + 1], [0]);
  const scales = single.concat([scale, single.reshape(single.number(1), [1])], 0);
  return f.emit("Resize", [identity, null, scales], { attributes });
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
  Gather: { gradient: gather },
  GatherElements: { gradient: gatherElements },
  GatherND: { gradient: gatherNd },
  ScatterElements: { gradient: scatterElements },
  ScatterND: { gradient: scatterNd },
  ReverseSequence: { gradient: reverseSequence },
  TopK: { gradient: topK },
  DepthToSpace: { gradient: depthToSpace },
  SpaceToDepth: { gradient: spaceToDepth },
  Trilu: { gradient: trilu },
  Resize: { gradient: resize },
};
