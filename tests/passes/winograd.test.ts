import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { type BuildOptions, buildTrainingArtifacts, type Model, Tensor } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { writeConvolutionProducts } from "../../src/passes/convolution-products.ts";
import { rejectionOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

interface Layer {
  readonly batch?: number;
  readonly channels?: number;
  readonly outputs?: number;
  readonly sizes: readonly [number, number];
  readonly kernel?: number;
  readonly group?: number;
  readonly stride?: number;
  readonly dilation?: number;
  /** Top, left, bottom, right. */
  readonly pads?: readonly [number, number, number, number];
  /** For the model in the place of `pads`, which say the same. */
  readonly autoPad?: string;
  readonly isOpen?: boolean;
  /** Default: waves. */
  readonly bias?: GraphTensor;
}

const AROUND = [1, 1, 1, 1] as const;

const complete = (layer: Layer) => ({
  ...{ batch: 24, channels: 64, outputs: 64, kernel: 3, group: 1, stride: 1, dilation: 1, pads: AROUND },
  ...layer,
});

const waves = (dims: readonly number[], by: number, scale: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((all, size) => all * size, 1) }, (_, at) => scale * Math.sin(at * by + at ** 2)),
  );

function tensorsOf(layer: Layer) {
  const { batch, channels, outputs, kernel, group, sizes } = complete(layer);
  return {
    x: waves([batch, channels, ...sizes], 1.7, 1),
    w: waves([outputs, channels / group, kernel, kernel], 0.9, 0.1),
    b: layer.bias ?? waves([outputs], 2.3, 1),
  };
}

function networkOf(layer: Layer): Model {
  const { channels, sizes, group, stride, dilation, pads, autoPad, isOpen = false } = complete(layer);
  const { x, w, b } = tensorsOf(layer);
  const sketch = new Sketch("layer");
  if (isOpen) sketch.input("x", float(["batch", channels, ...sizes]));
  else sketch.initializer("x", x);
  sketch.initializer("w", w);
  sketch.initializer("b", b);
  sketch.node(
    "Conv",
    ["x", "w", "b"],
    ["y"],
    [
      attribute.int("group", group),
      attribute.ints("strides", [stride, stride]),
      attribute.ints("dilations", [dilation, dilation]),
      autoPad === undefined ? attribute.ints("pads", pads) : attribute.string("auto_pad", autoPad),
    ],
  );
  sketch.node("Sin", ["y"], ["bent"]);
  sketch.node("ReduceSum", ["bent"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** y, and the gradients of the sum of sin y, by the definition of a convolution in float64. */
function defined(layer: Layer): Readonly<Record<string, Float64Array>> {
  const { batch, channels, outputs, sizes, pads } = complete(layer);
  const { x, w, b } = tensorsOf(layer);
  const [X, W, B] = [x, w, b].map((each) => Float64Array.from(each.values() as Float32Array)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const [height, width] = sizes;
  const [top, left, bottom, right] = pads;
  const [rows, columns] = [height + top + bottom - 2, width + left + right - 2];
  const y = new Float64Array(batch * outputs * rows * columns);
  const [dX, dW, dB] = [new Float64Array(X.length), new Float64Array(W.length), new Float64Array(B.length)];
  const eachResult = (visit: (at: number, n: number, m: number, row: number, column: number) => void): void => {
    for (let at = 0; at < y.length; at++) {
      const plane = Math.floor(at / (rows * columns));
      const place = at % (rows * columns);
      visit(at, Math.floor(plane / outputs), plane % outputs, Math.floor(place / columns), place % columns);
    }
  };
  const eachTerm = (n: number, m: number, row: number, column: number, visit: (i: number, k: number) => void): void => {
    for (let c = 0; c < channels; c++)
      for (let k = 0; k < 9; k++) {
        const [from, to] = [row + Math.floor(k / 3) - top, column + (k % 3) - left];
        if (from < 0 || to < 0 || from >= height || to >= width) continue;
        visit(((n * channels + c) * height + from) * width + to, (m * channels + c) * 9 + k);
      }
  };
  eachResult((at, n, m, row, column) => {
    let sum = B[m] ?? 0;
    eachTerm(n, m, row, column, (i, k) => {
      sum += (X[i] ?? 0) * (W[k] ?? 0);
    });
    y[at] = sum;
    const slope = Math.cos(sum);
    dB[m] = (dB[m] ?? 0) + slope;
    eachTerm(n, m, row, column, (i, k) => {
      dX[i] = (dX[i] ?? 0) + slope * (W[k] ?? 0);
      dW[k] = (dW[k] ?? 0) + slope * (X[i] ?? 0);
    });
  });
  return { y, x: dX, w: dW, b: dB };
}

async function computed(layer: Layer): Promise<Readonly<Record<string, readonly number[]>>> {
  const { outputs } = complete(layer);
  const net = networkOf(layer);
  const { graph } = net;
  const types = inferTypes(net);
  expect(writeConvolutionProducts(net, types)).toEqual({ depthwise: 0, winograd: 1, pooled: 0 });
  const [loss] = graph.outputs;
  const y = graph.nodes.find(({ opType }) => opType === "Sin")?.inputs[0];
  if (loss === undefined || !y) throw new Error("no loss");
  const wanted = [...graph.inputs, ...graph.initializers].filter(({ name }) => ["x", "w", "b"].includes(name));
  const gradients = addGradients(net, loss, wanted, types);
  y.type = float(["batch", outputs, "rows", "columns"]);
  graph.replaceOutputs([y]);
  for (const [value, gradient] of gradients) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  removeDeadNodes(graph);
  expect(graph.nodes.filter(({ opType }) => opType === "Conv")).toEqual([]);
  const session = await openSession(encodeModel(net));
  const { x } = tensorsOf(layer);
  const feeds = { x: new Tensor("float32", x.values() as Float32Array, [...x.dims]) };
  const results = await session.run(layer.isOpen === true ? feeds : {});
  await session.release();
  const names = ["y", ...[...gradients.keys()].map(({ name }) => name)];
  return Object.fromEntries(Object.values(results).map((tensor, index) => [names[index], valuesOf(tensor)]));
}

it.each<[string, Layer]>([
  ["whole tiles", { sizes: [8, 8] }],
  ["tiles that end outside", { sizes: [7, 9] }],
  ["one tile", { sizes: [4, 4], batch: 96 }],
  ["other pads on each side", { sizes: [9, 8], pads: [0, 2, 1, 0] }],
  ["pads by the operator's own rule", { sizes: [6, 8], autoPad: "SAME_UPPER" }],
  ["another number of results", { sizes: [8, 8], channels: 48, outputs: 72 }],
  ["a batch that is not known", { sizes: [8, 12], isOpen: true }],
])("wide 3x3 convolutions as products, and their gradients, against float64: %s", async (_, layer) => {
  const [expected, actual] = [defined(layer), await computed(layer)];
  expect(Object.keys(actual).toSorted()).toEqual(["b", "w", "x", "y"]);
  for (const [name, values] of Object.entries(expected)) {
    const own = actual[name] ?? [];
    expect(own).toHaveLength(values.length);
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    /** float32 itself is right to some 4e-7 here; the products' sums have terms of both signs that are up to ten times as large. */
    const largest = values.reduce((most, value, at) => Math.max(most, Math.abs(value - (own[at] ?? Number.NaN))), 0);
    expect(largest / scale, name).toBeLessThan(3e-6);
  }
});

it.each<[string, Layer]>([
  ["a stride", { sizes: [16, 16], stride: 2 }],
  ["a dilation", { sizes: [16, 16], dilation: 2 }],
  ["another kernel", { sizes: [16, 16], kernel: 5 }],
  ["groups", { sizes: [16, 16], group: 2 }],
  ["few channels", { sizes: [16, 16], channels: 4, outputs: 8 }],
  ["long rows", { sizes: [16, 96], channels: 32, outputs: 32 }],
  ["one sample of many channels", { sizes: [8, 8], batch: 1, channels: 256, outputs: 256 }],
  ["little to gain", { sizes: [4, 4], batch: 16 }],
  ["a bias that begins as zeros", { sizes: [8, 8], bias: GraphTensor.floats([64], Array(64).fill(0)) }],
  ["no result", { sizes: [2, 2], pads: [0, 0, 0, 0] }],
])("convolutions stay where such products do not apply or cost more: %s", (_, layer) => {
  const net = networkOf(layer);
  expect(writeConvolutionProducts(net, inferTypes(net))).toEqual({ depthwise: 0, winograd: 0, pooled: 0 });
});

/** A fresh net over images that are mostly empty: where ReLU is given zero exactly, its gradient is zero. */
it.each<[string, readonly string[], number]>([
  ["in the convolution", ["x", "w", "b"], 0],
  ["added behind it", ["x", "w"], 0],
  ["rounded, in the convolution", ["x", "w", "b"], 1],
])("sums are kept where a bias begins as zeros: %s", async (_, inputs, isMixed) => {
  const sketch = new Sketch("layer");
  sketch.input("x", float([24, 64, 8, 8]));
  sketch.initializer("w", tensorsOf({ sizes: [8, 8] }).w);
  sketch.initializer("b", GraphTensor.floats(inputs.length === 3 ? [64] : [64, 1, 1], Array(64).fill(0)));
  sketch.node("Conv", inputs, ["sums"], [attribute.ints("pads", AROUND)]);
  if (inputs.length === 3) sketch.node("Relu", ["sums"], ["y"]);
  else {
    sketch.node("Add", ["sums", "b"], ["shifted"]);
    sketch.node("Relu", ["shifted"], ["y"]);
  }
  sketch.output("y", float([24, 64, 8, 8]));
  const { report, portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
    loss: { kind: "mse" },
    targets: ["portable"],
    ...(isMixed === 1 ? { precision: "float16" } : {}),
  });
  expect(report.notes.filter((note) => note.includes("Winograd"))).toEqual([]);
  expect(portable?.gradients.graph.nodes.some(({ opType }) => opType === "Conv")).toBe(true);
});

it("are told where a model is built, and kept as sums where that is asked", async () => {
  const net = (): Model => {
    const sketch = new Sketch("layer");
    sketch.input("x", float([24, 64, 8, 8]));
    sketch.initializer("w", tensorsOf({ sizes: [8, 8] }).w);
    sketch.node("Conv", ["x", "w"], ["y"], [attribute.ints("pads", AROUND)]);
    sketch.output("y", float([24, 64, 8, 8]));
    return model(sketch.graph, 8, [["", 17]]);
  };
  const build = async (winograd?: boolean) => {
    const options = { loss: { kind: "mse" }, targets: ["portable"], ...(winograd === undefined ? {} : { winograd }) };
    const { report, portable } = await buildTrainingArtifacts(net(), options as BuildOptions);
    const ops = (portable?.gradients.graph.nodes ?? []).map(({ opType }) => opType);
    return { told: report.notes.filter((note) => note.includes("Winograd")), hasSums: ops.includes("Conv") };
  };
  const told = expect.stringMatching(/^one 3x3 convolution is Winograd's products in training: .* --no-winograd/);
  expect(await build()).toEqual({ told: [told], hasSums: false });
  expect(await build(false)).toEqual({ told: [], hasSums: true });
  const refused = await rejectionOf(build("false" as unknown as boolean));
  expect([refused.code, refused.message]).toEqual(["E_OPTION", expect.stringContaining("winograd")]);
});
