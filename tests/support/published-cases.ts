import { readFileSync } from "node:fs";
import { agrReference, SMALLEST_NORMAL } from "./agr-reference.ts";
import { hasShared, SHARED } from "./shared.ts";

export interface PublishedCase {
  readonly name: string;
  readonly shape: readonly number[];
  readonly gradient: readonly number[];
  readonly expected: readonly number[];
}

type Numbers = readonly (number | null)[];

/**
 * What the authors' published code gives, in float64. It has no guard: where the sum is below the smallest normal float32,
 * this project's definition differs on purpose (0/0 gives NaN there, zeros here), and stands in for the published number.
 */
export function publishedCases(): readonly PublishedCase[] {
  if (!hasShared) return [];
  const { cases } = JSON.parse(readFileSync(`${SHARED}agr/cases.json`, "utf8")) as {
    readonly cases: readonly {
      readonly name: string;
      readonly shape: readonly number[];
      readonly gradient: Numbers;
      readonly expected: Numbers;
    }[];
  };
  const numbers = (values: Numbers): number[] => values.map((value) => value ?? Number.NaN);
  return cases.map(({ name, shape, gradient, expected }) => {
    const values = numbers(gradient);
    const sum = values.reduce((total, value) => total + Math.abs(value), 0);
    const [guarded = []] = agrReference([{ shape, values }]);
    return { name, shape, gradient: values, expected: sum < SMALLEST_NORMAL ? guarded : numbers(expected) };
  });
}
