import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, DataType, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { turnProducts } from "../../src/passes/turned/turn-products.ts";
import { wave } from "../support/conv-net.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const BATCH = 6;
const WIDTH = 9;

const always = (): boolean => true;

type Between = (sketch: Sketch) => void;

/** A product, what is between, a second product, and a loss behind it; from "first" to "middle". */
function chainOf(between: Between, { batch = BATCH as number | string, dtype = DataType.float as number } = {}): Model {
  const sketch = new Sketch("chain");
  sketch.input("x", tensor(dtype, [batch, 5]));
  const shapes = { w: [WIDTH, 5], bias: [WIDTH], v: [WIDTH, 4], scale: [1, 1] };
  for (const [name, shape] of Object.entries(shapes)) sketch.input(name, tensor(dtype, shape));
  sketch.node("Gemm", ["x", "w", "bias"], ["first"], [attribute.int("transB", 1), attribute.float("alpha", 0.5)]);
  between(sketch);
  sketch.node("MatMul", ["middle", "v"], ["last"]);
  sketch.node("Softmax", ["last"], ["softmax"]);
  sketch.node("Sin", ["last"], ["sin"]);
  sketch.node("Mul", ["softmax", "sin"], ["product"]);
  sketch.node("ReduceSum", ["product"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", tensor(dtype, []));
  return model(sketch.graph, 8, [["", 20]]);
}

/** With the gradients of everything as outputs. */
function withGradients(net: Model): Model {
  const { graph } = net;
  const types = inferTypes(net);
  const loss = graph.outputs.find(({ name }) => name === "loss");
  if (loss === undefined) throw new Error("no loss");
  const wanted = graph.inputs.filter(({ name }) => name !== "scale");
  for (const [value, gradient] of addGradients(net, loss, wanted, types)) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  removeDeadNodes(graph);
  return net;
}

async function resultsOf(net: Model): Promise<Readonly<Record<string, readonly number[]>>> {
  const session = await openSession(encodeModel(net));
  try {
    const feeds = net.graph.inputs.map(({ name, type }, seed) => {
      const shape = type?.kind === "tensor" ? (type.shape ?? []) : [];
      const dims = shape.map((size) => (typeof size === "number" ? size : BATCH));
      return [
        name,
        new Tensor(
          "float32",
          wave(
            dims.reduce((a, b) => a * b, 1),
            seed,
          ),
          dims,
        ),
      ] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(Object.entries(results).map(([name, result]) => [name, valuesOf(result)]));
  } finally {
    await session.release();
  }
}

const one =
  (op: string, ...attributes: Parameters<Sketch["node"]>[3] & object): Between =>
  (sketch) =>
    sketch.node(op, ["first"], ["middle"], attributes);

const CHAINS: readonly (readonly [string, Between])[] = [
  ["ReLU", one("Relu")],
  ["GELU", one("Gelu")],
  ["GELU by tanh", one("Gelu", attribute.string("approximate", "tanh"))],
  ["ELU", one("Elu", attribute.float("alpha", 0.5))],
  ["leaky ReLU", one("LeakyRelu")],
  ["softplus", one("Softplus")],
  [
    "a gate, which reads the product twice",
    (sketch) => {
      sketch.node("Sigmoid", ["first"], ["gate"]);
      sketch.node("Mul", ["first", "gate"], ["middle"]);
    },
  ],
  [
    "a row and a number for all samples",
    (sketch) => {
      sketch.node("Add", ["bias", "first"], ["sum"]);
      sketch.node("Mul", ["sum", "scale"], ["middle"]);
    },
  ],
  [
    "a choice",
    (sketch) => {
      sketch.node("Greater", ["first", "scale"], ["mask"]);
      sketch.node("Tanh", ["first"], ["tanh"]);
      sketch.node("Where", ["mask", "tanh", "scale"], ["middle"]);
    },
  ],
  [
    "a product with itself, turned back",
    (sketch) => {
      sketch.node("Gemm", ["first", "first"], ["square"], [attribute.int("transB", 1)]);
      sketch.node("Exp", ["square"], ["exp"]);
      sketch.node("MatMul", ["exp", "first"], ["middle"]);
    },
  ],
  [
    "sums over either axis",
    (sketch) => {
      sketch.node("Relu", ["first"], ["middle"]);
      for (const [name, axis, size] of [
        ["down", 0, WIDTH],
        ["across", -1, BATCH],
      ] as const) {
        sketch.initializer(`axis ${name}`, GraphTensor.ints([axis]));
        sketch.node("ReduceSum", ["middle", `axis ${name}`], [name], [attribute.int("keepdims", 0)]);
        sketch.output(name, float([size]));
      }
    },
  ],
];

describe("products that lie transposed", () => {
  it.each(CHAINS)("give the gradients that they give otherwise: %s", async (_, between) => {
    for (const batch of [BATCH, "batch"]) {
      const net = withGradients(chainOf(between, { batch }));
      const expected = await resultsOf(net);
      expect(turnProducts(net, always)).toBeGreaterThan(0);
      const given = await resultsOf(net);
      expect(Object.keys(given)).toEqual(Object.keys(expected));
      for (const [name, values] of Object.entries(expected)) {
        const scale = Math.max(...values.map(Math.abs));
        expect(scale, name).toBeGreaterThan(0);
        for (const [at, value] of values.entries())
          expect(Math.abs(value - (given[name]?.[at] ?? Number.NaN)), `${name} ${at}`).toBeLessThan(
            4e-6 * scale + 1e-7,
          );
      }
    }
  });
});

it.each<[string, Between]>([
  ["read by rows", one("Softmax")],
  [
    "read by an operator of another domain",
    (sketch) => sketch.node("Gelu", ["first"], ["middle"], [], "com.microsoft"),
  ],
  [
    "with an operand that has one number per sample",
    (sketch) => {
      sketch.initializer("each", GraphTensor.floats([BATCH, 1], [...wave(BATCH, 3)]));
      sketch.node("Mul", ["first", "each"], ["middle"]);
    },
  ],
  [
    "with an operand that nothing here makes",
    (sketch) => {
      sketch.input("mask", float([BATCH, WIDTH]));
      sketch.node("Mul", ["first", "mask"], ["middle"]);
    },
  ],
  [
    "reshaped",
    (sketch) => {
      sketch.initializer("shape", GraphTensor.ints([-1, WIDTH]));
      sketch.node("Reshape", ["first", "shape"], ["middle"]);
    },
  ],
  [
    "summed with its axis kept",
    (sketch) => {
      sketch.initializer("axes", GraphTensor.ints([0]));
      sketch.node("ReduceSum", ["first", "axes"], ["sum"]);
      sketch.node("Sub", ["bias", "sum"], ["row"]);
      sketch.node("Add", ["first", "row"], ["middle"]);
    },
  ],
])("leaves a matrix as it lies: %s", (_, between) => {
  const net = chainOf(between);
  const text = printModel(net);
  expect(turnProducts(net, always)).toBe(0);
  expect(printModel(net)).toBe(text);
});

it("leaves float64, outputs of the graph and older operators as they are", () => {
  expect(turnProducts(chainOf(one("Relu"), { dtype: DataType.double }), always)).toBe(0);
  const shown = chainOf(one("Relu"));
  const middle = shown.graph.nodes.find(({ opType }) => opType === "Relu")?.outputs[0];
  if (!middle) throw new Error("no middle");
  shown.graph.addOutput(middle);
  expect(turnProducts(shown, always)).toBe(0);
  const old = chainOf(one("Relu"));
  old.opsets.set("", 12);
  expect(turnProducts(old, always)).toBe(0);
});

/** Regions of the training step of a net of fully connected layers: one per hidden layer that lies transposed. */
const regionsOf = (batch: number | "batch", ...widths: readonly number[]): number => {
  const sketch = new Sketch("net");
  sketch.input("x", float([batch, widths[0] ?? 0]));
  for (const [index, to] of widths.slice(1).entries()) {
    sketch.input(`w${index}`, float([to, widths[index] ?? 0]));
    sketch.input(`b${index}`, float([to]));
    const isLast = index === widths.length - 2;
    sketch.node(
      "Gemm",
      [index === 0 ? "x" : `h${index - 1}`, `w${index}`, `b${index}`],
      [isLast ? "last" : `z${index}`],
      [attribute.int("transB", 1)],
    );
    if (!isLast) sketch.node("Relu", [`z${index}`], [`h${index}`]);
  }
  sketch.node("Softmax", ["last"], ["softmax"]);
  sketch.node("ReduceMax", ["softmax"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  const net = withGradients(model(sketch.graph, 8, [["", 20]]));
  const count = turnProducts(net);
  const made = encodeModel(net);
  expect(turnProducts(net)).toBe(0);
  expect(encodeModel(net)).toEqual(made);
  return count;
};

it.each<[number, number | "batch", readonly number[]]>([
  [2, 128, [784, 1024, 1024, 10]],
  [2, 32, [784, 512, 256, 10]],
  [2, 16, [784, 1024, 1024, 10]],
  [2, "batch", [784, 512, 512, 10]],
  [0, 8, [784, 1024, 1024, 10]],
  [0, 1, [784, 1024, 1024, 10]],
  [0, 16, [16, 32, 4]],
  [0, 1024, [256, 1024, 256]],
  [0, 64, [256, 512, 8000]],
])("turns %d hidden layers of a batch of %s through %j", (count, batch, widths) => {
  expect(regionsOf(batch, ...widths)).toBe(count);
});

it("has this text", () => {
  const net = withGradients(chainOf(one("Relu")));
  turnProducts(net, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 20]>
    chain (float[6,5] x, float[9,5] w, float[9] bias, float[9,4] v, float[1,1] scale) => (float[] loss, float[6,5] x_grad, float[9,5] w_grad, float[9] bias_grad, float[9,4] v_grad)
    {
      [first/Gemm/Constant] first/Gemm/Constant:out = Constant <value = int64[1] {1}> ()
      [first/Gemm/Unsqueeze] first/Gemm/Unsqueeze:out = Unsqueeze (bias, first/Gemm/Constant:out)
      [first/Gemm] first = Gemm <alpha = 0.5, transA = 0, transB = 1> (w, x, first/Gemm/Unsqueeze:out)
      [middle/Relu] middle = Relu (first)
      [last/MatMul] last = Gemm <transA = 1, transB = 0> (middle, v)
      [softmax/Softmax] softmax = Softmax (last)
      [sin/Sin] sin = Sin (last)
      [product/Mul] product = Mul (softmax, sin)
      [loss/ReduceSum] loss = ReduceSum <keepdims = 0> (product)
      [loss/grad/Constant] loss/grad/Constant:out = Constant <value = float[] {1}> ()
      [loss/ReduceSum/grad/Shape] loss/ReduceSum/grad/Shape:out = Shape (product)
      [loss/ReduceSum/grad/Expand] loss/ReduceSum/grad/Expand:out = Expand (loss/grad/Constant:out, loss/ReduceSum/grad/Shape:out)
      [product/Mul/grad/Mul] product/Mul/grad/Mul:out = Mul (loss/ReduceSum/grad/Expand:out, sin)
      [product/Mul/grad/Mul_1] product/Mul/grad/Mul_1:out = Mul (loss/ReduceSum/grad/Expand:out, softmax)
      [sin/Sin/grad/Cos] sin/Sin/grad/Cos:out = Cos (last)
      [sin/Sin/grad/Mul] sin/Sin/grad/Mul:out = Mul (product/Mul/grad/Mul_1:out, sin/Sin/grad/Cos:out)
      [softmax/Softmax/grad/Mul] softmax/Softmax/grad/Mul:out = Mul (softmax, product/Mul/grad/Mul:out)
      [softmax/Softmax/grad/Constant] softmax/Softmax/grad/Constant:out = Constant <value = int64[1] {1}> ()
      [softmax/Softmax/grad/ReduceSum] softmax/Softmax/grad/ReduceSum:out = ReduceSum <keepdims = 1> (softmax/Softmax/grad/Mul:out, softmax/Softmax/grad/Constant:out)
      [softmax/Softmax/grad/Mul_1] softmax/Softmax/grad/Mul_1:out = Mul (softmax, softmax/Softmax/grad/ReduceSum:out)
      [softmax/Softmax/grad/Sub] softmax/Softmax/grad/Sub:out = Sub (softmax/Softmax/grad/Mul:out, softmax/Softmax/grad/Mul_1:out)
      [last/grad/Add] last/grad/Add:out = Add (sin/Sin/grad/Mul:out, softmax/Softmax/grad/Sub:out)
      [last/MatMul/grad/Transpose] last/MatMul/grad/Transpose:out = Transpose <perm = [1, 0]> (v)
      [last/MatMul/grad/MatMul] last/MatMul/grad/MatMul:out = Gemm <transA = 1, transB = 1> (last/MatMul/grad/Transpose:out, last/grad/Add:out)
      [last/MatMul/grad/Transpose_1] last/MatMul/grad/Transpose_1:out = Identity (middle)
      [last/MatMul/grad/MatMul_1] v_grad = MatMul (last/MatMul/grad/Transpose_1:out, last/grad/Add:out)
      [middle/Relu/grad/HardSigmoid] middle/Relu/grad/HardSigmoid:out = HardSigmoid <alpha = 3.4028235e+38, beta = 0> (middle)
      [middle/Relu/grad/Mul] middle/Relu/grad/Mul:out = Mul (last/MatMul/grad/MatMul:out, middle/Relu/grad/HardSigmoid:out)
      [first/Gemm/grad/Gemm] x_grad = Gemm <alpha = 0.5, transA = 1, transB = 0> (middle/Relu/grad/Mul:out, w)
      [first/Gemm/grad/Gemm_1] w_grad = Gemm <alpha = 0.5, transA = 0, transB = 0> (middle/Relu/grad/Mul:out, x)
      [first/Gemm/grad/Constant] first/Gemm/grad/Constant:out = Constant <value = int64[1] {0}> ()
      [first/Gemm/grad/ReduceSum/Constant] first/Gemm/grad/ReduceSum/Constant:out = Constant <value = int64[1] {1}> ()
      [first/Gemm/grad/ReduceSum] bias_grad = ReduceSum <keepdims = 0> (middle/Relu/grad/Mul:out, first/Gemm/grad/ReduceSum/Constant:out)
    }
    "
  `);
});
