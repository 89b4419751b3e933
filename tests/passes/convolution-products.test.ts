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
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
  readonly autoPad?: string;
  readonly hasBias?: boolean;
  readonly isOpen?: boolean;
}

const [BATCH, CHANNELS] = [4, 3];
const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
const waves = (dims: readonly number[], by: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: product(dims) }, (_, index) => Math.sin(index * by)),
  );

const imageOf = ({ sizes }: Layer): GraphTensor => waves([BATCH, CHANNELS, ...sizes], 1.7);

function networkOf(layer: Layer): Model {
  const { sizes, kernel, strides, dilations, pads, autoPad, hasBias = false, isOpen = false } = layer;
  const sketch = new Sketch("layer");
  if (isOpen) sketch.input("x", float(["batch", CHANNELS, ...sizes]));
  else sketch.initializer("x", imageOf(layer));
  sketch.initializer("w", waves([CHANNELS, 1, ...kernel], 0.9));
  if (hasBias) sketch.initializer("b", waves([CHANNELS], 2.3));
  const attributes = [
    attribute.int("group", CHANNELS),
    ...(strides === undefined ? [] : [attribute.ints("strides", strides)]),
    ...(dilations === undefined ? [] : [attribute.ints("dilations", dilations)]),
    ...(pads === undefined ? [] : [attribute.ints("pads", pads)]),
    ...(autoPad === undefined ? [] : [attribute.string("auto_pad", autoPad)]),
  ];
  sketch.node("Conv", hasBias ? ["x", "w", "b"] : ["x", "w"], ["y"], attributes);
  sketch.node("Sin", ["y"], ["bent"]);
  sketch.node("ReduceSum", ["bent"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** The results and gradients of a depthwise convolution, with or without the pass. */
function resultsOf(layer: Layer, isRewritten: boolean): Promise<Results> {
  const net = networkOf(layer);
  return layerResults(net, imageOf(layer), (types) => {
    if (!isRewritten) return;
    expect(writeConvolutionProducts(net, types)).toEqual({ depthwise: 1, winograd: 0, pooled: 0 });
    expect(net.graph.nodes.filter(({ opType }) => opType === "MatMul").length).toBeGreaterThan(0);
  });
}

it.each<[string, Layer]>([
  ["a matrix per channel", { sizes: [4, 4], kernel: [3, 3], pads: [1, 1, 1, 1] }],
  ["a kernel larger than the plane", { sizes: [4, 4], kernel: [7, 7], pads: [3, 3, 3, 3], hasBias: true }],
  ["strides and dilations", { sizes: [6, 5], kernel: [3, 2], strides: [2, 3], dilations: [1, 2], pads: [1, 0, 2, 1] }],
  ["pads by the operator's own rule", { sizes: [5, 5], kernel: [2, 3], strides: [2, 2], autoPad: "SAME_UPPER" }],
  ["one axis", { sizes: [20], kernel: [5], pads: [2, 2], hasBias: true }],
  ["a batch that is not known, of larger planes", { sizes: [8, 7], kernel: [3, 3], isOpen: true }],
  ["three axes", { sizes: [3, 4, 3], kernel: [3, 3, 3], pads: [1, 1, 1, 1, 1, 1] }],
  ["a batch that is not known", { sizes: [6, 5], kernel: [3, 3], pads: [1, 1, 1, 1], isOpen: true, hasBias: true }],
])("depthwise convolutions as products give what Conv gives, forward and backward: %s", async (_, layer) => {
  const [expected, actual] = [await resultsOf(layer, false), await resultsOf(layer, true)];
  expect(Object.keys(actual).length).toBe(layer.hasBias === true ? 5 : 4);
  expectAlike(actual, expected);
});

it.each<[string, Layer]>([
  ["planes of more than 16 pixels and results", { sizes: [5, 4], kernel: [3, 3], pads: [1, 1, 1, 1] }],
  ["long rows, a batch that is not known", { sizes: [40, 40], kernel: [3, 3], isOpen: true }],
  ["one position", { sizes: [4, 4], kernel: [1, 1] }],
])("depthwise convolutions stay where products cost more: %s", (_, layer) => {
  const net = networkOf(layer);
  expect(writeConvolutionProducts(net, inferTypes(net))).toEqual({ depthwise: 0, winograd: 0, pooled: 0 });
});
