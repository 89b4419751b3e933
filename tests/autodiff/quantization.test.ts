import { readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor, type Value } from "../../src/entries/graph.ts";
import { GradientError, type Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

interface Case {
  readonly title: string;
  readonly dtype: "int8" | "uint8";
  readonly scale: number | readonly number[];
  readonly zero: number | readonly number[];
  readonly axis: number | null;
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly y: readonly number[];
  readonly gradient: readonly number[];
}

/** Made by scripts/reference/quantization.py. */
const CASES = JSON.parse(readFileSync(new URL("quantization.json", import.meta.url), "utf8")) as readonly Case[];
const DIMS = [3, 4, 2];
const { int, ints } = attribute;

const integers = (dtype: "int8" | "uint8", values: number | readonly number[]): GraphTensor => {
  const list = typeof values === "number" ? [values] : values;
  const data = dtype === "int8" ? Int8Array.from(list) : Uint8Array.from(list);
  return GraphTensor.from(DataType[dtype], typeof values === "number" ? [] : [list.length], data);
};

const reals = (values: number | readonly number[]): GraphTensor =>
  typeof values === "number" ? GraphTensor.floats([], [values]) : GraphTensor.floats([values.length], values);

function lossOf(net: Sketch, y: string, w: readonly number[]): void {
  net.initializer("w", GraphTensor.floats(DIMS, w));
  net.node("Mul", [y, "w"], ["product"]);
  net.node("ReduceSum", ["product"], ["loss"], [int("keepdims", 0)]);
  net.output("loss", float([]));
}

function quantized({ dtype, scale, zero, axis, w }: Case, between: (net: Sketch) => string = () => "q"): Model {
  const net = new Sketch("quantized");
  net.input("x", float(DIMS));
  net.initializer("scale", reals(scale));
  net.initializer("zero", integers(dtype, zero));
  const axes = axis === null ? [] : [int("axis", axis)];
  net.node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axes);
  net.node("DequantizeLinear", [between(net), "scale", "zero"], ["y"], axes);
  lossOf(net, "y", w);
  return model(net.graph, 8, [["", 17]]);
}

function differentiated(made: Model, straightThrough: boolean): Value | undefined {
  const { graph } = made;
  const [x, loss] = [graph.inputs[0], graph.outputs[0]];
  if (x === undefined || loss === undefined) throw new Error("no x or loss");
  return addGradients(made, loss, [x], inferTypes(made), { straightThrough }).get(x);
}

async function run(made: Model, gradient: Value, x: readonly number[]): Promise<Record<string, readonly number[]>> {
  const y = made.graph.nodes.flatMap(({ outputs }) => outputs).find((output) => output?.name === "y");
  gradient.type = float(DIMS);
  if (y) y.type = float(DIMS);
  made.graph.replaceOutputs([...(y ? [y] : []), gradient]);
  const session = await openSession(encodeModel(made));
  const results = await session.run({ x: new Tensor("float32", Float32Array.from(x), DIMS) });
  await session.release();
  return { y: valuesOf(results["y"]), gradient: valuesOf(results[gradient.name]) };
}

describe("straight-through gradients of quantization", () => {
  it.each(CASES.map((each) => [each.title, each] as const))("%s: PyTorch's numbers", async (_, each) => {
    const made = quantized(each);
    const gradient = differentiated(made, true);
    if (gradient === undefined) throw new Error("no gradient");
    const results = await run(made, gradient, each.x);
    for (const name of ["y", "gradient"] as const) {
      expect(results[name]).toHaveLength(each[name].length);
      /** A division by the scale and a product with it, in float32. */
      for (const [at, value] of each[name].entries()) expect(results[name]?.[at]).toBeCloseTo(value, 5);
    }
  });

  it("a scale that is found by itself limits nothing", async () => {
    const [each] = CASES;
    if (each === undefined) throw new Error("no case");
    const net = new Sketch("dynamic");
    net.input("x", float(DIMS));
    net.node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]);
    net.node("DequantizeLinear", ["q", "scale", "zero"], ["y"]);
    lossOf(net, "y", each.w);
    const made = model(net.graph, 8, [["", 17]]);
    const gradient = differentiated(made, true);
    if (gradient === undefined) throw new Error("no gradient");
    const results = await run(made, gradient, each.x);
    for (const [at, value] of each.w.entries()) expect(results["gradient"]?.[at]).toBeCloseTo(value, 5);
    const step = 6 / 255;
    for (const [at, value] of each.x.entries()) {
      expect(Math.abs((results["y"]?.[at] ?? Number.NaN) - value)).toBeLessThan(step / 2 + 1e-6);
    }
  });

  it("are refused, with the remedy, where they were not asked for", () => {
    const [each] = CASES;
    if (each === undefined) throw new Error("no case");
    const error = errorOf(() => differentiated(quantized(each), false));
    expect(error).toBeInstanceOf(GradientError);
    expect(error).toMatchObject({ code: "E_NO_GRADIENT", hint: expect.stringContaining("--qat") });
  });

  it("are refused where something else reads the integers", () => {
    const [each] = CASES;
    if (each === undefined) throw new Error("no case");
    const transposed = quantized(each, (net) => {
      net.node("Transpose", ["q"], ["turned"], [ints("perm", [0, 1, 2])]);
      return "turned";
    });
    const multiplied = quantized(each, (net) => {
      net.initializer("held", GraphTensor.from(DataType.int8, [2, 2], Int8Array.of(1, 2, 3, 4)));
      net.node("MatMulInteger", ["q", "held"], ["products"]);
      return "products";
    });
    for (const [made, at] of [
      [transposed, '"turned/Transpose" (Transpose)'],
      [multiplied, '"products/MatMulInteger" (MatMulInteger)'],
    ] as const) {
      const error = errorOf(() => differentiated(made, true));
      expect(error).toMatchObject({ code: "E_NO_GRADIENT", hint: expect.stringContaining("QuantFormat.QDQ") });
      expect((error as Error).message).toContain(`${at} has no gradient: it reads quantized`);
    }
  });
});
