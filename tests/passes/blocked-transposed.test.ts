import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { blockConvolutions } from "../../src/passes/blocked/block-convolutions.ts";
import { blockSizeOf } from "../../src/runtime/ort-node/block-size.ts";
import { loadOrtNode } from "../../src/runtime/ort-node/load.ts";
import { resultsOf } from "../support/results-of.ts";

interface Layer {
  readonly image: readonly (number | string)[];
  /** [C, O, height, width] */
  readonly kernels: readonly number[];
  readonly group?: number;
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
  readonly more?: readonly number[];
  readonly autoPad?: string;
  readonly sizes?: readonly number[];
  readonly hasBias?: boolean;
  readonly dtype?: number;
}

function attributesOf({ group = 1, strides, dilations, pads, more, autoPad, sizes }: Layer) {
  const lists = { strides, dilations, pads, output_padding: more, output_shape: sizes };
  return [
    attribute.int("group", group),
    ...Object.entries(lists).flatMap(([name, list]) => (list === undefined ? [] : [attribute.ints(name, list)])),
    ...(autoPad === undefined ? [] : [attribute.string("auto_pad", autoPad)]),
  ];
}

/** The sum of what these give; of one, what it gives. */
function netOf(layers: readonly Layer[], outputs: readonly string[] = []): Model {
  const sketch = new Sketch("layer");
  const type = (layer: Layer, dims: readonly (number | string)[]) => tensor(layer.dtype ?? DataType.float, dims);
  for (const [at, layer] of layers.entries()) {
    const { image, kernels, hasBias } = layer;
    const name = layers.length === 1 ? "y" : `y${at}`;
    sketch.input(`x${at}`, type(layer, image));
    sketch.input(`w${at}`, type(layer, kernels));
    if (hasBias) sketch.input(`b${at}`, type(layer, kernels.slice(1, 2)));
    const inputs = hasBias ? [`x${at}`, `w${at}`, `b${at}`] : [`x${at}`, `w${at}`];
    sketch.node("ConvTranspose", inputs, [name], attributesOf(layer));
  }
  if (layers.length > 1) {
    sketch.node(
      "Add",
      layers.map((_, at) => `y${at}`),
      ["y"],
    );
  }
  const [first] = layers;
  for (const name of ["y", ...outputs])
    sketch.output(
      name,
      tensor(
        first?.dtype ?? DataType.float,
        (first?.image ?? []).map((_, axis) => `size${axis}`),
      ),
    );
  return model(sketch.graph, 8, [["", 17]]);
}

const always = { convolution: () => true, transposed: () => true, weightGradient: () => true };

/** Null on processors that ONNX Runtime has no blocks for. */
const block = await blockSizeOf(await loadOrtNode());

async function givesTheSame(net: Model): Promise<void> {
  const expected = await resultsOf(net);
  expect(blockConvolutions(net, block ?? 0, always)).toBe(1);
  expect(net.graph.nodes.filter(({ opType }) => opType === "ConvTranspose")).toHaveLength(0);
  const given = await resultsOf(net);
  expect(given.dims).toEqual(expected.dims);
  /** Sums of up to some hundred products below 1/16, in another order. */
  for (const [at, number] of Array.from(expected.data as Float32Array).entries())
    expect(Math.abs(number - Number(given.data[at])), `element ${at}`).toBeLessThan(3e-6);
  const made = encodeModel(net);
  expect(blockConvolutions(net, block ?? 0, always)).toBe(0);
  expect(encodeModel(net)).toEqual(made);
}

const two = { strides: [2, 2] };
const half = { ...two, pads: [1, 1, 1, 1] };

describe.skipIf(block === null)("a transposed convolution in phases", () => {
  it.each<[string, Layer]>([
    ["3x3, twice the size", { ...half, image: [2, 32, 5, 7], kernels: [32, 48, 3, 3], more: [1, 1] }],
    ["3x3, an odd size", { ...half, image: [2, 32, 5, 7], kernels: [32, 16, 3, 3] }],
    ["3x3 without pads", { ...two, image: [2, 16, 4, 5], kernels: [16, 16, 3, 3], hasBias: true }],
    ["3x3, one axis odd", { ...half, image: [2, 16, 4, 5], kernels: [16, 16, 3, 3], more: [0, 1], hasBias: true }],
    ["kernels as wide as the strides", { ...two, image: [3, 16, 6, 4], kernels: [16, 32, 2, 2], hasBias: true }],
    ["4x4", { ...half, image: [2, 24, 6, 6], kernels: [24, 16, 4, 4] }],
    [
      "7x7, more pads on one side",
      { ...two, image: [1, 16, 6, 9], kernels: [16, 16, 7, 7], pads: [3, 2, 2, 3], more: [1, 1] },
    ],
    ["strides of 3", { image: [2, 16, 5, 4], kernels: [16, 16, 5, 5], strides: [3, 3], pads: [1, 1, 1, 1] }],
    [
      "a stride along rows alone",
      { image: [2, 16, 5, 4], kernels: [16, 16, 3, 3], strides: [1, 2], pads: [1, 1, 1, 1] },
    ],
    ["a stride along columns alone", { image: [2, 16, 5, 4], kernels: [16, 16, 3, 3], strides: [2, 1], hasBias: true }],
    ["different strides", { image: [1, 16, 3, 4], kernels: [16, 16, 3, 4], strides: [3, 2], pads: [0, 1, 0, 1] }],
    [
      "a dilation of 3",
      { ...two, image: [2, 16, 6, 6], kernels: [16, 16, 3, 3], dilations: [3, 3], pads: [3, 3, 3, 3] },
    ],
    [
      "a dilation along the axis without a stride",
      { image: [1, 16, 5, 5], kernels: [16, 16, 3, 2], strides: [1, 2], dilations: [2, 1] },
    ],
    ["channels that do not fill blocks", { ...half, image: [2, 20, 6, 5], kernels: [20, 10, 3, 3], hasBias: true }],
    ["one result", { ...half, image: [2, 16, 1, 1], kernels: [16, 16, 3, 3] }],
    [
      "no pads by the operator's own rule",
      { ...two, image: [2, 16, 4, 4], kernels: [16, 16, 3, 3], autoPad: "NOTSET" },
    ],
    ["an open batch", { ...half, image: ["batch", 32, 6, 6], kernels: [32, 32, 3, 3], more: [1, 1] }],
  ])("gives what the operator gives: %s", async (_, layer) => givesTheSame(netOf([layer])));

  it.each<[string, readonly Layer[]]>([
    [
      "3x3 and 1x1",
      [
        { ...half, image: [2, 32, 5, 7], kernels: [32, 48, 3, 3], more: [1, 1] },
        { ...two, image: [2, 32, 5, 7], kernels: [32, 48, 1, 1], more: [1, 1] },
      ],
    ],
    [
      "1x1 and 3x3 of other channels, odd sizes",
      [
        { ...two, image: [2, 20, 4, 4], kernels: [20, 10, 1, 1] },
        { ...half, image: [2, 40, 4, 4], kernels: [40, 10, 3, 3] },
      ],
    ],
    [
      "3x3, and 3x3 with a dilation that shares a factor with the strides",
      [
        { ...half, image: [1, 16, 4, 4], kernels: [16, 16, 3, 3] },
        { ...two, image: [1, 16, 4, 4], kernels: [16, 16, 3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] },
      ],
    ],
    [
      "two of 4x4",
      [
        { ...half, image: [1, 16, 4, 4], kernels: [16, 16, 4, 4] },
        { ...half, image: [1, 16, 4, 4], kernels: [16, 16, 4, 4] },
      ],
    ],
  ])("takes a sum at once: %s", async (_, layers) => givesTheSame(netOf(layers)));

  it("adds what has biases, and what is read elsewhere, as before", async () => {
    const layer = { ...half, image: [2, 16, 4, 4], kernels: [16, 16, 3, 3] };
    const nets = [netOf([layer, { ...layer, hasBias: true }]), netOf([layer, layer], ["y1"])];
    for (const net of nets) {
      const expected = await resultsOf(net);
      expect(blockConvolutions(net, block ?? 0, always)).toBe(2);
      expect(net.graph.nodes.filter(({ opType }) => opType === "Add")).toHaveLength(1);
      const given = await resultsOf(net);
      for (const [at, number] of Array.from(expected.data as Float32Array).entries())
        expect(Math.abs(number - Number(given.data[at])), `element ${at}`).toBeLessThan(3e-6);
    }
  });
});

it.each<[string, readonly Layer[]]>([
  ["stride 1", [{ image: [2, 32, 9, 9], kernels: [32, 32, 3, 3] }]],
  ["one axis", [{ image: [2, 32, 9], kernels: [32, 32, 3], strides: [2] }]],
  ["three axes", [{ image: [2, 32, 5, 5, 5], kernels: [32, 32, 3, 3, 3], strides: [2, 2, 2] }]],
  ["groups", [{ ...half, image: [2, 32, 9, 9], kernels: [32, 16, 3, 3], group: 2 }]],
  ["float64", [{ ...half, image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], dtype: DataType.double }]],
  ["channels by no fours", [{ ...half, image: [2, 30, 9, 9], kernels: [30, 32, 3, 3] }]],
  ["channels that fill no block", [{ ...half, image: [2, 12, 9, 9], kernels: [12, 32, 3, 3] }]],
  ["channels that are not known", [{ ...half, image: [2, "channels", 9, 9], kernels: [32, 32, 3, 3] }]],
  ["sizes that are not known", [{ ...half, image: [2, 32, "height", 9], kernels: [32, 32, 3, 3] }]],
  ["results that no place of the kernel meets", [{ ...two, image: [2, 32, 9, 9], kernels: [32, 32, 1, 1] }]],
  [
    "pads that would cut the image",
    [{ image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], strides: [3, 3], pads: [1, 1, 1, 1] }],
  ],
  ["many phases", [{ image: [2, 32, 4, 4], kernels: [32, 32, 5, 5], strides: [5, 5] }]],
  [
    "pads by the operator's own rule",
    [{ ...two, image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], autoPad: "SAME_UPPER" }],
  ],
  ["sizes that the operator is given", [{ ...two, image: [2, 32, 9, 9], kernels: [32, 32, 3, 3], sizes: [18, 18] }]],
])("leaves as they are: %s", (_, layers) => {
  const net = netOf(layers);
  expect(blockConvolutions(net, 16, always)).toBe(0);
  expect(net.graph.nodes.map(({ opType }) => opType)).toEqual(["ConvTranspose"]);
  expect([...net.opsets.keys()]).toEqual([""]);
});

it("adds one by one where the sum would stretch a batch", () => {
  const layer = { ...half, image: [2, 16, 4, 4], kernels: [16, 16, 3, 3] };
  const net = netOf([layer, { ...layer, image: [1, 16, 4, 4] }]);
  expect(blockConvolutions(net, 16, always)).toBe(2);
  expect(net.graph.nodes.filter(({ opType }) => opType === "Add")).toHaveLength(1);
});

it.each<[number, string, readonly Layer[]]>([
  [1, "32 samples, 3x3", [{ ...half, image: [32, 64, 16, 16], kernels: [64, 32, 3, 3], more: [1, 1] }]],
  [1, "many channels of a small plane", [{ ...half, image: [32, 256, 4, 4], kernels: [256, 128, 3, 3], more: [1, 1] }]],
  [1, "8 samples, 4x4", [{ ...half, image: [8, 64, 16, 16], kernels: [64, 32, 4, 4] }]],
  [0, "kernels as wide as the strides", [{ ...two, image: [8, 64, 16, 16], kernels: [64, 32, 2, 2] }]],
  [0, "two samples of many channels", [{ ...two, image: [2, 512, 16, 16], kernels: [512, 256, 2, 2] }]],
  [
    1,
    "a sum with 1x1",
    [
      { ...half, image: [32, 128, 8, 8], kernels: [128, 64, 3, 3], more: [1, 1] },
      { ...two, image: [32, 128, 8, 8], kernels: [128, 64, 1, 1], more: [1, 1] },
    ],
  ],
])("makes %s of %s", (count, _, layers) => {
  expect(blockConvolutions(netOf(layers), 16)).toBe(count);
});

it("has this text", () => {
  const along = { strides: [1, 2] };
  const net = netOf([
    { ...along, image: [2, 16, 1, 4], kernels: [16, 16, 1, 3], pads: [0, 1, 0, 1] },
    { ...along, image: [2, 16, 1, 4], kernels: [16, 16, 1, 1] },
  ]);
  blockConvolutions(net, 16, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17, "com.microsoft.nchwc" : 1]>
    layer (float[2,16,1,4] x0, float[16,16,1,3] w0, float[2,16,1,4] x1, float[16,16,1,1] w1) => (float[2,16,1,7] y)
    {
      [y/Add/ReorderInput] y/Add/ReorderInput:out = com.microsoft.nchwc.ReorderInput (w0)
      [y/Add/Constant] y/Add/Constant:out = Constant <value = int64[5] {1, 16, 1, 3, 16}> ()
      [y/Add/Reshape] y/Add/Reshape:out = Reshape (y/Add/ReorderInput:out, y/Add/Constant:out)
      [y/Add/Transpose] y/Add/Transpose:out = Transpose <perm = [2, 0, 3, 1, 4]> (y/Add/Reshape:out)
      [y/Add/ReorderInput_1] y/Add/ReorderInput_1:out = com.microsoft.nchwc.ReorderInput (w1)
      [y/Add/Constant_1] y/Add/Constant_1:out = Constant <value = int64[5] {1, 16, 1, 1, 16}> ()
      [y/Add/Reshape_1] y/Add/Reshape_1:out = Reshape (y/Add/ReorderInput_1:out, y/Add/Constant_1:out)
      [y/Add/Transpose_1] y/Add/Transpose_1:out = Transpose <perm = [2, 0, 3, 1, 4]> (y/Add/Reshape_1:out)
      [y/Add/Constant_2] y/Add/Constant_2:out = Constant <value = int64[1] {1}> ()
      [y/Add/Gather] y/Add/Gather:out = Gather <axis = 2> (y/Add/Transpose:out, y/Add/Constant_2:out)
      [y/Add/ReorderInput_2] y/Add/ReorderInput_2:out = com.microsoft.nchwc.ReorderInput (x0)
      [y/Add/Constant_3] y/Add/Constant_3:out = Constant <value = int64[4] {16, 16, 1, 1}> ()
      [y/Add/Reshape_2] y/Add/Reshape_2:out = Reshape (y/Add/Gather:out, y/Add/Constant_3:out)
      [y/Add/Conv] y/Add/Conv:out = com.microsoft.nchwc.Conv <kernel_shape = [1, 1], strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], group = 1> (y/Add/ReorderInput_2:out, y/Add/Reshape_2:out)
      [y/Add/ReorderInput_3] y/Add/ReorderInput_3:out = com.microsoft.nchwc.ReorderInput (x1)
      [y/Add/Reshape_3] y/Add/Reshape_3:out = Reshape (y/Add/Transpose_1:out, y/Add/Constant_3:out)
      [y/Add/Conv_1] y/Add/Conv_1:out = com.microsoft.nchwc.Conv <kernel_shape = [1, 1], strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], group = 1> (y/Add/ReorderInput_3:out, y/Add/Reshape_3:out, "", y/Add/Conv:out)
      [y/Add/Constant_4] y/Add/Constant_4:out = Constant <value = int64[2] {-1, 16}> ()
      [y/Add/Reshape_4] y/Add/Reshape_4:out = Reshape (y/Add/Conv_1:out, y/Add/Constant_4:out)
      [y/Add/Constant_5] y/Add/Constant_5:out = Constant <value = int64[2] {2, 0}> ()
      [y/Add/Gather_1] y/Add/Gather_1:out = Gather <axis = 2> (y/Add/Transpose:out, y/Add/Constant_5:out)
      [y/Add/Constant_6] y/Add/Constant_6:out = Constant <value = int64[4] {16, 16, 1, 2}> ()
      [y/Add/Reshape_5] y/Add/Reshape_5:out = Reshape (y/Add/Gather_1:out, y/Add/Constant_6:out)
      [y/Add/Conv_2] y/Add/Conv_2:out = com.microsoft.nchwc.Conv <kernel_shape = [1, 2], strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 1], group = 1> (y/Add/ReorderInput_2:out, y/Add/Reshape_5:out)
      [y/Add/Reshape_6] y/Add/Reshape_6:out = Reshape (y/Add/Conv_2:out, y/Add/Constant_4:out)
      [y/Add/Concat] y/Add/Concat:out = Concat <axis = 1> (y/Add/Reshape_4:out, y/Add/Reshape_6:out)
      [y/Add/Constant_7] y/Add/Constant_7:out = Constant <value = int64[2] {-1, 128}> ()
      [y/Add/Reshape_7] y/Add/Reshape_7:out = Reshape (y/Add/Concat:out, y/Add/Constant_7:out)
      [y/Add/Constant_8] y/Add/Constant_8:out = Constant <value = int64[3] {-1, 1, 128}> ()
      [y/Add/Reshape_8] y/Add/Reshape_8:out = Reshape (y/Add/Reshape_7:out, y/Add/Constant_8:out)
      [y/Add/Constant_9] y/Add/Constant_9:out = Constant <value = int64[2] {0, 0}> ()
      [y/Add/Constant_10] y/Add/Constant_10:out = Constant <value = int64[2] {1, 112}> ()
      [y/Add/Constant_11] y/Add/Constant_11:out = Constant <value = int64[2] {1, 2}> ()
      [y/Add/Slice] y/Add/Slice:out = Slice (y/Add/Reshape_8:out, y/Add/Constant_9:out, y/Add/Constant_10:out, y/Add/Constant_11:out)
      [y/Add/Constant_12] y/Add/Constant_12:out = Constant <value = int64[4] {-1, 16, 1, 7}> ()
      [y/Add/Reshape_9] y/Add/Reshape_9:out = Reshape (y/Add/Slice:out, y/Add/Constant_12:out)
      [y/Add/ReorderOutput] y = com.microsoft.nchwc.ReorderOutput <channels = 16> (y/Add/Reshape_9:out)
    }
    "
  `);
});

it("lays out an image that convolutions of both kinds read once", () => {
  const sketch = new Sketch("both");
  sketch.input("x", float([2, 16, 4, 4]));
  for (const name of ["v", "w"]) sketch.input(name, float([16, 16, 3, 3]));
  sketch.node("Conv", ["x", "v"], ["first"]);
  sketch.node("ConvTranspose", ["x", "w"], ["second"], [attribute.ints("strides", [2, 2])]);
  sketch.output("first", float([2, 16, 2, 2]));
  sketch.output("second", float([2, 16, 9, 9]));
  const net = model(sketch.graph, 8, [["", 17]]);
  expect(blockConvolutions(net, 16, always)).toBe(2);
  const laid = net.graph.nodes.filter(({ opType, inputs }) => opType === "ReorderInput" && inputs[0]?.name === "x");
  expect(laid).toHaveLength(1);
});
