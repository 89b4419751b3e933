import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { SizeMath, type Sizes } from "../../ops/sizes.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { placeKernels } from "./place-kernels.ts";
import { outputSizes, placesOf, positions, reach, type Window } from "./window.ts";

/** A convolution and what takes part in its weight's gradient. */
export interface Correlation {
  readonly window: Window;
  readonly group: number;
  /** [N, C, ...], padded by the window's pads. */
  readonly image: Value;
  /** [N, M, ...], one entry per position of the window. */
  readonly gradient: Value;
  /** Channels of the image. */
  readonly channels: number;
  /** Channels of the gradient. */
  readonly outputs: number;
  /** Number of samples where it is known. */
  readonly batch: number | null;
  /** Sizes of the gradient where they are known. */
  readonly sizes: readonly number[] | null;
  /** The window may have more places in the image than the gradient has entries. Default false. */
  readonly hasMore?: boolean;
}

export const windowAttributes = ({ kernel, strides, dilations, begin, end }: Window, group: number) => [
  attribute.ints("kernel_shape", kernel),
  attribute.ints("strides", strides),
  attribute.ints("dilations", dilations),
  attribute.ints("pads", [...begin, ...end]),
  attribute.int("group", group),
];

/**
 * From these many channels on one matrix product per kernel position over the channels-last image is fastest; below, and with
 * groups, one batched product over patches of the image. Measured on ONNX Runtime 1.30's CPU provider.
 */
const CHANNELS_LAST_FROM = 4;
/**
 * From these many kernel positions on, and with up to MOST_CHANNELS channels or depthwise, the gradients of each sample are kernels over its image;
 * a group per sample needs the batch to be known.
 */
const BY_SAMPLES_FROM = 25;
const MOST_CHANNELS = 6;
/** Kernels of more positions than this are left to Conv. */
const MOST_POSITIONS = 49;

/** The gradient [M, C / group, ...kernel] of the weight of a convolution. */
export function weightGrad(f: Formula, correlation: Correlation): Value {
  const { window, group, channels, batch } = correlation;
  const places = placesOf(window.kernel);
  const isFew = (group === 1 && channels <= MOST_CHANNELS) || (group > 1 && group === channels);
  if (batch !== null && isFew && places >= BY_SAMPLES_FROM) return bySamples(f, { ...correlation, batch });
  if (places > MOST_POSITIONS) return byConvolution(f, correlation);
  return group === 1 && channels >= CHANNELS_LAST_FROM ? channelsLast(f, correlation) : byPatches(f, correlation);
}

/** The part of the image that each kernel position meets, with its spatial axes from `axis` on. */
function slices(f: Formula, image: Value, { window, gradient, sizes }: Correlation, axis: number): readonly Value[] {
  const { strides, dilations, kernel } = window;
  const axes = axesFrom(axis, axis + kernel.length);
  const int = f.typed(DataType.int64);
  const covered =
    sizes === null
      ? int.mul(int.shape(gradient, 2), int.ints(strides))
      : sizes.map((size, index) => size * (strides[index] ?? 1));
  return positions(kernel).map((position) => {
    const starts = position.map((at, index) => at * (dilations[index] ?? 1));
    const ends = Array.isArray(covered)
      ? starts.map((start, index) => start + (covered[index] ?? 0))
      : int.add(covered as Value, int.ints(starts));
    return f.slice(image, starts, ends, axes, strides.every((stride) => stride === 1) ? null : strides);
  });
}

function padded(f: Formula, image: Value, { begin, end }: Window): Value {
  if ([...begin, ...end].every((pad) => pad === 0)) return image;
  return f.emit("Pad", [image, f.ints([0, 0, ...begin, 0, 0, ...end])]);
}

/** Stacks one [M, C] per kernel position to [M, C, ...kernel]. */
function stacked(f: Formula, parts: readonly Value[], { window, outputs, channels }: Correlation): Value {
  const stack = f.concat(
    parts.map((part) => f.unsqueeze(part, [2])),
    2,
  );
  return f.reshape(stack, [outputs, channels, ...window.kernel]);
}

function channelsLast(f: Formula, correlation: Correlation): Value {
  const { window, image, gradient, channels, outputs } = correlation;
  const rank = window.kernel.length + 2;
  const last = [0, ...axesFrom(2, rank), 1];
  const pixels = f.transpose(padded(f, image, window), last);
  const rows = f.reshape(f.transpose(gradient, [1, 0, ...axesFrom(2, rank)]), [outputs, -1]);
  const parts = slices(f, pixels, correlation, 1).map((part) => f.matmul(rows, f.reshape(part, [-1, channels])));
  return stacked(f, parts, correlation);
}

/** Patches [N, G, C / G * positions, pixels] of the image, and one product per sample and group. */
function byPatches(f: Formula, correlation: Correlation): Value {
  const { window, group, image, gradient, channels, outputs, hasMore = false } = correlation;
  const { kernel } = window;
  const sizes = new SizeMath(f);
  const count = placesOf(kernel);
  const plane = f.reshape(image, sizes.concat([-1, 1], sizes.of(image, 2)));
  const all = f.emit("Conv", [plane, placeKernels(f, kernel)], { attributes: windowAttributes(window, 1) });
  const spatial = axesFrom(2, kernel.length + 2);
  const zero = kernel.map(() => 0);
  const patches = hasMore ? f.slice(all, zero, sizes.value(sizes.of(gradient, 2)), spatial) : all;
  const perGroup = channels / group;
  const flat = (value: Value, rows: number): Value => {
    const pixels = sizes.of(gradient, 2);
    const front: Sizes = pixels instanceof Value ? sizes.of(image, 0, 1) : [-1];
    const last = pixels instanceof Value ? -1 : pixels.reduce((product, size) => product * size, 1);
    return f.reshape(value, sizes.concat(front, [group, rows, last]));
  };
  const columns = flat(patches, perGroup * count);
  const products = f.matmul(flat(gradient, outputs / group), f.transpose(columns, [0, 1, 3, 2]));
  return f.reshape(f.sum(products, [0], false), [outputs, perGroup, ...kernel]);
}

/** Batch and channels change places, and strides and dilations too; what the strides left over is cut off. */
function byConvolution(f: Formula, { window, group, image, gradient, channels, outputs }: Correlation): Value {
  const { kernel, strides, dilations, begin, end } = window;
  const spatial = axesFrom(2, kernel.length + 2);
  const perGroup = channels / group;
  const swap = [1, 0, ...spatial];
  const axes = spatial.map((axis) => axis + 1);
  const grouped = f.transpose(f.reshape(image, f.vector(f.dim(image, 0), group, perGroup, f.shape(image, 2))), [
    2,
    1,
    0,
    ...axes,
  ]);
  const images = group === 1 ? f.transpose(image, swap) : f.reshape(grouped, f.vector(perGroup, -1, f.shape(image, 2)));
  const made = f.emit("Conv", [images, f.transpose(gradient, swap)], {
    attributes: [
      attribute.ints("strides", dilations),
      attribute.ints("dilations", strides),
      attribute.ints("pads", [...begin, ...end]),
      attribute.int("group", group),
    ],
  });
  const cut = f.slice(
    made,
    kernel.map(() => 0),
    kernel,
    spatial,
  );
  return f.reshape(f.transpose(cut, swap), [outputs, perGroup, ...kernel]);
}

/**
 * For one group, or depthwise: one Conv whose groups are the samples (and channels), and whose kernels are the gradients, with strides and dilations
 * changed about; then the sum over the samples.
 */
function bySamples(
  f: Formula,
  { window, group, image, gradient, channels, outputs, batch }: Correlation & { batch: number },
): Value {
  const { kernel, strides, dilations, begin, end } = window;
  const spatial = axesFrom(2, kernel.length + 2);
  const perGroup = channels / group;
  const sizes = new SizeMath(f);
  const shaped = (value: Value, front: readonly number[]): Value =>
    f.reshape(value, sizes.concat(front, sizes.of(value, 2)));
  const images = group === 1 ? f.transpose(image, [1, 0, ...spatial]) : shaped(image, [1, batch * group]);
  const made = f.emit("Conv", [images, shaped(gradient, [batch * outputs, 1])], {
    attributes: [
      attribute.ints("strides", dilations),
      attribute.ints("dilations", strides),
      attribute.ints("pads", [...begin, ...end]),
      attribute.int("group", batch * group),
    ],
  });
  const cut = strides.every((stride) => stride === 1)
    ? made
    : f.slice(
        made,
        kernel.map(() => 0),
        kernel,
        spatial,
      );
  const perSample = f.reshape(cut, [perGroup, batch, outputs, ...kernel]);
  const summed = f.sum(perSample, [1], false);
  return f.reshape(f.transpose(summed, [1, 0, ...spatial]), [outputs, perGroup, ...kernel]);
}

/** The weight [M, C / group, ...] turned round, as the convolution takes it that undoes one of stride 1: [C, M / group, ...]. */
function flipped(f: Formula, weight: Value, group: number, dims: readonly number[]): Value {
  const [outputs = 0, perGroup = 0, ...kernel] = dims;
  const spatial = axesFrom(2, dims.length);
  const swapped =
    group === 1
      ? f.transpose(weight, [1, 0, ...spatial])
      : f.reshape(
          f.transpose(f.reshape(weight, [group, outputs / group, perGroup, ...kernel]), [
            0,
            2,
            1,
            ...spatial.map((axis) => axis + 1),
          ]),
          [group * perGroup, outputs / group, ...kernel],
        );
  if (kernel.every((size) => size === 1)) return swapped;
  const all = (value: number): readonly number[] => kernel.map(() => value);
  return f.slice(swapped, all(-1), all(-(2 ** 31)), spatial, all(-1));
}

export interface ConvInput {
  readonly dY: Value;
  readonly x: Value;
  readonly weight: Value;
  readonly dims: readonly number[];
  readonly window: Window;
  readonly group: number;
  readonly spatial: readonly number[] | null;
}

/** The gradient of a convolution's image. */
export function imageGrad(f: Formula, input: ConvInput): Value {
  const { dY, weight, window, group, dims, spatial } = input;
  const { strides, begin, end } = window;
  const reaches = reach(window);
  const back = (pads: readonly number[]): readonly number[] => pads.map((pad, axis) => (reaches[axis] ?? 1) - 1 - pad);
  if (strides.every((stride) => stride === 1) && [...back(begin), ...back(end)].every((pad) => pad >= 0)) {
    const attributes = windowAttributes({ ...window, begin: back(begin), end: back(end) }, group);
    return f.emit("Conv", [dY, flipped(f, weight, group, dims)], { attributes });
  }
  if (spatial === null) return imageGradOfUnknownSize(f, input);
  const extra = outputSizes(window, spatial).map((count, axis) => {
    const full = (count - 1) * (strides[axis] ?? 1) + (reaches[axis] ?? 1);
    return (spatial[axis] ?? 0) + (begin[axis] ?? 0) + (end[axis] ?? 0) - full;
  });
  const attributes = [...windowAttributes(window, group), attribute.ints("output_padding", extra)];
  return f.emit("ConvTranspose", [dY, weight], { attributes });
}

/** Without pads first, then cut and padded to the size that the image turns out to have. */
function imageGradOfUnknownSize(f: Formula, { dY, x, weight, window, group }: ConvInput): Value {
  const { begin } = window;
  const zero = begin.map(() => 0);
  const attributes = windowAttributes({ ...window, begin: zero, end: zero }, group);
  const full = f.emit("ConvTranspose", [dY, weight], { attributes });
  const int = f.typed(DataType.int64);
  const end = int.add(int.sub(int.shape(x, 2), int.shape(full, 2)), int.ints(begin));
  const front = begin.map((pad) => -pad);
  return f.emit("Pad", [full, int.vector(int.ints([0, 0, ...front, 0, 0]), end)]);
}

/** The gradient [M] of a convolution's bias. @param rank of dY */
export const biasGrad = (f: Formula, dY: Value, rank: number): Value => f.sum(dY, [0, ...axesFrom(2, rank)], false);
