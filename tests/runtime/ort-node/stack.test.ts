import { describe, expect, it } from "vitest";
import { type NamedTensors, Tensor } from "../../../src/index.ts";
import { Stack } from "../../../src/runtime/ort-node/stack.ts";

const floats = (...values: readonly number[]): Tensor =>
  new Tensor("float32", Float32Array.from(values), [values.length]);
const labels = (...values: readonly bigint[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(values), [values.length, 1]);
const seen = (tensors: NamedTensors | null): unknown =>
  Object.entries(tensors ?? {}).map(([name, { type, dims, data }]) => [name, type, [...dims], [...(data as never[])]]);

describe("batches one above the other", () => {
  it("are those of this call, in memory that is used again", () => {
    const stack = new Stack();
    const first = stack.of([
      { x: floats(1, 2), y: labels(3n) },
      { y: labels(6n), x: floats(4, 5) },
    ]);
    expect(seen(first)).toEqual([
      ["x", "float32", [2, 2], [1, 2, 4, 5]],
      ["y", "int64", [2, 1, 1], [3n, 6n]],
    ]);
    const next = stack.of([{ x: floats(7, 8) }, { x: floats(9, 10) }]);
    expect(seen(next)).toEqual([["x", "float32", [2, 2], [7, 8, 9, 10]]]);
    expect(next?.["x"]).toBe(first?.["x"]);
  });

  it("are others of another size, number or type", () => {
    const stack = new Stack();
    expect(seen(stack.of([{ x: floats(1) }, { x: floats(2) }]))).toEqual([["x", "float32", [2, 1], [1, 2]]]);
    expect(seen(stack.of([{ x: floats(1, 2) }]))).toEqual([["x", "float32", [1, 2], [1, 2]]]);
    expect(seen(stack.of([{ x: floats(1) }, { x: floats(2) }, { x: floats(3) }]))).toEqual([
      ["x", "float32", [3, 1], [1, 2, 3]],
    ]);
    const whole = new Tensor("int32", Int32Array.of(1), [1]);
    expect(seen(stack.of([{ x: whole }, { x: whole }]))).toEqual([["x", "int32", [2, 1], [1, 1]]]);
  });

  it("are none where shapes differ", () => {
    const stack = new Stack();
    expect(stack.of([{ x: floats(1) }, { x: floats(1, 2) }])).toBeNull();
    expect(stack.of([{ x: floats(1) }, { y: floats(1) }])).toBeNull();
  });

  it("keep no memory where they are large, and may have any name", () => {
    const stack = new Stack();
    const large = { x: new Tensor("float32", new Float32Array(2 ** 18), [2 ** 18]) };
    const [one, other] = [stack.of([large, large]), stack.of([large, large])];
    expect(one?.["x"] === other?.["x"]).toBe(false);
    const named = JSON.parse('{ "__proto__": 0 }');
    Object.defineProperty(named, "__proto__", { value: floats(1), enumerable: true });
    expect(seen(stack.of([named, named]))).toEqual([["__proto__", "float32", [2, 1], [1, 1]]]);
  });
});
