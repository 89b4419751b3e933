import { describe, expect, it } from "vitest";
import { bootstrapMean, quantile } from "../../src/statistics/bootstrap.ts";
import { pairedDifference } from "../../src/statistics/paired.ts";
import { logGamma, tProbability, tQuantile } from "../../src/statistics/student-t.ts";
import { mean, standardDeviation, summarize } from "../../src/statistics/summary.ts";
import reference from "./reference.json" with { type: "json" };

/** Relative, with the same bound absolute near zero. */
function expectClose(value: number, expected: number, tolerance: number): void {
  expect(Math.abs(value - expected), `${value}, not ${expected}`).toBeLessThanOrEqual(
    tolerance * Math.max(1, Math.abs(expected)),
  );
}

const number = (values: readonly (number | undefined)[], at: number): number => values[at] ?? Number.NaN;

/** Differences of ln Gamma lose digits where the degrees are many. */
const roundingOf = (degrees = 0): number => 1e-13 + 1e-15 * degrees;

describe("Student's t", () => {
  // The quantiles of scipy 1.10 are up to some 3e-9 off: its probability of them is not the one that was asked for.
  it.each(reference.quantiles)("has scipy's quantile of %s with %s degrees of freedom", (p, degrees, expected) => {
    expectClose(tQuantile(p ?? 0, degrees ?? 0), expected ?? 0, 5e-9);
    expectClose(tProbability(tQuantile(p ?? 0, degrees ?? 0), degrees ?? 0), p ?? 0, roundingOf(degrees));
  });

  it.each(reference.probabilities)("has scipy's probability of %s with %s degrees", (t, degrees, expected) => {
    const own = tProbability(t ?? 0, degrees ?? 0);
    expectClose(own, expected ?? 0, roundingOf(degrees));
    expect(Math.abs(own / (expected ?? 0) - 1)).toBeLessThan(1e-9);
  });

  it.each([0.001, 0.2, 0.5, 0.975, 0.9999])("has the closed forms of one, two and four degrees at %s", (p) => {
    expectClose(tQuantile(p, 1), Math.tan(Math.PI * (p - 0.5)), 1e-11);
    const spread = 4 * p * (1 - p);
    expectClose(tQuantile(p, 2), (2 * (p - 0.5)) / Math.sqrt(spread / 2), 1e-11);
    const q = Math.cos(Math.acos(Math.sqrt(spread)) / 3) / Math.sqrt(spread);
    expectClose(tQuantile(p, 4), 2 * Math.sign(p - 0.5) * Math.sqrt(q - 1), 1e-7);
  });

  it("has the table that is printed in books", () => {
    const table = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    expect(table.map((_, index) => Number(tQuantile(0.975, index + 1).toFixed(3)))).toEqual(table);
  });

  it("refuses what has no quantile", () => {
    for (const wrong of [0, 1, Number.NaN]) expect(() => tQuantile(wrong, 3)).toThrow(/probability/);
    for (const wrong of [0, -1, Number.NaN]) expect(() => tQuantile(0.5, wrong)).toThrow(/degrees|probability/);
  });

  it.each(reference.logGamma)("stands on ln Gamma(%s)", (x, expected) => {
    expectClose(logGamma(x ?? 0), expected ?? 0, 1e-13);
  });
});

describe("paired differences", () => {
  it.each(reference.paired)("have scipy's p and interval", ({ a, b, p, low, high }) => {
    const own = pairedDifference(b.map((value, index) => value - number(a, index)));
    expectClose(own?.p ?? 0, p, 1e-11);
    expectClose(own?.interval?.[0] ?? 0, low, 5e-9);
    expectClose(own?.interval?.[1] ?? 0, high, 5e-9);
  });

  it("of two pairs are those of the closed form", () => {
    const own = pairedDifference([1, 3]);
    const half = Math.tan(0.475 * Math.PI);
    expect(own).toMatchObject({ pairs: 2, mean: 2, standardDeviation: Math.SQRT2 });
    expectClose(own?.interval?.[0] ?? 0, 2 - half, 1e-11);
    expectClose(own?.interval?.[1] ?? 0, 2 + half, 1e-11);
    expectClose(own?.p ?? 0, 1 - (2 / Math.PI) * Math.atan(2), 1e-12);
  });

  it("of none and of one have no interval, and of equal ones one without width", () => {
    expect(pairedDifference([])).toBeNull();
    expect(pairedDifference([5])).toMatchObject({ mean: 5, interval: null, bootstrap: null, p: null });
    expect(pairedDifference([2, 2, 2])).toMatchObject({ interval: [2, 2], bootstrap: [2, 2], p: null });
  });

  it("refuse a confidence that is none", () => {
    for (const confidence of [0, 1, 95]) expect(() => pairedDifference([1, 2], { confidence })).toThrow(/confidence/);
    expect(() => pairedDifference([1, 2], { resamples: 0 })).toThrow(/resamples/);
  });
});

describe("the bootstrap", () => {
  // Both resample at random: an end of the interval varies by some hundredths of the standard error of the mean.
  it.each(reference.bootstrap)("has the interval that scipy resamples", ({ values, low, high }) => {
    const own = bootstrapMean(values, { confidence: 0.95, resamples: 50_000, seed: 1 });
    const error = standardDeviation(values) / Math.sqrt(values.length);
    expect(Math.abs(own[0] - low) / error).toBeLessThan(0.05);
    expect(Math.abs(own[1] - high) / error).toBeLessThan(0.05);
  });

  it("is a function of its seed", () => {
    const of = (seed: number) => bootstrapMean([1, 2, 4, 8], { confidence: 0.9, resamples: 99, seed });
    expect(of(3)).toEqual(of(3));
    expect(of(3)).not.toEqual(of(4));
  });

  it("of two values has their means, a quarter of them at each end", () => {
    expect(bootstrapMean([0, 1], { confidence: 0.95, resamples: 1000, seed: 0 })).toEqual([0, 1]);
    expect(quantile([0, 10, 20], 0.25)).toBe(5);
  });
});

describe("summaries", () => {
  it("have the mean and the deviation with n - 1", () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(standardDeviation([1, 3])).toBe(Math.SQRT2);
    expect(summarize([2, 4, 9])).toEqual({
      ...{ count: 3, mean: 5, least: 2, greatest: 9 },
      standardDeviation: Math.sqrt(13),
    });
    expect(summarize([7])).toMatchObject({ mean: 7, standardDeviation: null });
    expect(summarize([])).toBeNull();
  });
});
