import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { blockConvolutions } from "../../src/passes/blocked/block-convolutions.ts";
import { blockSizeOf, PROBE_OPTIONS } from "../../src/runtime/ort-node/block-size.ts";
import { loadOrtNode } from "../../src/runtime/ort-node/load.ts";
import { resultsOf } from "../support/results-of.ts";

interface Layer {
  readonly image: readonly (number | string)[];
  /** [O, C / group, height, width] */
  readonly kernels: readonly number[];
  readonly group?: number;
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
  readonly autoPad?: string;
  readonly hasBias?: boolean;
  readonly dtype?: number;
}

function layerOf(layer: Layer): Model {
  const { image, kernels, group = 1, strides, dilations, pads, autoPad, hasBias, dtype = DataType.float } = layer;
  const sketch = new Sketch("layer");
  sketch.input("x", tensor(dtype, image));
  sketch.input("w", tensor(dtype, kernels));
  if (hasBias) sketch.input("b", tensor(dtype, kernels.slice(0, 1)));
  sketch.node(
    "Conv",
    hasBias ? ["x", "w", "b"] : ["x", "w"],
    ["y"],
    [
      attribute.int("group", group),
      ...(strides === undefined ? [] : [attribute.ints("strides", strides)]),
      ...(dilations === undefined ? [] : [attribute.ints("dilations", dilations)]),
      ...(pads === undefined ? [] : [attribute.ints("pads", pads)]),
      ...(autoPad === undefined ? [] : [attribute.string("auto_pad", autoPad)]),
    ],
  );
  sketch.output("y", tensor(dtype, [...image.slice(0, 1), kernels[0] ?? 0, ...image.slice(2).map(() => "size")]));
  return model(sketch.graph, 8, [["", 17]]);
}

const always = { convolution: () => true, transposed: () => true, weightGradient: () => true };

/** Null on processors that ONNX Runtime has no blocks for. */
const block = await blockSizeOf(await loadOrtNode());

describe.skipIf(block === null)("a convolution in blocks", () => {
  const channels = block ?? 0;
  it.each<[string, Layer]>([
    ["blocks of channels", { image: [2, 32, 9, 7], kernels: [48, 32, 3, 3], pads: [1, 1, 1, 1] }],
    ["channels and outputs that do not fill blocks", { image: [2, 20, 6, 6], kernels: [10, 20, 3, 3], hasBias: true }],
    [
      "strides, dilations, uneven pads",
      {
        image: [2, 16, 11, 13],
        kernels: [16, 16, 3, 2],
        strides: [2, 3],
        dilations: [2, 1],
        pads: [2, 0, 1, 1],
        hasBias: true,
      },
    ],
    [
      "pads by the operator's own rule",
      { image: [1, 16, 9, 9], kernels: [32, 16, 4, 4], strides: [2, 2], autoPad: "SAME_UPPER" },
    ],
    ["kernels of one place", { image: [3, 24, 5, 5], kernels: [40, 24, 1, 1] }],
    ["kernels larger than the plane", { image: [2, 16, 2, 3], kernels: [16, 16, 5, 5], pads: [2, 2, 2, 2] }],
    [
      "groups that fill blocks",
      { image: [2, 64, 6, 5], kernels: [32, 32, 3, 3], group: 2, pads: [1, 1, 1, 1], hasBias: true },
    ],
    [
      "a kernel per channel",
      { image: [2, 32, 8, 9], kernels: [32, 1, 5, 5], group: 32, pads: [2, 2, 2, 2], hasBias: true },
    ],
    [
      "a kernel per channel, of channels that do not fill a block",
      { image: [2, 20, 8, 8], kernels: [20, 1, 3, 3], group: 20, strides: [2, 2], pads: [1, 1, 1, 1], hasBias: true },
    ],
    [
      "a kernel per channel and sample, as large as the plane",
      { image: [1, 24, 10, 10], kernels: [24, 1, 8, 8], group: 24 },
    ],
    [
      "an image of few channels",
      { image: [2, 3, 12, 12], kernels: [16, 3, 5, 5], strides: [2, 2], pads: [2, 2, 2, 2], hasBias: true },
    ],
    ["few channels to few", { image: [2, 6, 9, 9], kernels: [6, 6, 3, 3], hasBias: true }],
    ["an open batch", { image: ["batch", 32, 6, 6], kernels: [32, 32, 3, 3], pads: [1, 1, 1, 1] }],
  ])("gives what the convolution gives: %s", async (_, layer) => {
    const net = layerOf(layer);
    const expected = await resultsOf(net);
    expect(blockConvolutions(net, channels, always)).toBe(1);
    expect(net.graph.nodes.filter(({ domain }) => domain === "com.microsoft.nchwc").length).toBeGreaterThan(2);
    const given = await resultsOf(net);
    expect(given.dims).toEqual(expected.dims);
    /** Sums of up to 512 products below 1/16, in another order. */
    for (const [at, number] of Array.from(expected.data as Float32Array).entries())
      expect(Math.abs(number - Number(given.data[at])), `element ${at}`).toBeLessThan(2e-6);
    const made = encodeModel(net);
    expect(blockConvolutions(net, channels, always)).toBe(0);
    expect(encodeModel(net)).toEqual(made);
  });
});

it.each<[string, Layer]>([
  ["one axis", { image: [2, 32, 9], kernels: [32, 32, 3] }],
  ["three axes", { image: [2, 32, 5, 5, 5], kernels: [32, 32, 3, 3, 3] }],
  ["float64", { image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], dtype: DataType.double }],
  ["float16", { image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], dtype: DataType.float16 }],
  ["channels by no fours", { image: [2, 30, 9, 9], kernels: [32, 30, 3, 3] }],
  ["groups that do not fill blocks", { image: [2, 32, 9, 9], kernels: [32, 4, 3, 3], group: 8 }],
  ["channels that are not known", { image: [2, "channels", 9, 9], kernels: [32, 32, 3, 3] }],
])("leaves as they are: %s", (_, layer) => {
  const net = layerOf(layer);
  expect(blockConvolutions(net, 16, always)).toBe(0);
  expect(net.graph.nodes.map(({ domain, opType }) => `${domain}${opType}`)).toEqual(["Conv"]);
  expect([...net.opsets.keys()]).toEqual([""]);
});

it.each<[boolean, string, Layer]>([
  [true, "3x3 over 32 channels", { image: [32, 32, 32, 32], kernels: [32, 32, 3, 3], pads: [1, 1, 1, 1] }],
  [true, "a kernel per channel", { image: [8, 144, 24, 24], kernels: [144, 1, 3, 3], group: 144, pads: [1, 1, 1, 1] }],
  [true, "5x5 over 8 channels", { image: [64, 8, 14, 14], kernels: [16, 8, 5, 5], pads: [2, 2, 2, 2] }],
  [false, "kernels of one place", { image: [4, 64, 56, 56], kernels: [64, 64, 1, 1] }],
  [false, "3x3 over a color image", { image: [32, 3, 32, 32], kernels: [32, 3, 3, 3], pads: [1, 1, 1, 1] }],
  [false, "24 channels, which fill no blocks", { image: [8, 24, 56, 56], kernels: [24, 24, 3, 3], pads: [1, 1, 1, 1] }],
  [false, "few samples of small planes", { image: [4, 64, 8, 8], kernels: [64, 64, 3, 3], pads: [1, 1, 1, 1] }],
  [
    false,
    "a weight gradient",
    { image: [1, 32, 32, 1024], kernels: [32, 32, 32, 32], dilations: [1, 32], pads: [1, 32, 1, 32] },
  ],
])("%s for %s", (pays, _, layer) => {
  expect(blockConvolutions(layerOf(layer), 16)).toBe(pays ? 1 : 0);
});

it("puts an image that several convolutions read into blocks once", () => {
  const sketch = new Sketch("two");
  sketch.input("x", float([32, 32, 16, 16]));
  for (const name of ["v", "w"]) sketch.input(name, float([32, 32, 3, 3]));
  sketch.node("Conv", ["x", "v"], ["first"]);
  sketch.node("Conv", ["x", "w"], ["second"]);
  sketch.node("Add", ["first", "second"], ["y"]);
  sketch.output("y", float([32, 32, 14, 14]));
  const net = model(sketch.graph, 8, [["", 17]]);
  expect(blockConvolutions(net, 16)).toBe(2);
  expect(net.graph.nodes.filter(({ opType }) => opType === "ReorderInput")).toHaveLength(3);
  expect(
    net.graph.nodes.filter(({ opType, inputs }) => opType === "ReorderInput" && inputs[0]?.name === "x"),
  ).toHaveLength(1);
});

it("has this text", () => {
  const net = layerOf({ image: [32, 32, 16, 16], kernels: [24, 32, 3, 3], pads: [1, 1, 1, 1], hasBias: true });
  blockConvolutions(net, 16);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17, "com.microsoft.nchwc" : 1]>
    layer (float[32,32,16,16] x, float[24,32,3,3] w, float[24] b) => (float[32,24,16,16] y)
    {
      [y/Conv/ReorderInput] y/Conv/ReorderInput:out = com.microsoft.nchwc.ReorderInput (x)
      [y/Conv/Constant] y/Conv/Constant:out = Constant <value = int64[4] {1, -1, 32, 9}> ()
      [y/Conv/Reshape] y/Conv/Reshape:out = Reshape (w, y/Conv/Constant:out)
      [y/Conv/ReorderInput_1] y/Conv/ReorderInput_1:out = com.microsoft.nchwc.ReorderInput (y/Conv/Reshape:out)
      [y/Conv/Constant_1] y/Conv/Constant_1:out = Constant <value = int64[5] {2, 2, 16, 9, 16}> ()
      [y/Conv/Reshape_1] y/Conv/Reshape_1:out = Reshape (y/Conv/ReorderInput_1:out, y/Conv/Constant_1:out)
      [y/Conv/Transpose] y/Conv/Transpose:out = Transpose <perm = [0, 1, 3, 2, 4]> (y/Conv/Reshape_1:out)
      [y/Conv/Constant_2] y/Conv/Constant_2:out = Constant <value = int64[4] {32, 32, 3, 3}> ()
      [y/Conv/Reshape_2] y/Conv/Reshape_2:out = Reshape (y/Conv/Transpose:out, y/Conv/Constant_2:out)
      [y/Conv/Constant_3] y/Conv/Constant_3:out = Constant <value = int64[2] {0, 8}> ()
      [y/Conv/Pad] y/Conv/Pad:out = Pad (b, y/Conv/Constant_3:out)
      [y/Conv/Conv] y/Conv/Conv:out = com.microsoft.nchwc.Conv <group = 1, pads = [1, 1, 1, 1]> (y/Conv/ReorderInput:out, y/Conv/Reshape_2:out, y/Conv/Pad:out)
      [y/Conv/ReorderOutput] y = com.microsoft.nchwc.ReorderOutput <channels = 24> (y/Conv/Conv:out)
    }
    "
  `);
});

it("knows ONNX Runtime's blocks, and no others", async () => {
  const ort = await loadOrtNode();
  expect([null, 4, 8, 16]).toContain(block);
  const broken = { ...ort, InferenceSession: { create: () => Promise.reject(new Error("no such domain")) } };
  expect(await blockSizeOf(broken)).toBeNull();
  expect(PROBE_OPTIONS.executionProviders).toEqual(["cpu"]);
});
