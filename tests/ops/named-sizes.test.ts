import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dimension } from "../../src/graph/value-type.ts";
import { areEqual, isPositive, minus, over, plus, times } from "../../src/ops/inference/named-sizes.ts";
import { evaluateSize } from "../support/evaluate-size.ts";

type Step = readonly [op: "plus" | "minus" | "times" | "over", other: string | number];

const OPERATIONS = { plus, minus, times, over } as const;
const NUMBERS = {
  plus: (a: number, b: number) => a + b,
  minus: (a: number, b: number) => a - b,
  times: (a: number, b: number) => a * b,
  over: (a: number, b: number) => Math.trunc(a / b),
} as const;

const names = ["batch", "length", "unk__6", "p2o.Dim.1"] as const;
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.tuple(
    fc.constantFrom("plus", "minus", "times", "over"),
    fc.oneof(fc.constantFrom(...names), fc.integer({ min: 1, max: 6 })),
  ),
  { maxLength: 6 },
);
const sizes = fc.record(Object.fromEntries(names.map((name) => [name, fc.integer({ min: 1, max: 40 })])));

describe("arithmetic on sizes that have names", () => {
  it("is that on numbers, whatever the sizes are", () => {
    fc.assert(
      fc.property(steps, sizes, (chain, values) => {
        const of = (size: string | number): number =>
          typeof size === "number" ? size : evaluateSize(size, (name) => values[name] ?? Number.NaN);
        let size: Dimension = "batch";
        let value = of("batch");
        for (const [op, other] of chain) {
          const next: Dimension = OPERATIONS[op](size, other);
          if (next === null) return;
          // Sizes have no negative zero.
          [size, value] = [next, NUMBERS[op](value, of(other)) + 0];
          expect([chain, size, of(size) + 0]).toEqual([chain, size, value]);
          if (isPositive(size)) expect([size, value]).toEqual([size, Math.max(value, 1)]);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("writes one size in one way", () => {
    expect(times(plus("b", "a"), 2)).toBe("2*a + 2*b");
    expect(plus(times("a", 2), times("b", 2))).toBe("2*a + 2*b");
    expect(minus(plus("a", 1), 1)).toBe("a");
    expect(over(times(times("batch", 12), "length"), times("length", 4))).toBe("3*batch");
    expect(over(plus("height", 1), 2)).toBe("div(height + 1,2)");
    expect(minus(plus("a", "b"), plus("b", "a"))).toBe(0);
  });

  it.each([
    ["batch", "batch", true],
    ["batch", plus("batch", 1), false],
    ["batch", 0, false],
    ["batch", "length", null],
    [plus("batch", -1), 0, null],
    ["a size with blanks", "a size with blanks", true],
    ["a size with blanks", "another", null],
  ])("%s and %s are the same: %s", (a, b, expected) => {
    expect(areEqual(a, b)).toBe(expected);
  });

  it("makes nothing of names it cannot read, and nothing endless", () => {
    expect(plus("a size with blanks", 1)).toBeNull();
    expect(plus("7", 1)).toBeNull();
    let size: Dimension = plus("a", "b");
    for (let round = 0; round < 12; round++) size = times(size, plus("a", `b${round}`));
    expect(size).toBeNull();
  });
});
