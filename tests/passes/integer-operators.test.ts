import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, Tensor as OrtTensor, TrainingSession } from "../../src/index.ts";
import { wave } from "../support/conv-net.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const SAMPLES = 3;
const X = Float32Array.from(wave(SAMPLES * 2 * 16, 1));
const [STEP, CONV_SCALES, PRODUCT_SCALE] = [0.02, [0.01, 0.004, 0.007], 0.006];
const ZERO = 120;

const bytes = (dims: readonly number[], seed: number): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.from(
    DataType.int8,
    dims,
    Int8Array.from(wave(size, seed), (value) => Math.round(value * 100)),
  );
};

/** A convolution with a scale per channel and a bias, and a linear layer: on integers, or on real numbers between pairs. */
function net(kind: "integers" | "pairs"): Model {
  const sketch = new Sketch(kind);
  sketch.input("x", float(["N", 2, 4, 4]));
  sketch.initializer("s", GraphTensor.floats([], [STEP]));
  sketch.initializer("z", GraphTensor.from(DataType.uint8, [], Uint8Array.of(ZERO)));
  sketch.initializer("kernel_quantized", bytes([3, 2, 3, 3], 2));
  sketch.initializer("kernelScale", GraphTensor.floats([3], CONV_SCALES));
  sketch.initializer("kernelZero", GraphTensor.from(DataType.int8, [3], new Int8Array(3)));
  sketch.initializer("bias_quantized", GraphTensor.from(DataType.int32, [3], Int32Array.of(900, -700, 300)));
  sketch.initializer("weight_quantized", bytes([48, 2], 3));
  sketch.initializer("weightScale", GraphTensor.floats([], [PRODUCT_SCALE]));
  sketch.initializer("weightZero", GraphTensor.from(DataType.int8, [], new Int8Array(1)));
  sketch.initializer("rows", GraphTensor.ints([-1, 48]));
  const window = [attribute.ints("pads", [1, 1, 1, 1])];
  sketch.node("QuantizeLinear", ["x", "s", "z"], ["xq"]);
  if (kind === "integers") {
    const own = ["kernel_quantized", "kernelScale", "kernelZero"];
    sketch.node("QLinearConv", ["xq", "s", "z", ...own, "s", "z", "bias_quantized"], ["cq"], window);
    sketch.node("DequantizeLinear", ["cq", "s", "z"], ["c"]);
  } else {
    const scales = CONV_SCALES.map((scale) => Math.fround(Math.fround(scale) * Math.fround(STEP)));
    sketch.initializer("biasScale", GraphTensor.floats([3], scales));
    sketch.node("DequantizeLinear", ["xq", "s", "z"], ["xr"]);
    sketch.node(
      "DequantizeLinear",
      ["kernel_quantized", "kernelScale", "kernelZero"],
      ["k"],
      [attribute.int("axis", 0)],
    );
    sketch.node("DequantizeLinear", ["bias_quantized", "biasScale"], ["b"], [attribute.int("axis", 0)]);
    sketch.node("Conv", ["xr", "k", "b"], ["cr"], window);
    sketch.node("QuantizeLinear", ["cr", "s", "z"], ["cq"]);
    sketch.node("DequantizeLinear", ["cq", "s", "z"], ["c"]);
  }
  sketch.node("Tanh", ["c"], ["t"]);
  sketch.node("Reshape", ["t", "rows"], ["f"]);
  sketch.node("QuantizeLinear", ["f", "s", "z"], ["fq"]);
  if (kind === "integers") {
    sketch.node("QLinearMatMul", ["fq", "s", "z", "weight_quantized", "weightScale", "weightZero", "s", "z"], ["yq"]);
  } else {
    sketch.node("DequantizeLinear", ["fq", "s", "z"], ["fr"]);
    sketch.node("DequantizeLinear", ["weight_quantized", "weightScale", "weightZero"], ["w"]);
    sketch.node("MatMul", ["fr", "w"], ["yr"]);
    sketch.node("QuantizeLinear", ["yr", "s", "z"], ["yq"]);
  }
  sketch.node("DequantizeLinear", ["yq", "s", "z"], ["y"]);
  sketch.output("y", float(["N", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

const feeds = {
  x: new OrtTensor("float32", X, [SAMPLES, 2, 4, 4]),
  target: new OrtTensor("float32", Float32Array.from(wave(SAMPLES * 2, 9)), [SAMPLES, 2]),
};

async function trained(kind: "integers" | "pairs"): Promise<{ losses: number[]; y: readonly number[] }> {
  const { portable, report } = await buildTrainingArtifacts(net(kind), {
    ...{ loss: { kind: "mse" }, optimizer: { name: "sgd" }, targets: ["portable"], quantizationAware: true },
  });
  if (portable === null) throw new Error("not built");
  const said = report.notes.some((note) => note.startsWith("1 QLinearConv, 1 QLinearMatMul: written as"));
  expect([kind, said]).toEqual([kind, kind === "integers"]);
  expect(report.trainable.map(({ name }) => name).sort()).toEqual(["bias", "kernel", "weight"]);
  const session = await TrainingSession.create(portable, { runtime: "ort-node", learningRate: 0.05 });
  const y = valuesOf((await session.runEvalStep(feeds))["y"]);
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) losses.push(...(await session.trainSteps([feeds])));
  await session.release();
  return { losses, y };
}

/** As quantizers that use plain operators write it: the scale goes round the integers, and a gradient through it alone would be a part. */
it.each([false, true])(
  "a convolution of integers is refused, also where its scale depends on a parameter (--qat: %s)",
  async (qat) => {
    const sketch = new Sketch("by hand");
    sketch.input("x", float(["N", 2, 4, 4]));
    sketch.initializer("mix", GraphTensor.floats([2, 2, 1, 1], [1.5, 0.5, -0.5, 1]));
    sketch.initializer("zero", GraphTensor.from(DataType.uint8, [], Uint8Array.of(ZERO)));
    sketch.initializer("kernel_quantized", bytes([3, 2, 3, 3], 2));
    sketch.node("Conv", ["x", "mix"], ["scaled"]);
    sketch.node("ReduceMax", ["scaled"], ["most"], [attribute.int("keepdims", 0)]);
    sketch.node("QuantizeLinear", ["scaled", "most", "zero"], ["q"]);
    sketch.node("ConvInteger", ["q", "kernel_quantized", "zero"], ["sums"]);
    sketch.node("Cast", ["sums"], ["real"], [attribute.int("to", DataType.float)]);
    sketch.node("Mul", ["real", "most"], ["y"]);
    sketch.output("y", float(["N", 3, 2, 2]));
    const forward = model(sketch.graph, 8, [["", 17]]);
    const built = buildTrainingArtifacts(forward, { loss: { kind: "mse" }, quantizationAware: qat });
    await expect(built).rejects.toMatchObject({
      code: "E_NO_GRADIENT",
      message: expect.stringContaining("reads quantized numbers"),
    });
  },
);

describe("operators on integers that have scales", () => {
  it("train as the same model of pairs does, from what their kernels compute", async () => {
    const [integers, pairs] = [await trained("integers"), await trained("pairs")];
    expect(integers.losses).toEqual(pairs.losses);
    expect(integers.losses[3]).toBeLessThan(0.9 * (integers.losses[0] ?? 0));
    const kernel = await openSession(encodeModel(net("integers")), { graphOptimizationLevel: "disabled" });
    const results = await kernel.run({ x: new Tensor("float32", X, [SAMPLES, 2, 4, 4]) });
    await kernel.release();
    /** A tie may be rounded to the other side: one step of the result. */
    for (const [at, value] of valuesOf(results["y"]).entries()) {
      expect(Math.abs((integers.y[at] ?? Number.NaN) - value)).toBeLessThan(STEP * 1.001);
    }
  });

  it("are refused without straight-through estimation, with the remedy", async () => {
    await expect(buildTrainingArtifacts(net("integers"), { loss: { kind: "mse" } })).rejects.toMatchObject({
      hint: expect.stringContaining("--qat"),
    });
  });
});
