import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { outputSizes, placesOf, positions, type Window, windowAttributes } from "./window.ts";

/** A depthwise convolution: one kernel and one result per channel. */
export interface Depthwise {
  readonly window: Window;
  /** [N, C, ...] */
  readonly x: Value;
  /** [C, 1, ...kernel] */
  readonly weight: Value;
  /** [C]; null: none. */
  readonly bias: Value | null;
  readonly channels: number;
  /** Sizes of the image's spatial axes. */
  readonly spatial: readonly number[];
}

type DepthwiseAlgorithm = "matrices" | "bands";

/** The largest matrix of pixels times results, and the highest column in kernel heights. */
const MOST_ENTRIES = 4096;
const HIGHEST_COLUMN = 5.5;
const LEAST_BATCH = 4;

/** What costs less than the convolution itself, forward and backward together; null: nothing. The measurements are in docs/building.md. */
export function chooseDepthwiseAlgorithm(
  window: Window,
  spatial: readonly number[],
  batch: number | null,
): DepthwiseAlgorithm | null {
  const results = outputSizes(window, spatial);
  if (results.some((size) => size < 1) || (batch !== null && batch < LEAST_BATCH)) return null;
  const [[height = 0], [kernelHeight = 0]] = [spatial, window.kernel];
  if (placesOf(window.kernel) === 1 || kernelHeight === 1) return null;
  if (placesOf(spatial) * placesOf(results) <= MOST_ENTRIES) return "matrices";
  return spatial.length > 1 && height <= HIGHEST_COLUMN * kernelHeight ? "bands" : null;
}

export const DEPTHWISE_ALGORITHMS: Readonly<Record<DepthwiseAlgorithm, (f: Formula, call: Depthwise) => Value>> = {
  matrices: byMatrices,
  bands: byBands,
};

/**
 * Which of the kernel's positions a pixel and a result meet at: [places, pixels * results], 1 where they do.
 * A pixel and a result meet at one position at most.
 */
function entries(f: Formula, window: Window, spatial: readonly number[]): Value {
  const places = placesOf(window.kernel);
  const position = f.ints(positionOfEntries(window, spatial).map((at) => at ?? places));
  return f.cast(f.equal(f.reshape(f.ints(axesFrom(0, places)), [-1, 1]), position), f.dtype);
}

const biased = (f: Formula, y: Value, { bias, channels, spatial }: Depthwise): Value =>
  bias === null ? y : f.add(y, f.reshape(bias, [channels, ...spatial.map(() => 1)]));

/** One matrix product per channel: the kernel is spread to D [pixels, results], and y = x D. */
function byMatrices(f: Formula, call: Depthwise): Value {
  const { window, x, weight, channels, spatial } = call;
  const results = outputSizes(window, spatial);
  const [places, pixels, count] = [placesOf(window.kernel), placesOf(spatial), placesOf(results)];
  const spread = f.matmul(f.reshape(weight, [channels, places]), entries(f, window, spatial));
  const matrices = f.reshape(spread, [channels, pixels, count]);
  const planes = f.transpose(f.reshape(x, [0, channels, pixels]), [1, 0, 2]);
  const y = f.transpose(f.matmul(planes, matrices), [1, 0, 2]);
  return biased(f, f.reshape(y, [-1, channels, ...results]), call);
}

/**
 * The first axis becomes channels, of which each group has those of one channel, as they lie: a convolution along the other axes, whose kernels are
 * the kernel's columns spread to matrices [results, pixels] of a column.
 */
function byBands(f: Formula, call: Depthwise): Value {
  const { window, x, weight, channels, spatial } = call;
  const only = (axis: number, end?: number): Window => ({
    kernel: window.kernel.slice(axis, end),
    strides: window.strides.slice(axis, end),
    dilations: window.dilations.slice(axis, end),
    begin: window.begin.slice(axis, end),
    end: window.end.slice(axis, end),
  });
  const [along, across] = [only(0, 1), only(1)];
  const [[height = 0], [heightOfResults = 0, ...others]] = [spatial, outputSizes(window, spatial)];
  const columns = f.reshape(weight, [channels, ...along.kernel, placesOf(across.kernel)]);
  const spread = f.matmul(entriesOfResults(f, along, height, heightOfResults), columns);
  const kernels = f.reshape(spread, [channels * heightOfResults, height, ...across.kernel]);
  const bands = f.reshape(x, [-1, channels * height, ...spatial.slice(1)]);
  const made = f.emit("Conv", [bands, kernels], { attributes: windowAttributes(across, channels) });
  return biased(f, f.reshape(made, [-1, channels, heightOfResults, ...others]), call);
}

/** The same as `entries` along one axis, the other way round: [results * pixels, places]. */
function entriesOfResults(f: Formula, along: Window, pixels: number, results: number): Value {
  const places = placesOf(along.kernel);
  const found = positionOfEntries(along, [pixels]);
  const position = axesFrom(0, results).flatMap((result) =>
    axesFrom(0, pixels).map((pixel) => found[pixel * results + result] ?? places),
  );
  return f.cast(f.equal(f.reshape(f.ints(position), [-1, 1]), f.ints(axesFrom(0, places))), f.dtype);
}

/** The position of the kernel at which a pixel meets a result, pixels first; null where they do not meet. */
function positionOfEntries(window: Window, spatial: readonly number[]): readonly (number | null)[] {
  const { kernel, strides, dilations, begin } = window;
  const results = positions(outputSizes(window, spatial));
  return positions(spatial).flatMap((pixel) =>
    results.map((result) => {
      const at = pixel.map((place, axis) => {
        const from = (result[axis] ?? 0) * (strides[axis] ?? 1) - (begin[axis] ?? 0);
        return (place - from) / (dilations[axis] ?? 1);
      });
      const meets = at.every((place, axis) => Number.isInteger(place) && place >= 0 && place < (kernel[axis] ?? 1));
      return meets ? at.reduce((index, place, axis) => index * (kernel[axis] ?? 1) + place, 0) : null;
    }),
  );
}
