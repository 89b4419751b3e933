import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { outputSizes, placesOf, positions, type Window } from "./window.ts";

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

/** The largest matrix of pixels times results. Larger ones over planes cost less in blocks of channels, as sessions have them, where the batch is known. */
const MOST_ENTRIES = 4096;
const MOST_OF_PLANES = 256;
const LEAST_BATCH = 4;

/** Whether matrices cost less than the convolution itself, forward and backward together. The measurements are in docs/building.md. */
export function matricesCostLess(window: Window, spatial: readonly number[], batch: number | null): boolean {
  const results = outputSizes(window, spatial);
  if (results.some((size) => size < 1) || (batch !== null && batch < LEAST_BATCH)) return false;
  if (placesOf(window.kernel) === 1 || window.kernel[0] === 1) return false;
  const most = spatial.length === 2 && batch !== null ? MOST_OF_PLANES : MOST_ENTRIES;
  return placesOf(spatial) * placesOf(results) <= most;
}

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

/** A depthwise convolution as one matrix product per channel: the kernel is spread to D [pixels, results], and y = x D. */
export function depthwiseByMatrices(f: Formula, call: Depthwise): Value {
  const { window, x, weight, channels, spatial } = call;
  const results = outputSizes(window, spatial);
  const [places, pixels, count] = [placesOf(window.kernel), placesOf(spatial), placesOf(results)];
  const spread = f.matmul(f.reshape(weight, [channels, places]), entries(f, window, spatial));
  const matrices = f.reshape(spread, [channels, pixels, count]);
  const planes = f.transpose(f.reshape(x, [0, channels, pixels]), [1, 0, 2]);
  const y = f.transpose(f.matmul(planes, matrices), [1, 0, 2]);
  return biased(f, f.reshape(y, [-1, channels, ...results]), call);
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
