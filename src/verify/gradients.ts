import { NUMBER, requireArgument } from "../arguments.ts";
import { FEEDS } from "../runtime/feeds.ts";
import type { NamedTensors } from "../runtime/session.ts";

/** What a gradient looks like, and what AGR with scope `tensor` makes of it. */
export interface GradientReport {
  readonly parameter: string;
  readonly shape: readonly number[];
  /** Euclidean norm. */
  readonly norm: number;
  /** Sum of |g|. */
  readonly sum: number;
  readonly largest: number;
  readonly nonZero: number;
  readonly finite: boolean;
  /** Largest alpha = |g| / sum(|g|); 1 means that AGR makes the whole gradient zero. */
  readonly largestAlpha: number;
  /** Norm of what AGR takes away, as a share of the gradient's norm. */
  readonly change: number;
  /** What a person should look at; null where nothing is odd. */
  readonly notice: string | null;
}

/** Reports on gradients, summed in float64. @param gradients float32, by parameter */
export function reportGradients(gradients: NamedTensors, strength = 1): readonly GradientReport[] {
  requireArgument("gradients", gradients, FEEDS);
  requireArgument("strength", strength, NUMBER);
  return Object.entries(gradients).map(([parameter, { data, dims }]) => {
    const values = data as Float32Array;
    let [sum, squares, largest, nonZero] = [0, 0, 0, 0];
    for (const value of values) {
      const size = Math.abs(value);
      sum += size;
      squares += size * size;
      if (size > largest) largest = size;
      if (size !== 0) nonZero++;
    }
    const finite = Number.isFinite(squares) && values.every(Number.isFinite);
    let taken = 0;
    if (sum > 0) for (const value of values) taken += ((strength * value * value) / sum) ** 2;
    const norm = Math.sqrt(squares);
    return {
      parameter,
      shape: [...dims],
      norm,
      sum,
      largest,
      nonZero,
      finite,
      largestAlpha: sum > 0 ? largest / sum : 0,
      change: norm > 0 ? Math.sqrt(taken) / norm : 0,
      notice: noticeOf(finite, nonZero, values.length),
    };
  });
}

function noticeOf(finite: boolean, nonZero: number, size: number): string | null {
  if (!finite) return "has values that are not finite";
  if (nonZero === 0) return "is zero: nothing reaches this parameter";
  if (size === 1) return "has one element: AGR leaves it alone, for it would make it zero";
  return nonZero === 1 ? "has one element that is not zero: AGR makes it zero" : null;
}
