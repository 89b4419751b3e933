import { describe, expect, it } from "vitest";
import { DataType, printModel } from "../../src/entries/graph.ts";
import { weighSums } from "../../src/passes/weighted/weigh-sums.ts";
import { blockSizeOf } from "../../src/runtime/ort-node/block-size.ts";
import { loadOrtNode } from "../../src/runtime/ort-node/load.ts";
import { type Net, netOf, resultsOf, type Sizes } from "../support/net-of-lines.ts";

const always = (): boolean => true;

/** Null on processors that ONNX Runtime has no blocks for. */
const block = await blockSizeOf(await loadOrtNode());

const X = [2, 3, 8, 8];
const C = [3, 1, 1];

describe.skipIf(block === null)("a weighted sum", () => {
  const lanes = block ?? 0;
  it.each<[string, number, Net]>([
    [
      "a scale and a shift per channel",
      1,
      {
        inputs: { x: X, s: C, b: C },
        lines: "Mul x s m, Add m b y",
      },
    ],
    [
      "the positive part, weights first",
      1,
      {
        inputs: { x: X, s: C, b: [1, 3, 1, 1] },
        lines: "Mul s x m, Add b m a, Relu a y",
      },
    ],
    [
      "one that is taken off, and taken from",
      1,
      {
        inputs: { x: X, s: C, b: C },
        lines: "Sub x b m, Sub s m y",
      },
    ],
    [
      "two tensors, of which one is taken off, times a number of the other's and the channel's",
      2,
      {
        inputs: { x: X, z: X, s: C, b: C },
        lines: "Mul x s m, Add m b a, Sub z a d, Mul d s e, Mul e half y",
      },
    ],
    [
      "what is reshaped on the way, and a tensor that others read",
      2,
      {
        inputs: { x: [2, 3, 64], z: X, s: [1, 3, 1], b: [1, 3, 1] },
        lines: "Neg z k, Mul x s m, Add m b a, Reshape a planes p, Add p k c, Relu c y, Add y k r",
        outputs: ["y", "r", "k"],
      },
    ],
    [
      "a tensor that nothing else reads is overwritten",
      1,
      {
        inputs: { x: [2, 3, 64], z: X, s: [1, 3, 1] },
        lines: "Neg z k, Mul x s m, Reshape m planes p, Add p k c, Relu c y",
      },
    ],
    [
      "no weight but one that is added",
      1,
      {
        inputs: { x: X, z: X, b: C },
        lines: "Neg x n, Neg z k, Add n k m, Sub m b y",
      },
    ],
    [
      "three tensors with a weight each",
      3,
      {
        inputs: { x: X, z: X, w: X, s: C, b: C },
        lines: "Mul x s m, Mul z b n, Mul half w o, Add m n p, Sub p o y",
      },
    ],
    [
      "a weight per sample and channel",
      1,
      {
        inputs: { x: X, s: [2, 3, 1, 1], b: [2, 3, 1, 1] },
        lines: "Mul x s m, Add m b y",
      },
    ],
    [
      "an open batch",
      1,
      {
        inputs: { x: ["batch", 3, 8, 8], s: C, b: C },
        lines: "Mul x s m, Add m b a, Relu a y",
      },
    ],
  ])("gives ONNX Runtime's own numbers: %s", async (_, passes, net) => {
    const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
    const expected = await resultsOf(netOf(net), special);
    const weighed = netOf(net);
    expect(weighSums(weighed, lanes, always)).toBe(1);
    expect(weighed.graph.nodes.filter(({ domain }) => domain !== "").length).toBe(passes);
    const given = await resultsOf(weighed, special);
    expect(given.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
    for (const [index, numbers] of expected.entries()) {
      for (const [at, number] of numbers.entries()) {
        const own = given[index]?.[at] ?? Number.POSITIVE_INFINITY;
        /** Products are not rounded before they are added up. */
        if (Number.isFinite(number)) expect(Math.abs(own - number)).toBeLessThan(4e-6);
        else expect(own).toBe(number);
      }
    }
  });

  const scaleAndShift = "Mul x s m, Add m b y";
  it.each<[string, Net]>([
    ["planes that do not fill blocks", { inputs: { x: [2, 3, 5, 5], s: C, b: C }, lines: scaleAndShift }],
    ["weights along the last axis", { inputs: { x: X, s: [8], b: [8] }, lines: scaleAndShift }],
    ["weights whose axes lie apart", { inputs: { x: X, s: [2, 1, 8, 1], b: [2, 1, 8, 1] }, lines: scaleAndShift }],
    ["one number for all", { inputs: { x: X, s: [], b: [1] }, lines: scaleAndShift }],
    ["a tensor that is broadcast", { inputs: { x: [3, 8, 8], s: [2, 3, 1, 1] }, lines: "Mul x s y" }],
    ["open planes", { inputs: { x: [2, 3, "rows", 8], s: C, b: C }, lines: scaleAndShift }],
    ["double precision", { inputs: { x: X, s: C, b: C }, lines: scaleAndShift, dtype: DataType.double }],
    ["what is computed from gradients", { inputs: { x: X, s: C, b: C }, lines: scaleAndShift, gradients: ["s"] }],
  ])("leaves %s", (_, net) => {
    const left = netOf(net);
    const nodes = [...left.graph.nodes];
    expect(weighSums(left, lanes, always)).toBe(0);
    expect(left.graph.nodes).toEqual(nodes);
    expect([...left.opsets.keys()]).toEqual([""]);
  });

  it("leaves what others read in between, and weights of other channels", async () => {
    const inputs = { x: X, s: C, b: [2, 1, 1, 1], c: C };
    const net: Net = {
      inputs,
      lines: "Mul x s m, Mul m b n, Add n c o, Add o c y",
      outputs: ["y", "o"],
    };
    const expected = await resultsOf(netOf(net));
    const weighed = netOf(net);
    weighSums(weighed, lanes, ({ nodes }) => nodes.length > 1);
    const given = await resultsOf(weighed);
    for (const [index, numbers] of expected.entries()) {
      for (const [at, number] of numbers.entries()) expect(given[index]?.[at]).toBeCloseTo(number, 5);
    }
    expect(weighed.graph.nodes.some(({ outputs }) => outputs[0]?.name === "o")).toBe(true);
  });

  it("pays for large tensors and for sums of several nodes", () => {
    const count = (x: Sizes, lines: string): number => weighSums(netOf({ inputs: { x, s: C, b: C }, lines }), lanes);
    expect(count([32, 3, 64, 64], scaleAndShift)).toBe(1);
    expect(count([32, 3, 64, 64], "Mul x s y")).toBe(0);
    expect(count([2, 3, 16, 16], scaleAndShift)).toBe(0);
  });
});

it("has this text", () => {
  const lines = "Mul x s m, Add m b a, Sub z a d, Relu d y";
  const net = netOf({ inputs: { x: X, z: X, s: C, b: C }, lines });
  weighSums(net, 16, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17, "com.microsoft.nchwc" : 1]>
    net (float[2,3,8,8] x, float[2,3,8,8] z, float[3,1,1] s, float[3,1,1] b) => (float[2,3,8,8] y)
    {
      [y/Relu/Constant] y/Relu/Constant:out = Constant <value = float[48,1,1,1] {...}> ()
      [y/Relu/Constant_1] y/Relu/Constant_1:out = Constant <value = int64[4] {-1, 48, 4, 1}> ()
      [y/Relu/Reshape] y/Relu/Reshape:out = Reshape (z, y/Relu/Constant_1:out)
      [y/Relu/Constant_2] y/Relu/Constant_2:out = Constant <value = int64[2] {3, 1}> ()
      [y/Relu/Reshape_1] y/Relu/Reshape_1:out = Reshape (b, y/Relu/Constant_2:out)
      [y/Relu/Constant_3] y/Relu/Constant_3:out = Constant <value = float[] {-1}> ()
      [y/Relu/Mul] y/Relu/Mul:out = Mul (y/Relu/Reshape_1:out, y/Relu/Constant_3:out)
      [y/Relu/Constant_4] y/Relu/Constant_4:out = Constant <value = int64[2] {3, 16}> ()
      [y/Relu/Expand] y/Relu/Expand:out = Expand (y/Relu/Mul:out, y/Relu/Constant_4:out)
      [y/Relu/Constant_5] y/Relu/Constant_5:out = Constant <value = int64[1] {48}> ()
      [y/Relu/Reshape_2] y/Relu/Reshape_2:out = Reshape (y/Relu/Expand:out, y/Relu/Constant_5:out)
      [y/Relu/Conv] y/Relu/Conv:out = com.microsoft.nchwc.Conv <group = 48, kernel_shape = [1, 1]> (y/Relu/Reshape:out, y/Relu/Constant:out, y/Relu/Reshape_2:out)
      [y/Relu/Reshape_3] y/Relu/Reshape_3:out = Reshape (s, y/Relu/Constant_2:out)
      [y/Relu/Mul_1] y/Relu/Mul_1:out = Mul (y/Relu/Reshape_3:out, y/Relu/Constant_3:out)
      [y/Relu/Expand_1] y/Relu/Expand_1:out = Expand (y/Relu/Mul_1:out, y/Relu/Constant_4:out)
      [y/Relu/Constant_6] y/Relu/Constant_6:out = Constant <value = int64[4] {48, 1, 1, 1}> ()
      [y/Relu/Reshape_4] y/Relu/Reshape_4:out = Reshape (y/Relu/Expand_1:out, y/Relu/Constant_6:out)
      [y/Relu/Reshape_5] y/Relu/Reshape_5:out = Reshape (x, y/Relu/Constant_1:out)
      [y/Relu/Conv_1] y/Relu/Conv_1:out = com.microsoft.nchwc.Conv <group = 48, kernel_shape = [1, 1], activation = "Relu"> (y/Relu/Reshape_5:out, y/Relu/Reshape_4:out, "", y/Relu/Conv:out)
      [y/Relu/Constant_7] y/Relu/Constant_7:out = Constant <value = int64[4] {2, 3, 8, 8}> ()
      [y/Relu/Reshape_6] y = Reshape (y/Relu/Conv_1:out, y/Relu/Constant_7:out)
    }
    "
  `);
});
