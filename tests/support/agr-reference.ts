import type { Gradient } from "./run-gradients.ts";

export const SMALLEST_NORMAL = 2 ** -126;

/** DESIGN.md section 1 in float64, written down once more from the text and not from the code under test. */
export function agrReference(
  gradients: readonly Gradient[],
  options: {
    readonly scope?: "tensor" | "channel" | "global";
    readonly strength?: number;
    readonly applies?: (gradient: Gradient) => boolean;
  } = {},
): number[][] {
  const { scope = "tensor", strength = 1, applies = () => true } = options;
  const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + Math.abs(value), 0);
  const all = sumOf(gradients.filter(applies).flatMap(({ values }) => values));
  return gradients.map((gradient) => {
    const { values, shape } = gradient;
    if (!applies(gradient)) return [...values];
    const channel = scope === "channel" ? values.length / (shape[0] ?? 1) : values.length;
    return values.map((value, index) => {
      const begin = Math.floor(index / channel) * channel;
      const sum = scope === "global" ? all : sumOf(values.slice(begin, begin + channel));
      const alpha = Math.abs(value) / Math.max(sum, SMALLEST_NORMAL);
      return value - strength * alpha * value;
    });
  });
}

/**
 * Largest difference relative to the gradient's largest entry: alpha is rounded, and its rounding is multiplied by g, also
 * where g' itself is small. NaN and infinities must agree exactly.
 */
export function worstDifference(
  actual: ArrayLike<number>,
  expected: readonly number[],
  gradient: readonly number[],
): number {
  const scale = Math.max(...gradient.filter(Number.isFinite).map(Math.abs), SMALLEST_NORMAL);
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return expected.reduce((worst, value, index) => {
    const got = actual[index] ?? Number.NaN;
    if (!Number.isFinite(value)) return Object.is(got, value) ? worst : Number.POSITIVE_INFINITY;
    return Math.max(worst, Number.isFinite(got) ? Math.abs(got - value) / scale : Number.POSITIVE_INFINITY);
  }, 0);
}
