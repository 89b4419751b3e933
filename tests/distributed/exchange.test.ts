import { describe, expect, it } from "vitest";
import type { Communicator, Summable } from "../../src/distributed/communicator.ts";
import { Exchange } from "../../src/distributed/exchange.ts";
import { SINGLE } from "../../src/distributed/single.ts";
import { rejectionOf } from "../support/errors.ts";

const weighted = (entries: Readonly<Record<string, readonly number[]>>, weight: number) =>
  new Map(Object.entries(entries).map(([name, values]) => [name, { values: Float32Array.from(values), weight }]));

const LAYOUT = [
  ["a", 3],
  ["b", 2],
] as const;

describe("an exchange", () => {
  it("gives back what one rank gave, with its scalars, and forgets it", async () => {
    const exchange = new Exchange(SINGLE, LAYOUT, { isDouble: false, scalars: 2 });
    const { scalars } = await exchange.sum(weighted({ a: [1, 2, 3], b: [0.1, 5] }, 1), [6, 7]);
    expect(scalars).toEqual([6, 7]);
    expect([...exchange.of("a")]).toEqual([1, 2, 3]);
    expect([...exchange.of("b")]).toEqual([Math.fround(0.1), 5]);
    await exchange.sum(weighted({ a: [1, 1, 1] }, 0.25), [0, 0]);
    expect([...exchange.of("a"), ...exchange.of("b")]).toEqual([0.25, 0.25, 0.25, 0, 0]);
    await exchange.sum(new Map(), [0, 0]);
    expect([...exchange.of("a"), ...exchange.of("b")]).toEqual([0, 0, 0, 0, 0]);
  });

  it("adds up weighted contributions in float32, one rounding each", async () => {
    const exchange = new Exchange(SINGLE, LAYOUT, { isDouble: false, scalars: 0 });
    exchange.add(weighted({ a: [0.1, 0.2, 0.3], b: [1, 1] }, 0.3));
    exchange.add(weighted({ a: [0.7, 0.8, 0.9] }, 0.5));
    await exchange.sum(weighted({ b: [3, 4] }, 1), []);
    const first = [0.1, 0.2, 0.3].map((value) => Math.fround(0.3 * Math.fround(value)));
    const second = [0.7, 0.8, 0.9].map((value, index) => Math.fround((first[index] ?? 0) + 0.5 * Math.fround(value)));
    expect([...exchange.of("a")]).toEqual(second);
    expect([...exchange.of("b")]).toEqual([3, 4].map((value) => Math.fround(Math.fround(0.3) + value)));
  });

  it("adds up in float64 where it is asked to", async () => {
    const exchange = new Exchange(SINGLE, [["a", 2]], { isDouble: true, scalars: 1 });
    const values = Float64Array.of(0.1, 1e-12);
    exchange.add(new Map([["a", { values, weight: 0.3 }]]));
    const { scalars } = await exchange.sum(new Map([["a", { values, weight: 0.7 }]]), [1 / 3]);
    expect([...exchange.of("a"), ...scalars]).toEqual([0.3 * 0.1 + 0.7 * 0.1, 0.3e-12 + 0.7e-12, 1 / 3]);
  });

  it("goes in buckets of 8 to 25 MB that hold everything once, one under way while the next is filled", async () => {
    const calls: { readonly length: number; readonly isFirst: boolean }[] = [];
    let underWay = 0;
    const slow: Communicator = {
      ...SINGLE,
      async allReduceSum(values: Summable) {
        calls.push({ length: values.byteLength, isFirst: underWay++ === 0 });
        await new Promise((done) => setTimeout(done, 5));
        for (const [index, value] of values.entries()) values[index] = 2 * value;
        underWay--;
      },
    };
    const size = 15_000_000;
    const exchange = new Exchange(slow, [["a", size]], { isDouble: false, scalars: 3 });
    const values = Float32Array.from({ length: size }, (_, index) => index % 1000);
    const { scalars, times } = await exchange.sum(new Map([["a", { values, weight: 1 }]]), [1, 2, 3]);
    expect(scalars).toEqual([2, 4, 6]);
    expect(exchange.of("a").every((value, index) => value === 2 * (index % 1000))).toBe(true);
    expect(calls.reduce((sum, { length }) => sum + length, 0)).toBe(exchange.bytes);
    expect(calls).toHaveLength(exchange.buckets);
    for (const { length } of calls) expect(length).toBeGreaterThanOrEqual(8e6);
    for (const { length } of calls) expect(length).toBeLessThanOrEqual(25e6);
    expect(calls.filter(({ isFirst }) => isFirst).length).toBeLessThan(calls.length);
    expect(times.pack + times.reduce).toBeGreaterThan(0);
  });

  it("names a tensor that has not the elements it should", async () => {
    const exchange = new Exchange(SINGLE, LAYOUT, { isDouble: true, scalars: 0 });
    const error = await rejectionOf(exchange.sum(weighted({ a: [1, 2] }, 1), []));
    expect([error.code, error.field, error.message]).toEqual(["E_EXCHANGE", "a", '"a" has 2 elements, not 3']);
  });
});
