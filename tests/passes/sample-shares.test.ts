import { expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { shareOutLater } from "../../src/passes/sample-shares.ts";
import { allResults } from "../support/all-results.ts";

const [SAMPLES, CLASSES, WIDTH] = [6, 9, 4];

interface Net {
  /** Whether the products read rows of two axes. */
  readonly inBatches?: boolean;
  readonly probabilities?: "LogSoftmax" | "Softmax";
  readonly opset?: number;
  /** What differs from the gradient of a cross-entropy. */
  readonly odd?: "given" | "share" | "sign" | "reduction" | "sum" | "classes" | "second" | "open";
}

/** The way back through scores x W^T and the mean of their cross-entropies, each with a share of its own. */
function netOf({ inBatches = false, probabilities = "LogSoftmax", opset = 18, odd }: Net): Model {
  const sketch = new Sketch("net");
  const samples = odd === "open" ? "samples" : SAMPLES;
  sketch.input("scores", float([samples, CLASSES]));
  sketch.input("labels", tensor(DataType.int64, [samples]));
  sketch.input("share", float([samples]));
  sketch.input("other", float([samples]));
  sketch.input("x", float([samples, WIDTH]));
  sketch.input("weight", float([CLASSES, WIDTH]));
  sketch.initializer("one", GraphTensor.ints([1]));
  const axis = attribute.int("axis", 1);
  if (probabilities === "LogSoftmax") {
    sketch.node("LogSoftmax", ["scores"], ["log"], [axis]);
    sketch.node("Exp", ["log"], ["p"]);
  } else sketch.node("Softmax", ["scores"], ["p"], [axis]);
  sketch.node("Unsqueeze", ["share", "one"], ["column"]);
  sketch.node("Mul", ["p", "column"], ["shared"]);
  sketch.node(odd === "sign" ? "Abs" : "Neg", [odd === "share" ? "other" : "share"], ["negative"]);
  sketch.node("Unsqueeze", ["negative", "one"], ["added"]);
  sketch.node("Unsqueeze", ["labels", "one"], ["places"]);
  const reduction = odd === "reduction" ? [] : [attribute.string("reduction", "add")];
  sketch.node("ScatterElements", ["shared", "places", "added"], ["d"], [axis, ...reduction]);
  if (inBatches) {
    sketch.initializer("batches", GraphTensor.ints([2, SAMPLES / 2, CLASSES]));
    sketch.node("Reshape", ["d", "batches"], ["rows"]);
  }
  sketch.node("MatMul", [inBatches ? "rows" : "d", "weight"], ["dx"]);
  sketch.output("dx", float(inBatches ? [2, SAMPLES / 2, WIDTH] : [samples, WIDTH]));
  sketch.node("Transpose", ["d"], ["turned"], [attribute.ints("perm", [1, 0])]);
  sketch.node("MatMul", ["turned", "x"], ["dw"]);
  sketch.output("dw", float([CLASSES, WIDTH]));
  if (odd === "given") sketch.output("d", float([samples, CLASSES]));
  if (odd === "sum") {
    sketch.node("ReduceSum", ["d"], ["bias"]);
    sketch.output("bias", float([1, 1]));
  }
  if (odd === "second") {
    sketch.node("MatMul", ["dw", "turned"], ["product"]);
    sketch.output("product", float([CLASSES, SAMPLES]));
  }
  if (odd === "classes") {
    sketch.input("three", float([3, 2]));
    sketch.initializer("thirds", GraphTensor.ints([3 * SAMPLES, CLASSES / 3]));
    sketch.node("Reshape", ["d", "thirds"], ["pieces"]);
    sketch.node("MatMul", ["pieces", "three"], ["mixed"]);
    sketch.output("mixed", float([3 * SAMPLES, 2]));
  }
  return model(sketch.graph, 8, [["", opset]]);
}

const always = (): boolean => true;

it.each<Net>([{}, { inBatches: true }, { probabilities: "Softmax" }, { inBatches: true, probabilities: "Softmax" }])(
  "gives the same gradients in ONNX Runtime: %j",
  async (net) => {
    const [plain, later] = [netOf(net), netOf(net)];
    expect(shareOutLater(later, always)).toBe(1);
    expect(later.graph.nodes.map(({ opType }) => opType)).not.toContain("Exp");
    const [expected, given] = [await allResults(plain), await allResults(later)];
    expect(Object.keys(given)).toEqual(["dx", "dw"]);
    for (const [name, numbers] of Object.entries(expected)) {
      expect(numbers.some((number) => Math.abs(number) > 0.1)).toBe(true);
      for (const [at, number] of numbers.entries()) expect(given[name]?.[at]).toBeCloseTo(number, 5);
    }
  },
);

it("is right where scores are far apart", async () => {
  const [plain, later] = [netOf({}), netOf({})];
  shareOutLater(later, always);
  const [expected, given] = [await allResults(plain, 200), await allResults(later, 200)];
  for (const [name, numbers] of Object.entries(expected)) {
    const largest = Math.max(...numbers.map(Math.abs));
    expect(largest).toBeGreaterThan(10);
    for (const [at, number] of numbers.entries()) {
      expect(Math.abs((given[name]?.[at] ?? Number.NaN) - number)).toBeLessThan(1e-6 * largest);
    }
  }
});

it.each<Net>([
  { odd: "given" },
  { odd: "share" },
  { odd: "sign" },
  { odd: "reduction" },
  { odd: "sum" },
  { odd: "second" },
  { odd: "classes" },
  { odd: "open" },
])("leaves what is none, or is read by more than products: %j", (net) => {
  const left = netOf(net);
  const nodes = [...left.graph.nodes];
  expect(shareOutLater(left, always)).toBe(0);
  expect(left.graph.nodes).toEqual(nodes);
});

it("leaves few scores by itself", () => {
  expect(shareOutLater(netOf({}))).toBe(0);
});

it("has this text", () => {
  const net = netOf({ inBatches: true });
  shareOutLater(net, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 18]>
    net (float[6,9] scores, int64[6] labels, float[6] share, float[6] other, float[6,4] x, float[9,4] weight) => (float[2,3,4] dx, float[9,4] dw)
    <
      one = int64[1] {1}
      batches = int64[3] {2, 3, 9}
    >
    {
      [log/LogSoftmax] log = LogSoftmax <axis = 1> (scores)
      [places/Unsqueeze] places = Unsqueeze (labels, one)
      [d/ScatterElements/Softmax] d/ScatterElements/Softmax:out = Softmax <axis = 1> (log)
      [d/ScatterElements/Constant] d/ScatterElements/Constant:out = Constant <value = float[6,1] {-1, -1, -1, -1, -1, -1}> ()
      [d/ScatterElements/ScatterElements] d = ScatterElements <axis = 1, reduction = "add"> (d/ScatterElements/Softmax:out, places, d/ScatterElements/Constant:out)
      [rows/Reshape] rows = Reshape (d, batches)
      [dx/MatMul/MatMul] dx/MatMul/MatMul:out = MatMul (rows, weight)
      [dx/MatMul/Constant] dx/MatMul/Constant:out = Constant <value = int64[3] {2, 3, 1}> ()
      [dx/MatMul/Reshape] dx/MatMul/Reshape:out = Reshape (share, dx/MatMul/Constant:out)
      [dx/MatMul/Mul] dx = Mul (dx/MatMul/MatMul:out, dx/MatMul/Reshape:out)
      [turned/Transpose] turned = Transpose <perm = [1, 0]> (d)
      [dw/MatMul/Constant] dw/MatMul/Constant:out = Constant <value = int64[2] {6, 1}> ()
      [dw/MatMul/Reshape] dw/MatMul/Reshape:out = Reshape (share, dw/MatMul/Constant:out)
      [dw/MatMul/Mul] dw/MatMul/Mul:out = Mul (x, dw/MatMul/Reshape:out)
      [dw/MatMul/MatMul] dw = MatMul (turned, dw/MatMul/Mul:out)
    }
    "
  `);
});
