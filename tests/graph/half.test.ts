import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel } from "../../src/entries/graph.ts";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "../../src/graph/half.ts";
import { openSession } from "../support/ort.ts";

/** What ONNX Runtime's Cast makes of numbers. */
async function cast(to: number, back: number, values: Float32Array): Promise<Float32Array> {
  const sketch = new Sketch("cast");
  sketch.input("x", tensor(DataType.float, ["n"]));
  sketch.node("Cast", ["x"], ["narrow"], [attribute.int("to", to)]);
  sketch.node("Cast", ["narrow"], ["y"], [attribute.int("to", back)]);
  sketch.output("y", tensor(back, ["n"]));
  const session = await openSession(encodeModel(model(sketch.graph, 8, [["", 17]])), {
    graphOptimizationLevel: "disabled",
  });
  const { y } = await session.run({ x: new Tensor("float32", values, [values.length]) });
  await session.release();
  return y?.data as Float32Array;
}

const KINDS = [
  ["float16", DataType.float16, toHalf, fromHalf],
  ["bfloat16", DataType.bfloat16, toBfloat, fromBfloat],
] as const;

/** Numbers of all sizes, halves between neighbours, and what lies beside those. */
function numbers(from: (bits: number) => number): Float32Array {
  const all = Array.from({ length: 0x8000 }, (_, bits) => from(bits));
  const finite = all.filter(Number.isFinite);
  const between = finite.slice(1).map((value, at) => (value + (finite[at] ?? 0)) / 2);
  const beside = between.flatMap((value) => [value * (1 + 2 ** -20), value * (1 - 2 ** -20)]);
  const sizes = [...finite, ...between, ...beside, 65519.99, 65520, 1e6, 3.3e38, 2 ** -25, 2 ** -26, 1e-40];
  return Float32Array.from([...sizes, ...sizes.map((value) => -value), Number.POSITIVE_INFINITY, Number.NaN]);
}

describe.each(KINDS)("%s", (_, dtype, to, from) => {
  it("is rounded as ONNX Runtime rounds", async () => {
    const values = numbers(from);
    const right = await cast(dtype, DataType.float, values);
    const mine = Float32Array.from(values, (value) => from(to(value)));
    const wrong = [...mine.keys()].filter((at) => !Object.is(mine[at], right[at]));
    expect(wrong.slice(0, 5).map((at) => [values[at], mine[at], right[at]])).toEqual([]);
  });

  it("comes back as it was", () => {
    const patterns = Array.from({ length: 0x10000 }, (_, bits) => bits).filter((bits) => !Number.isNaN(from(bits)));
    expect(patterns.filter((bits) => to(from(bits)) !== bits)).toEqual([]);
  });
});
