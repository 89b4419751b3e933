import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { writeConvolutionProducts } from "../../src/passes/convolution-products.ts";
import { expectAlike, layerResults, type Results } from "../support/rewritten-layer.ts";

interface Layer {
  readonly sizes: readonly number[];
  readonly kernel: readonly number[];
  readonly pool: readonly number[];
  readonly channels?: number;
  readonly outputs?: number;
  readonly pads?: readonly number[];
  readonly autoPad?: string;
  readonly strides?: readonly number[];
  readonly poolStrides?: readonly number[];
  readonly poolPads?: readonly number[];
  readonly between?: "Relu" | "Sigmoid" | null;
  readonly hasBias?: boolean;
  readonly isOpen?: boolean;
  /** Whether the loss reads the convolution too. */
  readonly isReadTwice?: boolean;
}

const BATCH = 3;
const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
const waves = (dims: readonly number[], by: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: product(dims) }, (_, index) => Math.sin(index * by)),
  );
const imageOf = ({ sizes, channels = 1 }: Layer): GraphTensor => waves([BATCH, channels, ...sizes], 1.7);

function networkOf(layer: Layer): Model {
  const { sizes, kernel, pool, channels = 1, outputs = 4, pads, autoPad, strides, hasBias = true } = layer;
  const { between = "Relu", isOpen = false, isReadTwice = false, poolStrides = pool, poolPads } = layer;
  const sketch = new Sketch("layer");
  if (isOpen) sketch.input("x", float(["batch", channels, ...sizes]));
  else sketch.initializer("x", imageOf(layer));
  sketch.initializer("w", waves([outputs, channels, ...kernel], 0.9));
  if (hasBias) sketch.initializer("b", waves([outputs], 2.3));
  sketch.node(
    "Conv",
    hasBias ? ["x", "w", "b"] : ["x", "w"],
    ["c"],
    [
      ...(strides === undefined ? [] : [attribute.ints("strides", strides)]),
      ...(pads === undefined ? [] : [attribute.ints("pads", pads)]),
      ...(autoPad === undefined ? [] : [attribute.string("auto_pad", autoPad)]),
    ],
  );
  if (between !== null) sketch.node(between, ["c"], ["r"]);
  sketch.node(
    "MaxPool",
    [between === null ? "c" : "r"],
    ["y"],
    [
      attribute.ints("kernel_shape", pool),
      attribute.ints("strides", poolStrides),
      ...(poolPads === undefined ? [] : [attribute.ints("pads", poolPads)]),
    ],
  );
  sketch.node("Sin", ["y"], ["bent"]);
  sketch.node("ReduceSum", ["bent"], ["sum"], [attribute.int("keepdims", 0)]);
  if (isReadTwice) sketch.node("ReduceSum", ["c"], ["more"], [attribute.int("keepdims", 0)]);
  sketch.node("Add", ["sum", isReadTwice ? "more" : "sum"], ["loss"]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** The results and gradients of the layer, with or without the pass. */
async function resultsOf(layer: Layer, isRewritten: boolean): Promise<Results> {
  const net = networkOf(layer);
  const results = await layerResults(net, imageOf(layer), (types) => {
    if (isRewritten) expect(writeConvolutionProducts(net, types)).toEqual({ depthwise: 0, winograd: 0, pooled: 1 });
  });
  expect(net.graph.nodes.some(({ opType }) => opType === "SpaceToDepth")).toBe(isRewritten);
  return results;
}

it.each<[string, Layer]>([
  ["5x5 with pads, pools of 2x2", { sizes: [8, 12], kernel: [5, 5], pool: [2, 2], pads: [2, 2, 2, 2] }],
  ["3x3 without pads or bias", { sizes: [8, 6], kernel: [3, 3], pool: [2, 2], hasBias: false }],
  ["5x5 without pads", { sizes: [12, 10], kernel: [5, 5], pool: [2, 2] }],
  ["pads that are not alike", { sizes: [8, 8], kernel: [4, 3], pool: [2, 2], pads: [1, 0, 2, 2] }],
  ["three channels, nothing between", { sizes: [6, 6], kernel: [3, 3], pool: [2, 2], channels: 3, between: null }],
  ["pools of 3x3", { sizes: [9, 9], kernel: [3, 3], pool: [3, 3], pads: [1, 1, 1, 1] }],
  ["pads by the operator's own rule", { sizes: [6, 8], kernel: [2, 3], pool: [2, 2], autoPad: "SAME_UPPER" }],
  ["a batch that is not known", { sizes: [8, 8], kernel: [5, 5], pool: [2, 2], pads: [2, 2, 2, 2], isOpen: true }],
])("a convolution of pictures and its pool in one give what they give apart: %s", async (_, layer) => {
  const [expected, actual] = [await resultsOf(layer, false), await resultsOf(layer, true)];
  expect(Object.keys(actual).length).toBe(layer.hasBias === false ? 4 : 5);
  expectAlike(actual, expected);
});

const plain: Layer = { sizes: [8, 8], kernel: [3, 3], pool: [2, 2], pads: [1, 1, 1, 1] };

it.each<[string, Layer]>([
  ["many channels", { ...plain, channels: 8 }],
  ["one position", { ...plain, kernel: [1, 1], pads: [0, 0, 0, 0] }],
  ["strides", { ...plain, strides: [2, 2] }],
  ["a row that the pool leaves", { ...plain, sizes: [9, 8] }],
  ["pools that overlap", { ...plain, pool: [3, 3], poolStrides: [1, 1] }],
  ["pools with pads", { ...plain, poolPads: [1, 1, 1, 1] }],
  ["pools that are no squares", { ...plain, pool: [2, 4] }],
  ["pools with gaps between", { ...plain, poolStrides: [4, 4] }],
  ["another function between", { ...plain, between: "Sigmoid" }],
  ["another reader", { ...plain, isReadTwice: true }],
  [
    "products that cost more",
    { ...plain, sizes: [16, 16], kernel: [5, 5], pool: [4, 4], pads: [2, 2, 2, 2], channels: 3, outputs: 32 },
  ],
])("convolutions and pools stay apart: %s", (_, layer) => {
  const net = networkOf(layer);
  expect(writeConvolutionProducts(net, inferTypes(net))).toEqual({ depthwise: 0, winograd: 0, pooled: 0 });
});
