import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** Where the samples of every box lie along one axis of the image. */
interface Samples {
  /** Number of pixels, a real scalar. */
  readonly size: Value;
  /** How many samples a box has in each of its cells, [boxes, 1, 1]. */
  readonly count: Value;
  /** Positions in pixels, held within the image, [boxes, cells, samples]. */
  readonly at: Value;
  /** Whether a sample is one of its box, which may have fewer than another, [boxes, 1, samples]. */
  readonly isOne: Value;
  /** Whether the image has something there, [boxes, cells, samples]. */
  readonly isInside: Value;
}

/** @param corner the box's column of its first corner @param imageAxis the axis of the image */
function samplesAlong(b: Backward, corner: number, imageAxis: number, cells: number): Samples {
  const { f } = b;
  const [boxes, scale, ratio] = [b.input(1), b.float("spatial_scale"), b.int("sampling_ratio")];
  const isHalf = b.string("coordinate_transformation_mode") === "half_pixel";
  const size = f.cast(f.reshape(f.dim(b.input(0), imageAxis), []), f.dtype);
  const edge = (column: number): Value => {
    const scaled = f.mul(f.unsqueeze(f.slice(boxes, [column], [column + 1], [1]), [2]), scale);
    return isHalf ? f.sub(scaled, 0.5) : scaled;
  };
  const start = edge(corner);
  const free = f.sub(edge(corner + 2), start);
  const cell = f.div(isHalf ? free : f.max(free, 1), cells);
  const count = ratio > 0 ? f.number(ratio) : f.emit("Ceil", [cell]);
  const most =
    ratio > 0 ? count : f.reduce("ReduceMax", f.concat([f.flat(count), f.reshape(f.number(1), [1])], 0), null);
  const numbers = (limit: Value): Value => f.cast(f.range(f.reshape(f.cast(limit, DataType.int64), [])), f.dtype);
  const sample = f.reshape(numbers(most), [1, 1, -1]);
  const place = f.reshape(numbers(f.number(cells)), [1, -1, 1]);
  const free3 = f.add(f.add(start, f.mul(place, cell)), f.div(f.mul(f.add(sample, 0.5), cell), f.max(count, 1)));
  return {
    size,
    count: f.max(count, 1),
    at: f.min(f.max(free3, 0), f.sub(size, 1)),
    isOne: f.greater(count, sample),
    isInside: f.not(f.emit("Or", [f.greater(-1, free3), f.greater(free3, size)])),
  };
}

/** How much each pixel of an axis counts in each cell, [boxes, cells, pixels]: the mean over the samples of 1 - distance. */
function shares(b: Backward, { size, count, at, isOne, isInside }: Samples): Value {
  const { f } = b;
  const pixels = f.cast(f.range(f.cast(size, DataType.int64)), f.dtype);
  const near = f.max(f.sub(1, f.emit("Abs", [f.sub(f.unsqueeze(at, [3]), pixels)])), 0);
  const counted = f.where(f.unsqueeze(f.and(isOne, isInside), [3]), near, 0);
  return f.div(f.sum(counted, [2], false), count);
}

/**
 * A cell is V X Hᵀ, with V and H the shares of rows and columns: the mean of a grid of samples, each between four pixels, can be
 * taken one axis after the other. dX of an image adds up Vᵀ dY H of its boxes, as one product of matrices.
 */
function meanOfSamples(b: Backward, rows: Samples, columns: Samples): Value {
  const { f, sizes } = b;
  const image = b.input(0);
  const [vertical, horizontal] = [shares(b, rows), shares(b, columns)];
  const images = f.range(f.reshape(f.dim(image, 0), []));
  const isOf = f.cast(f.equal(f.unsqueeze(images, [1]), f.unsqueeze(numberOfImage(b), [0])), f.dtype);
  /** [images, height, boxes, cells] */
  const byImage = f.mul(f.unsqueeze(isOf, [1, 3]), f.unsqueeze(f.transpose(vertical, [2, 0, 1]), [0]));
  const left = f.reshape(byImage, f.vector(-1, f.emit("Mul", [f.dim(vertical, 0), f.dim(vertical, 1)])));
  /** [boxes, cells, channels, width] */
  const right = f.transpose(f.matmul(b.dy, f.unsqueeze(horizontal, [1])), [0, 2, 1, 3]);
  const product = f.matmul(left, f.reshape(right, f.vector(f.dim(left, 1), -1)));
  const shape = sizes.of(image);
  const apart = sizes.concat(...[0, 2, 1, 3].map((axis) => sizes.slice(shape, axis, axis + 1)));
  return f.transpose(f.reshape(product, sizes.value(apart)), [0, 2, 1, 3]);
}

const numberOfImage = (b: Backward): Value => b.f.cast(b.input(2), DataType.int64);

/** The two pixels around each sample of an axis, [boxes, cells, samples * 2]. */
function pixelsAround(b: Backward, { size, at, isOne, isInside }: Samples): readonly Value[] {
  const { f } = b;
  const low = f.emit("Floor", [at]);
  const part = f.sub(at, low);
  const pair = (one: Value, other: Value): Value =>
    f.reshape(
      f.concat(
        [one, other].map((each) => f.unsqueeze(each, [3])),
        3,
      ),
      [0, 0, -1],
    );
  const counted = (weight: Value): Value => f.where(f.and(isOne, isInside), weight, 0);
  const one = f.cast(f.expand(isOne, f.shape(at)), f.dtype);
  return [
    pair(low, f.min(f.add(low, 1), f.sub(size, 1))),
    pair(counted(f.sub(1, part)), counted(part)),
    pair(one, one),
  ];
}

/** A cell is the largest of weight times pixel over all pixels around its samples, and that pixel has the gradient. */
function largestOfSamples(b: Backward, rows: Samples, columns: Samples): Value {
  const { f, sizes } = b;
  const image = b.input(0);
  const [y, wy, oneY] = pixelsAround(b, rows).map((each) => f.unsqueeze(each, [2, 4]));
  const [x, wx, oneX] = pixelsAround(b, columns).map((each) => f.unsqueeze(each, [1, 3]));
  if (!y || !wy || !oneY || !x || !wx || !oneX) throw b.refuse("it has no samples");
  /** [boxes, cells, cells, pixels] */
  const together = (value: Value): Value => f.reshape(value, [0, 0, 0, -1]);
  const int = f.typed(DataType.int64);
  const within = f.cast(together(f.add(f.mul(y, columns.size), x)), DataType.int64);
  const area = int.mul(f.dim(image, 2), f.dim(image, 3));
  const place = int.add(within, int.mul(f.unsqueeze(numberOfImage(b), [1, 2, 3]), area));
  const weight = together(f.mul(wy, wx));
  const isOne = f.greater(together(f.mul(oneY, oneX)), 0);
  /** Channels first, then the pixels of all images. */
  const pixels = f.reshape(f.transpose(image, [1, 0, 2, 3]), f.vector(f.dim(image, 1), -1));
  const values = f.where(isOne, f.mul(f.gather(pixels, place, 1), weight), -LEAST);
  const chosen = f.emit("ArgMax", [values], { attributes: [attribute.int("axis", 4), attribute.int("keepdims", 1)] });
  const pick = (value: Value): Value => f.gatherElements(f.expand(value, f.shape(values)), chosen, 4);
  const dy = f.unsqueeze(f.transpose(b.dy, [1, 0, 2, 3]), [4]);
  const flat = (value: Value): Value => f.reshape(value, [0, -1]);
  const added = f.scatterAdd(f.shape(pixels), flat(pick(place)), flat(f.mul(dy, pick(weight))), 1);
  const shape = sizes.of(image);
  const apart = sizes.concat(...[1, 0, 2, 3].map((axis) => sizes.slice(shape, axis, axis + 1)));
  return f.transpose(f.reshape(added, sizes.value(apart)), [1, 0, 2, 3]);
}

/** What a sample that a box does not have counts as: no sum of float32 is below. */
const LEAST = 3e38;

/** Boxes have no gradient, as in PyTorch. */
function roiAlign(b: Backward): InputGradients {
  const rows = samplesAlong(b, 1, 2, b.int("output_height"));
  const columns = samplesAlong(b, 0, 3, b.int("output_width"));
  return [b.string("mode") === "max" ? largestOfSamples(b, rows, columns) : meanOfSamples(b, rows, columns), null];
}

export const REGION_RULES: GradientTable = {
  RoiAlign: {
    source:
      "He et al. 2017, arXiv 1703.06870; PyTorch's roi_align; onnxruntime/core/providers/cpu/object_detection/roialign.cc",
    gradient: roiAlign,
  },
};
