import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { weightGrad } from "../../src/autodiff/formulas/weight-gradients.ts";
import { DataType, encodeModel, Graph, printModel, Value } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { Model } from "../../src/index.ts";
import { Builder } from "../../src/ops/builder.ts";
import { Formula } from "../../src/ops/formula.ts";
import { blockConvolutions } from "../../src/passes/blocked/block-convolutions.ts";
import { weightGradientCostsLess } from "../../src/passes/blocked/gradient-costs.ts";
import { blockSizeOf } from "../../src/runtime/ort-node/block-size.ts";
import { loadOrtNode } from "../../src/runtime/ort-node/load.ts";
import { openSession } from "../support/ort.ts";

type Pair = readonly [number, number];

interface Shape {
  readonly samples: number;
  readonly channels: number;
  readonly outputs: number;
  readonly size: Pair;
  readonly kernel: Pair;
  readonly strides?: Pair;
  readonly dilations?: Pair;
  readonly begin?: Pair;
  readonly end?: Pair;
  readonly group?: number;
  readonly dtype?: number;
  readonly isOpen?: boolean;
}

const windowOf = ({ kernel, strides = [1, 1], dilations = [1, 1], begin = [0, 0], end = begin }: Shape) => ({
  ...{ kernel, strides, dilations, begin, end },
});

function placed(shape: Shape): Pair {
  const { strides, dilations, kernel, begin, end } = windowOf(shape);
  const along = (axis: 0 | 1): number => {
    const reach = (kernel[axis] - 1) * dilations[axis] + 1;
    return Math.floor((shape.size[axis] + begin[axis] + end[axis] - reach) / strides[axis]) + 1;
  };
  return [along(0), along(1)];
}

function gradientOf(shape: Shape): Model {
  const { samples, channels, outputs, size, group = 1, dtype = DataType.float, isOpen = false } = shape;
  const graph = new Graph("gradient");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const batch = isOpen ? null : samples;
  const image = new Value("x", tensorType(dtype, [batch, channels, ...size]));
  const gradient = new Value("dy", tensorType(dtype, [batch, outputs, ...placed(shape)]));
  graph.inputs.push(image, gradient);
  const build = new Builder({ prefix: "g", names: new Names(model) });
  const correlation = { window: windowOf(shape), group, image, gradient, channels, outputs, batch };
  const result = weightGrad(new Formula(build, 17, dtype), correlation);
  graph.append(build.nodes);
  result.type = tensorType(dtype, [outputs, channels / group, ...shape.kernel]);
  graph.addOutput(result);
  return model;
}

const numbers = (length: number, by: number): Float32Array =>
  Float32Array.from({ length }, (_, at) => Math.sin(at * by) + Math.cos(at * at * by));

/** The definition, in float64: dW[m, c, i] = sum over n and o of dY[n, m, o] X[n, c, o stride + i dilation - pad]. */
function defined(shape: Shape, x: Float32Array, dY: Float32Array): readonly number[] {
  const { samples, channels, outputs, size, kernel } = shape;
  const { strides, dilations, begin } = windowOf(shape);
  const [height, width] = placed(shape);
  return Array.from({ length: outputs * channels * kernel[0] * kernel[1] }, (_, at) => {
    const [j, i] = [at % kernel[1], Math.floor(at / kernel[1]) % kernel[0]];
    const c = Math.floor(at / (kernel[0] * kernel[1])) % channels;
    const m = Math.floor(at / (kernel[0] * kernel[1] * channels));
    let sum = 0;
    for (let n = 0; n < samples; n++)
      for (let a = 0; a < height; a++)
        for (let b = 0; b < width; b++) {
          const row = a * strides[0] + i * dilations[0] - begin[0];
          const column = b * strides[1] + j * dilations[1] - begin[1];
          if (row < 0 || column < 0 || row >= size[0] || column >= size[1]) continue;
          const gradient = dY[((n * outputs + m) * height + a) * width + b] ?? Number.NaN;
          sum += gradient * (x[((n * channels + c) * size[0] + row) * size[1] + column] ?? Number.NaN);
        }
    return sum;
  });
}

const always = { convolution: () => false, transposed: () => false, weightGradient: () => true };

/** Null on processors that ONNX Runtime has no blocks for. */
const block = await blockSizeOf(await loadOrtNode());

const PADDED = { size: [9, 7], kernel: [3, 3], begin: [1, 1] } as const;

describe.skipIf(block === null)("a weight gradient in blocks", () => {
  it.each<[string, Shape]>([
    ["blocks of channels", { samples: 3, channels: 32, outputs: 48, ...PADDED }],
    ["outputs that do not fill blocks", { samples: 3, channels: 32, outputs: 24, ...PADDED }],
    ["channels that do not fill blocks", { samples: 3, channels: 20, outputs: 40, ...PADDED }],
    ["few channels", { samples: 5, channels: 3, outputs: 16, ...PADDED }],
    ["few outputs", { samples: 2, channels: 48, outputs: 4, ...PADDED }],
    ["one block of channels", { samples: 2, channels: 16, outputs: 16, ...PADDED }],
    ["one sample", { samples: 1, channels: 32, outputs: 32, ...PADDED }],
    ["samples that fill blocks", { samples: 32, channels: 32, outputs: 16, ...PADDED }],
    ["no pads", { samples: 2, channels: 32, outputs: 32, size: [8, 8], kernel: [5, 5] }],
    [
      "uneven pads",
      { samples: 2, channels: 32, outputs: 32, size: [9, 8], kernel: [3, 4], begin: [2, 1], end: [0, 3] },
    ],
    [
      "pads on one side",
      { samples: 2, channels: 32, outputs: 32, size: [9, 8], kernel: [2, 2], end: [1, 1], begin: [0, 0] },
    ],
    [
      "strides",
      { samples: 2, channels: 32, outputs: 64, size: [10, 12], kernel: [3, 3], strides: [2, 3], begin: [1, 1] },
    ],
    [
      "strides that leave a rest",
      { samples: 2, channels: 32, outputs: 32, size: [11, 9], kernel: [3, 2], strides: [3, 4] },
    ],
    [
      "dilations",
      { samples: 2, channels: 32, outputs: 32, size: [11, 12], kernel: [3, 3], dilations: [2, 3], begin: [2, 3] },
    ],
    [
      "strides and dilations of few channels",
      {
        samples: 4,
        channels: 6,
        outputs: 16,
        size: [15, 14],
        kernel: [3, 3],
        strides: [2, 2],
        dilations: [2, 2],
        begin: [2, 1],
      },
    ],
    [
      "kernels larger than the plane",
      { samples: 2, channels: 32, outputs: 32, size: [2, 3], kernel: [5, 5], begin: [2, 2] },
    ],
  ])("is what it is defined to be: %s", async (_, shape) => {
    const net = gradientOf(shape);
    expect(blockConvolutions(net, block ?? 0, always)).toBe(1);
    expect(net.graph.nodes.filter(({ domain, opType }) => domain === "" && opType === "Conv")).toEqual([]);
    const { samples, channels, outputs, size } = shape;
    const [x, dY] = [
      numbers(samples * channels * size[0] * size[1], 1.7),
      numbers(samples * outputs * placed(shape)[0] * placed(shape)[1], 0.9),
    ];
    const session = await openSession(encodeModel(net));
    const results = await session.run({
      x: new Tensor("float32", x, [samples, channels, ...size]),
      dy: new Tensor("float32", dY, [samples, outputs, ...placed(shape)]),
    });
    await session.release();
    const [given] = Object.values(results);
    const expected = defined(shape, x, dY);
    expect(given?.dims).toEqual([outputs, channels, ...shape.kernel]);
    const scale = Math.max(...expected.map(Math.abs));
    for (const [at, number] of expected.entries())
      expect(Math.abs(number - Number(given?.data[at])) / scale, `element ${at}`).toBeLessThan(2e-6);
  });
});

it.each<[string, Shape]>([
  ["outputs by no fours", { samples: 2, channels: 32, outputs: 30, ...PADDED }],
  ["samples that do not fill blocks", { samples: 20, channels: 32, outputs: 32, ...PADDED }],
  ["an open batch", { samples: 2, channels: 32, outputs: 32, ...PADDED, isOpen: true }],
  ["groups", { samples: 2, channels: 32, outputs: 32, ...PADDED, group: 2 }],
  ["float64", { samples: 2, channels: 32, outputs: 32, ...PADDED, dtype: DataType.double }],
  ["kernels of one place", { samples: 2, channels: 32, outputs: 32, size: [9, 7], kernel: [1, 1] }],
])("leaves as they are: %s", (_, shape) => {
  const net = gradientOf(shape);
  const before = encodeModel(net.clone());
  expect(blockConvolutions(net, 16, always)).toBe(0);
  expect(encodeModel(net)).toEqual(before);
});

const square = (size: number, kernel: number, begin: number): Pick<Shape, "size" | "kernel" | "begin"> => ({
  ...{ size: [size, size], kernel: [kernel, kernel], begin: [begin, begin] },
});

it.each<[boolean, string, Shape]>([
  [true, "32 channels of 32x32", { samples: 32, channels: 32, outputs: 32, ...square(32, 3, 1) }],
  [true, "4 samples of it", { samples: 4, channels: 32, outputs: 32, ...square(32, 3, 1) }],
  [true, "strides", { samples: 32, channels: 32, outputs: 64, ...square(32, 3, 1), strides: [2, 2] }],
  [true, "a color image", { samples: 32, channels: 3, outputs: 32, ...square(32, 3, 1) }],
  [true, "5x5 over 6 channels", { samples: 32, channels: 6, outputs: 16, ...square(14, 5, 0) }],
  [false, "few pixels of many channels", { samples: 32, channels: 256, outputs: 256, ...square(4, 3, 1) }],
  [false, "the same with strides", { samples: 32, channels: 128, outputs: 256, ...square(8, 3, 1), strides: [2, 2] }],
  [false, "2x2 side by side", { samples: 8, channels: 40, outputs: 80, ...square(16, 2, 0), strides: [2, 2] }],
])("%s for %s", (pays, _, shape) => {
  const chosen = { ...always, weightGradient: weightGradientCostsLess };
  expect(blockConvolutions(gradientOf(shape), 16, chosen)).toBe(pays ? 1 : 0);
});

it("puts a gradient and an image into blocks once, where a convolution reads them too", () => {
  const net = gradientOf({ samples: 2, channels: 32, outputs: 32, ...PADDED });
  blockConvolutions(net, 16, always);
  const reordered = net.graph.nodes.flatMap(({ opType, inputs }) =>
    opType === "ReorderInput" ? [inputs[0]?.name] : [],
  );
  expect(reordered).toEqual(["dy", "x"]);
});

it("has this text", () => {
  const net = gradientOf({ samples: 3, channels: 32, outputs: 24, ...PADDED });
  blockConvolutions(net, 16, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17, "com.microsoft.nchwc" : 1]>
    gradient (float[3,32,9,7] x, float[3,24,9,7] dy) => (float[24,32,3,3] g/Reshape_5:out)
    {
      [g/Conv/ReorderInput] g/Conv/ReorderInput:out = com.microsoft.nchwc.ReorderInput (dy)
      [g/Conv/Constant] g/Conv/Constant:out = Constant <value = int64[4] {96, 1, 9, 7}> ()
      [g/Conv/Reshape] g/Conv/Reshape:out = Reshape (g/Conv/ReorderInput:out, g/Conv/Constant:out)
      [g/Conv/ReorderInput_1] g/Conv/ReorderInput_1:out = com.microsoft.nchwc.ReorderInput (x)
      [g/Conv/ones] g/Conv/ones:out = Constant <value = float[32,1,1,1] {...}> ()
      [g/Conv/Conv] g/Conv/Conv:out = com.microsoft.nchwc.Conv <group = 32, pads = [0, 1, 0, 1]> (g/Conv/ReorderInput_1:out, g/Conv/ones:out)
      [g/Conv/Constant_1] g/Conv/Constant_1:out = Constant <value = int64[3] {3, 2, 1296}> ()
      [g/Conv/Reshape_1] g/Conv/Reshape_1:out = Reshape (g/Conv/Conv:out, g/Conv/Constant_1:out)
      [g/Conv/Transpose] g/Conv/Transpose:out = Transpose <perm = [1, 0, 2]> (g/Conv/Reshape_1:out)
      [g/Conv/Constant_2] g/Conv/Constant_2:out = Constant <value = int64[4] {2, 3, 9, 144}> ()
      [g/Conv/Reshape_2] g/Conv/Reshape_2:out = Reshape (g/Conv/Transpose:out, g/Conv/Constant_2:out)
      [g/Conv/Conv_1] g/Conv/Conv_1:out = com.microsoft.nchwc.Conv <group = 3, strides = [1, 1], dilations = [1, 16], pads = [1, 0, 1, 0]> (g/Conv/Reshape_2:out, g/Conv/Reshape:out)
      [g/Conv/Constant_3] g/Conv/Constant_3:out = Constant <value = int64[3] {2, 3, -1}> ()
      [g/Conv/Reshape_3] g/Conv/Reshape_3:out = Reshape (g/Conv/Conv_1:out, g/Conv/Constant_3:out)
      [g/Conv/Constant_4] g/Conv/Constant_4:out = Constant <value = int64[1] {1}> ()
      [g/Conv/ReduceSum] g/Conv/ReduceSum:out = ReduceSum <keepdims = 0> (g/Conv/Reshape_3:out, g/Conv/Constant_4:out)
      [g/Conv/Constant_5] g/Conv/Constant_5:out = Constant <value = int64[4] {2, 32, 3, 48}> ()
      [g/Conv/Reshape_4] g/Conv/Reshape_4:out = Reshape (g/Conv/ReduceSum:out, g/Conv/Constant_5:out)
      [g/Conv/ReorderOutput] g/Conv/ReorderOutput:out = com.microsoft.nchwc.ReorderOutput <channels = 24> (g/Conv/Reshape_4:out)
      [g/Conv/Constant_6] g/Conv/Constant_6:out = Constant <value = int64[4] {2, 24, -1, 16}> ()
      [g/Conv/Reshape_5] g/Conv/Reshape_5:out = Reshape (g/Conv/ReorderOutput:out, g/Conv/Constant_6:out)
      [g/Conv/Transpose_1] g/Conv/Transpose_1:out = Transpose <perm = [1, 2, 0, 3]> (g/Conv/Reshape_5:out)
      [g/Conv/Constant_7] g/Conv/Constant_7:out = Constant <value = int64[4] {1, 24, 3, 96}> ()
      [g/Conv/Reshape_6] g/Conv:out = Reshape (g/Conv/Transpose_1:out, g/Conv/Constant_7:out)
      [g/Constant_2] g/Constant_2:out = Constant <value = int64[4] {24, 3, 3, 32}> ()
      [g/Reshape_2] g/Reshape_2:out = Reshape (g/Conv:out, g/Constant_2:out)
      [g/Constant_3] g/Constant_3:out = Constant <value = int64[3] {24, 9, 32}> ()
      [g/Reshape_3] g/Reshape_3:out = Reshape (g/Reshape_2:out, g/Constant_3:out)
      [g/Transpose_2] g/Transpose_2:out = Transpose <perm = [0, 2, 1]> (g/Reshape_3:out)
      [g/places] g/places:out = Constant <value = float[9,1,9] {...}> ()
      [g/Constant_4] g/Constant_4:out = Constant <value = int64[2] {9, 9}> ()
      [g/Reshape_4] g/Reshape_4:out = Reshape (g/places:out, g/Constant_4:out)
      [g/MatMul] g/MatMul:out = MatMul (g/Transpose_2:out, g/Reshape_4:out)
      [g/Constant_5] g/Constant_5:out = Constant <value = int64[4] {24, 32, 3, 3}> ()
      [g/Reshape_5] g/Reshape_5:out = Reshape (g/MatMul:out, g/Constant_5:out)
    }
    "
  `);
});
