import { listOf, NUMBER, requireArgument } from "../arguments.ts";

/** What many numbers are like. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** With n - 1; null of one number. */
  readonly standardDeviation: number | null;
  readonly least: number;
  readonly greatest: number;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** With n - 1 in the denominator. Of fewer than two numbers: NaN. */
export function standardDeviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

/** @returns null of none. @throws UsageError `E_ARGUMENT` */
export function summarize(values: readonly number[]): Summary | null {
  requireArgument("values", values, listOf(NUMBER, "a list of numbers"));
  if (values.length === 0) return null;
  return {
    count: values.length,
    mean: mean(values),
    standardDeviation: values.length < 2 ? null : standardDeviation(values),
    least: Math.min(...values),
    greatest: Math.max(...values),
  };
}
