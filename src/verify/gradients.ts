import { NUMBER, requireArgument } from "../arguments.ts";
import { FEEDS } from "../runtime/feeds.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { type GradientStatistics, gradientStatistics } from "../runtime/statistics/gradient-statistics.ts";

/** What a gradient looks like, and what AGR with scope `tensor` makes of it. */
export interface GradientReport extends GradientStatistics {
  /** What a person should look at; null where nothing is odd. */
  readonly notice: string | null;
}

/** Reports on gradients, summed in float64. @param gradients float32, by parameter */
export function reportGradients(gradients: NamedTensors, strength = 1): readonly GradientReport[] {
  requireArgument("gradients", gradients, FEEDS);
  requireArgument("strength", strength, NUMBER);
  return gradientStatistics(gradients, { strength }).map(({ gradient: _, alpha: __, ...told }) => ({
    ...told,
    notice: noticeOf(
      told.finite,
      told.nonZero,
      told.shape.reduce((size, dim) => size * dim, 1),
    ),
  }));
}

function noticeOf(finite: boolean, nonZero: number, size: number): string | null {
  if (!finite) return "has values that are not finite";
  if (nonZero === 0) return "is zero: nothing reaches this parameter";
  if (size === 1) return "has one element: AGR leaves it alone, for it would make it zero";
  return nonZero === 1 ? "has one element that is not zero: AGR makes it zero" : null;
}
