import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { GRADIENTS_METADATA } from "../../src/analysis/find-optimizers/portable.ts";
import {
  type Attribute,
  attribute,
  DataType,
  decodeModel,
  encodeModel,
  GraphTensor,
  printModel,
} from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { takeDotProducts } from "../../src/passes/dot-products.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

type Sizes = readonly (number | string)[];

interface Reduction {
  readonly op?: string;
  readonly axes?: readonly number[];
  readonly keepdims?: number;
}

interface Net {
  readonly sizes: Sizes;
  readonly reductions: readonly Reduction[];
  readonly isSquare?: boolean;
  readonly opset?: number;
  /** Whether the product is given, too. */
  readonly isGiven?: boolean;
  readonly dtype?: number;
}

const BATCH = 3;

function netOf({
  sizes,
  reductions,
  isSquare = false,
  opset = 18,
  isGiven = false,
  dtype = DataType.float,
}: Net): Model {
  const sketch = new Sketch("net");
  sketch.input("x", tensor(dtype, sizes));
  sketch.input("z", tensor(dtype, sizes));
  sketch.node("Mul", ["x", isSquare ? "x" : "z"], ["m"]);
  if (isGiven) sketch.output("m", tensor(dtype, sizes));
  for (const [index, { op = "ReduceSum", axes, keepdims }] of reductions.entries()) {
    const attributes: Attribute[] = keepdims === undefined ? [] : [attribute.int("keepdims", keepdims)];
    const asAttribute = opset < 18 && op !== "ReduceSum";
    if (axes !== undefined && asAttribute) attributes.push(attribute.ints("axes", axes));
    const isInput = axes !== undefined && !asAttribute;
    if (isInput) {
      const numbers = BigInt64Array.from(axes, BigInt);
      sketch.initializer(`axes${index}`, GraphTensor.from(DataType.int64, [axes.length], numbers));
    }
    sketch.node(op, isInput ? ["m", `axes${index}`] : ["m"], [`y${index}`], attributes);
    sketch.output(`y${index}`, tensor(dtype, []));
  }
  const net = model(sketch.graph, 8, [["", opset]]);
  for (const output of net.graph.outputs) output.type = null;
  return net;
}

interface Result {
  readonly dims: readonly number[];
  readonly numbers: readonly number[];
}

async function resultsOf(net: Model, numberAt: (at: number, seed: number) => number): Promise<readonly Result[]> {
  const session = await openSession(encodeModel(net));
  try {
    const feeds = net.graph.inputs.map(({ name, type }, seed) => {
      const shape = type?.kind === "tensor" ? (type.shape ?? []) : [];
      const dims = shape.map((size) => (typeof size === "number" ? size : BATCH));
      const length = dims.reduce((product, size) => product * size, 1);
      return [
        name,
        new Tensor(
          "float32",
          Float32Array.from({ length }, (_, at) => numberAt(at, seed)),
          dims,
        ),
      ] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return session.outputNames.map((name) => ({ dims: results[name]?.dims ?? [], numbers: valuesOf(results[name]) }));
  } finally {
    await session.release();
  }
}

const always = (): boolean => true;

it.each<[string, Net]>([
  ["a sum over batch and places", { sizes: [3, 4, 50], reductions: [{ axes: [0, 2] }] }],
  ["a mean over batch and planes", { sizes: [3, 4, 5, 6], reductions: [{ op: "ReduceMean", axes: [0, 2, 3] }] }],
  ["squares", { sizes: [3, 4, 50], reductions: [{ op: "ReduceMean", axes: [0, 2] }], isSquare: true }],
  ["no axes kept, counted from the end", { sizes: [3, 4, 5, 6], reductions: [{ axes: [-1, -3], keepdims: 0 }] }],
  ["the last axis", { sizes: [3, 4, 50], reductions: [{ axes: [2] }] }],
  ["everything", { sizes: [3, 4, 50], reductions: [{ axes: [0, 1, 2], keepdims: 0 }] }],
  [
    "a mean and a sum of the same",
    {
      sizes: [3, 4, 50],
      reductions: [
        { op: "ReduceMean", axes: [2] },
        { axes: [0, 2], keepdims: 0 },
      ],
    },
  ],
  ["vectors of two lengths", { sizes: [3, 4, 5, 6], reductions: [{ axes: [3] }, { axes: [2, 3] }] }],
  ["axes in an attribute", { sizes: [3, 4, 50], reductions: [{ op: "ReduceMean", axes: [0, 2] }], opset: 17 }],
  ["an open batch", { sizes: ["batch", 4, 50], reductions: [{ axes: [0, 2], keepdims: 0 }, { axes: [2] }] }],
])("a dot product gives ONNX Runtime's own sums: %s", async (_, net) => {
  const numberAt = (at: number, seed: number): number => Math.sin(at * 12.9898 + seed);
  const expected = await resultsOf(netOf(net), numberAt);
  const taken = netOf(net);
  expect(takeDotProducts(taken, always)).toBe(net.reductions.length);
  expect(
    taken.graph.nodes.some(({ opType }) => opType === "Mul" && net.reductions.every(({ op }) => op === undefined)),
  ).toBe(false);
  const given = await resultsOf(taken, numberAt);
  expect(given.map(({ dims }) => dims)).toEqual(expected.map(({ dims }) => dims));
  for (const [index, { numbers }] of expected.entries()) {
    for (const [at, number] of numbers.entries()) expect(given[index]?.numbers[at]).toBeCloseTo(number, 4);
  }
});

it.each<[string, Net]>([
  ["a product that is given, too", { sizes: [3, 4, 50], reductions: [{ axes: [2] }], isGiven: true }],
  ["axes in the middle", { sizes: [3, 4, 50], reductions: [{ axes: [1] }] }],
  ["one of two sums over other axes", { sizes: [3, 4, 50], reductions: [{ axes: [2] }, { axes: [0] }] }],
  ["the largest product", { sizes: [3, 4, 50], reductions: [{ op: "ReduceMax", axes: [2] }] }],
  ["axes that are not given", { sizes: [3, 4, 50], reductions: [{}] }],
  ["vectors of unknown length", { sizes: [3, 4, "length"], reductions: [{ axes: [2] }] }],
  ["double precision", { sizes: [3, 4, 50], reductions: [{ axes: [2] }], dtype: DataType.double }],
])("leaves %s", (_, net) => {
  const left = netOf(net);
  const nodes = [...left.graph.nodes];
  expect(takeDotProducts(left, always)).toBe(0);
  expect(left.graph.nodes).toEqual(nodes);
});

it("takes long vectors by itself", () => {
  const count = (length: number): number =>
    takeDotProducts(netOf({ sizes: [3, 4, length], reductions: [{ axes: [2] }] }));
  expect(count(1024)).toBe(1);
  expect(count(64)).toBe(0);
});

it("is no less exact than a product and its sum, in float64 arithmetic", async () => {
  const net: Net = { sizes: [4, 2, 4096], reductions: [{ axes: [0, 2], keepdims: 0 }] };
  const numberAt = (at: number, seed: number): number => Math.fround(1 + Math.sin(at * 12.9898 + seed) / 4);
  const exact = [0, 1].map((channel) => {
    const places = Array.from(
      { length: 4 * 4096 },
      (_, at) => Math.floor(at / 4096) * 2 * 4096 + channel * 4096 + (at % 4096),
    );
    return places.reduce((sum, at) => sum + numberAt(at, 0) * numberAt(at, 1), 0);
  });
  const taken = netOf(net);
  takeDotProducts(taken);
  const errors = (await resultsOf(taken, numberAt))[0]?.numbers.map((number, at) =>
    Math.abs(number / (exact[at] ?? 0) - 1),
  );
  expect(errors).toHaveLength(2);
  /** 16,384 products are added up in eight or sixteen sums at a time. */
  for (const error of errors ?? []) expect(error).toBeLessThan(1e-5);
});

it("has this text", () => {
  const net = netOf({ sizes: [3, 4, 512], reductions: [{ op: "ReduceMean", axes: [0, 2] }, { axes: [2] }] });
  takeDotProducts(net);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
    net (float[3,4,512] x, float[3,4,512] z) => (float[1,4,1] y0, float[3,4,1] y1)
    {
      [y0/ReduceMean/Constant] y0/ReduceMean/Constant:out = Constant <value = int64[3] {-1, 1, 512}> ()
      [y0/ReduceMean/Reshape] y0/ReduceMean/Reshape:out = Reshape (x, y0/ReduceMean/Constant:out)
      [y0/ReduceMean/Reshape_1] y0/ReduceMean/Reshape_1:out = Reshape (z, y0/ReduceMean/Constant:out)
      [y0/ReduceMean/FusedMatMul] y0/ReduceMean/FusedMatMul:out = com.microsoft.FusedMatMul <transB = 1> (y0/ReduceMean/Reshape:out, y0/ReduceMean/Reshape_1:out)
      [y0/ReduceMean/Constant_1] y0/ReduceMean/Constant_1:out = Constant <value = int64[3] {3, 4, 1}> ()
      [y0/ReduceMean/Reshape_2] y0/ReduceMean/Reshape_2:out = Reshape (y0/ReduceMean/FusedMatMul:out, y0/ReduceMean/Constant_1:out)
      [y0/ReduceMean/Constant_2] y0/ReduceMean/Constant_2:out = Constant <value = float[] {0.001953125}> ()
      [y0/ReduceMean/Mul] y0/ReduceMean/Mul:out = Mul (y0/ReduceMean/Reshape_2:out, y0/ReduceMean/Constant_2:out)
      [y0/ReduceMean/Constant_3] y0/ReduceMean/Constant_3:out = Constant <value = int64[1] {0}> ()
      [y0/ReduceMean/ReduceMean] y0 = ReduceMean <keepdims = 1> (y0/ReduceMean/Mul:out, y0/ReduceMean/Constant_3:out)
      [y1/ReduceSum/Constant] y1/ReduceSum/Constant:out = Constant <value = int64[3] {3, 4, 1}> ()
      [y1/ReduceSum/Reshape] y1 = Reshape (y0/ReduceMean/FusedMatMul:out, y1/ReduceSum/Constant:out)
    }
    "
  `);
});

it("stays in order where a mean that comes later was linked before a sum, and leaves the update of parameters alone", () => {
  const net = netOf({ sizes: [BATCH, 256], reductions: [{ op: "ReduceMean", axes: [1] }, { axes: [1] }] });
  const [product, mean, sum] = net.graph.nodes;
  if (!product || !mean || !sum) throw new Error("three nodes");
  net.graph.insertBefore(mean, sum);
  const update = net.clone();
  update.metadata.set(GRADIENTS_METADATA, JSON.stringify({ x: "parameter" }));
  expect(takeDotProducts(update)).toBe(0);
  expect(takeDotProducts(net)).toBe(2);
  expect(decodeModel(encodeModel(net)).graph.nodeCount).toBe(net.graph.nodeCount);
});
