import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { mean } from "./summary.ts";

export type Interval = readonly [low: number, high: number];

/** The number below which this share of the sorted values lies, interpolated between neighbours. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * The percentile interval of the mean (Efron 1979): means of samples drawn from the values with replacement. It is too narrow for
 * few values: of five it holds the truth in some 83 of 100 cases where it should in 95.
 * @param seed the same seed gives the same interval
 */
export function bootstrapMean(
  values: readonly number[],
  { confidence, resamples, seed }: { readonly confidence: number; readonly resamples: number; readonly seed: number },
): Interval {
  const random = xoroshiro128plus(seed);
  const draw = (): number => values[uniformInt(random, 0, values.length - 1)] ?? Number.NaN;
  const means = Array.from({ length: resamples }, () => mean(values.map(draw))).sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return [quantile(means, tail), quantile(means, 1 - tail)];
}
