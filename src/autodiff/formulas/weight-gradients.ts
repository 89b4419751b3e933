import { attribute } from "../../graph/attribute.ts";
import { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { SizeMath, type Sizes } from "../../ops/sizes.ts";
import { axesFrom, dimsOf, known } from "../../ops/value-types.ts";
import { placeKernels } from "./place-kernels.ts";
import { placesOf, reach, type Window, windowAttributes } from "./window.ts";

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
  /** The window may have more places in the image than the gradient has entries. Default false. */
  readonly hasMore?: boolean;
}

type Algorithm = (f: Formula, correlation: Correlation) => Value;

export type AlgorithmName = "product" | "products" | "samples" | "patches" | "interleaved";

/** What each algorithm gives is the gradient [M, C / group, ...kernel] of the weight. `chooseAlgorithm` says which one applies. */
export const WEIGHT_GRADIENT_ALGORITHMS: Readonly<Record<AlgorithmName, Algorithm>> = {
  product,
  products,
  samples: bySamples,
  patches: byPatches,
  interleaved,
};

/** From these many kernel positions on, gradients of one channel are taken sample by sample; those of several over planes always are. */
const BY_SAMPLES_FROM = 25;

/** From these many numbers of a sample for each weight on, transposing them costs more than a sum over products of single samples. */
const PRODUCTS_FROM = 6;

/** The algorithm that costs least, by shape; the measurements are in docs/building.md. `samples` needs the batch to be known. */
export function chooseAlgorithm({ window, group, gradient, channels, outputs, batch }: Correlation): AlgorithmName {
  const { kernel, begin, end } = window;
  const places = placesOf(kernel);
  if (places === 1 && group === 1 && [...begin, ...end].every((pad) => pad === 0)) {
    const pixels = placesOf(known(dimsOf(gradient)?.slice(2) ?? null) ?? [0]);
    return pixels * (channels + outputs) >= PRODUCTS_FROM * channels * outputs ? "products" : "product";
  }
  if (channels > group) return "interleaved";
  const isDepthwise = group > 1 && kernel.length === 2;
  if (places < BY_SAMPLES_FROM && !(isDepthwise && batch !== null)) return "patches";
  return batch === null ? "interleaved" : "samples";
}

/** The gradient [M, C / group, ...kernel] of the weight of a convolution. */
export const weightGrad: Algorithm = (f, correlation) =>
  WEIGHT_GRADIENT_ALGORITHMS[chooseAlgorithm(correlation)](f, correlation);

/**
 * The window without what its pads have beyond the last place that it takes, so that no positions are computed that are cut off again.
 * `isExact`: nothing else is beyond that place.
 */
function withoutSurplus({ window, image, gradient, hasMore = false }: Correlation): {
  readonly window: Window;
  readonly isExact: boolean;
} {
  const { strides, begin, end } = window;
  if (strides.every((stride) => stride === 1) && !hasMore) return { window, isExact: true };
  const [spatial, counts] = [image, gradient].map((value) => known(dimsOf(value)?.slice(2) ?? null));
  if (!spatial || !counts) return { window, isExact: false };
  const surplus = reach(window).map((size, axis) => {
    const [count = 0, stride = 1] = [counts[axis], strides[axis]];
    return (spatial[axis] ?? 0) + (begin[axis] ?? 0) + (end[axis] ?? 0) - (count - 1) * stride - size;
  });
  const spared = surplus.map((size, axis) => Math.min(Math.max(0, size), end[axis] ?? 0));
  return {
    window: { ...window, end: end.map((pad, axis) => pad - (spared[axis] ?? 0)) },
    isExact: surplus.every((size, axis) => size === spared[axis]),
  };
}

/** The pixels that a kernel of one position meets. */
function metPixels(f: Formula, { window, image, gradient, hasMore = false }: Correlation): Value {
  const { kernel, strides } = window;
  if (strides.every((stride) => stride === 1) && !hasMore) return image;
  const sizes = new SizeMath(f);
  const zero = kernel.map(() => 0);
  const covered = sizes.mul(sizes.of(gradient, 2), strides);
  return f.slice(image, zero, sizes.value(covered), axesFrom(2, kernel.length + 2), strides);
}

/** A kernel of one position: one matrix product over all pixels. */
function product(f: Formula, correlation: Correlation): Value {
  const { window, gradient, channels, outputs } = correlation;
  const spatial = axesFrom(2, window.kernel.length + 2);
  const pixels = f.reshape(f.transpose(metPixels(f, correlation), [0, ...spatial, 1]), [-1, channels]);
  const rows = f.reshape(f.transpose(gradient, [1, 0, ...spatial]), [outputs, -1]);
  return f.reshape(f.matmul(rows, pixels), [outputs, channels, ...window.kernel]);
}

/** A kernel of one position: one matrix product for each sample, which transposes nothing, and their sum. */
function products(f: Formula, correlation: Correlation): Value {
  const { window, gradient, channels, outputs } = correlation;
  const pixels = f.transpose(f.reshape(metPixels(f, correlation), [0, channels, -1]), [0, 2, 1]);
  const perSample = f.matmul(f.reshape(gradient, [0, outputs, -1]), pixels);
  return f.reshape(f.sum(perSample, [0], false), [outputs, channels, ...window.kernel]);
}

/** Rows of up to so many numbers are laid out by a product. */
const MOST_BY_PRODUCT = 16;

/**
 * [..., A, B] as [..., B, A]. ONNX Runtime's Transpose hands each matrix to its threads by itself, which takes longer than to lay out short rows; the
 * product with the identity that a transposed operand is taken into is handed over once.
 * @param size A
 */
function swapped(f: Formula, value: Value, size: number, rank = 3): Value {
  const turned = f.transpose(value, [...axesFrom(0, rank - 2), rank - 1, rank - 2]);
  return size > MOST_BY_PRODUCT ? turned : f.matmul(turned, f.reshape(placeKernels(f, [size]), [size, size]));
}

/**
 * One Conv that sums over samples and pixels at once. Its image is the channels-last image, with the samples as channels and the channels
 * within the last spatial axis; its kernels are the gradients. A dilation by the number of channels meets one channel at a time, so the results
 * are all positions of the window, and in each all channels. Strides and dilations change places.
 */
function interleaved(f: Formula, correlation: Correlation): Value {
  const { group, image, gradient, channels, outputs } = correlation;
  const { window, isExact } = withoutSurplus(correlation);
  const { kernel, strides, dilations, begin, end } = window;
  const rank = kernel.length;
  const perGroup = channels / group;
  const sizes = new SizeMath(f);
  const spatial = sizes.of(image, 2);
  const lastFirst =
    group > 1
      ? groupsFirst(f, correlation)
      : channels === 1
        ? image
        : swapped(f, f.reshape(image, [0, channels, -1]), channels);
  const planes = sizes.mul(sizes.of(image, 0, 1), [group]);
  const mixed = f.reshape(lastFirst, sizes.concat([1], planes, sizes.slice(spatial, 0, rank - 1), [-1]));
  const last = rank - 1;
  const widened = (perAxis: readonly number[]): readonly number[] =>
    perAxis.map((size, axis) => (axis === last ? size * perGroup : size));
  const made = f.emit("Conv", [mixed, f.transpose(gradient, [1, 0, ...axesFrom(2, rank + 2)])], {
    attributes: [
      attribute.ints("strides", [...dilations.slice(0, last), 1]),
      attribute.ints("dilations", widened(strides)),
      attribute.ints("pads", [...widened(begin), ...widened(end)]),
      attribute.int("group", group),
    ],
  });
  /** Along the last axis the places between those that a dilation meets are there too. */
  const gap = dilations[last] ?? 1;
  const reached = kernel.map((size, axis) => (axis === last ? (size - 1) * gap + 1 : size));
  const zero = kernel.map(() => 0);
  const cut = isExact ? made : f.slice(made, zero, widened(reached), axesFrom(2, rank + 2));
  const apart = f.reshape(cut, [outputs, ...reached, perGroup]);
  const met = gap === 1 ? apart : f.slice(apart, [0], [reached[last] ?? 1], [rank], [gap]);
  const places = placesOf(kernel);
  const rows = swapped(f, f.reshape(met, [outputs, places, perGroup]), places);
  return f.reshape(rows, [outputs, perGroup, ...kernel]);
}

/**
 * [G, N, pixels * C / G] of an image in several groups, with its channels last. Laid out in two steps, with a reshape between: ONNX Runtime's CPU
 * provider takes a transposition that moves one axis row by row, and one that moves more element by element.
 */
function groupsFirst(f: Formula, { group, image, channels }: Correlation): Value {
  const perGroup = channels / group;
  const channelsLast = swapped(f, f.reshape(image, [0, group, perGroup, -1]), perGroup, 4);
  return f.transpose(f.reshape(channelsLast, [0, group, -1]), [1, 0, 2]);
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

/**
 * For one group, or depthwise: one Conv whose groups are the samples (and channels), and whose kernels are the gradients, with strides and dilations
 * changed about; then the sum over the samples.
 */
function bySamples(f: Formula, correlation: Correlation): Value {
  const { group, image, gradient, channels, outputs, batch } = correlation;
  if (batch === null) throw new RangeError("the number of samples is not known");
  const { window, isExact } = withoutSurplus(correlation);
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
  const cut = isExact
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
