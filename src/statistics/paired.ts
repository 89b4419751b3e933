import { listOf, NUMBER, OPTIONS, requireArgument } from "../arguments.ts";
import { requireOption } from "../errors.ts";
import { bootstrapMean, type Interval } from "./bootstrap.ts";
import { tProbability, tQuantile } from "./student-t.ts";
import { mean, standardDeviation } from "./summary.ts";

/** The mean of differences between two measurements of the same cases. */
export interface PairedDifference {
  readonly pairs: number;
  readonly mean: number;
  /** Of the differences, with n - 1; null of one pair. */
  readonly standardDeviation: number | null;
  /** By Student's t with n - 1 degrees of freedom; null of one pair. */
  readonly interval: Interval | null;
  /** By resampling of the differences; null of one pair. */
  readonly bootstrap: Interval | null;
  /** Two-sided probability of such a t where there is no difference; null of one pair, and where all differences are the same. */
  readonly p: number | null;
  readonly confidence: number;
}

export interface PairedOptions {
  /** Default 0.95. */
  readonly confidence?: number;
  /** Samples of the bootstrap. Default 10,000. */
  readonly resamples?: number;
  /** Of the bootstrap. Default 0. */
  readonly seed?: number;
}

/**
 * @param differences one number per pair
 * @returns null where there are none
 * @throws UsageError `E_ARGUMENT`, `E_OPTION`
 */
export function pairedDifference(differences: readonly number[], options: PairedOptions = {}): PairedDifference | null {
  requireArgument("differences", differences, listOf(NUMBER, "a list of numbers"));
  requireArgument("options", options, OPTIONS);
  const { confidence = 0.95, resamples = 10_000, seed = 0 } = options;
  requireOption(confidence > 0 && confidence < 1, "confidence", "between 0 and 1");
  requireOption(Number.isSafeInteger(resamples) && resamples >= 1, "resamples", "a whole number from 1 on");
  const pairs = differences.length;
  if (pairs === 0) return null;
  const middle = mean(differences);
  const nothing = { standardDeviation: null, interval: null, bootstrap: null, p: null };
  if (pairs === 1) return { pairs, mean: middle, ...nothing, confidence };
  const deviation = standardDeviation(differences);
  const error = deviation / Math.sqrt(pairs);
  const half = tQuantile((1 + confidence) / 2, pairs - 1) * error;
  return {
    ...{ pairs, mean: middle, standardDeviation: deviation },
    interval: [middle - half, middle + half],
    bootstrap: bootstrapMean(differences, { confidence, resamples, seed }),
    p: deviation === 0 ? null : 2 * tProbability(-Math.abs(middle / error), pairs - 1),
    confidence,
  };
}
