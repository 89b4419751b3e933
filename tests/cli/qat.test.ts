import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { readModel } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { openSession } from "../support/ort.ts";
import { temporaryFolder } from "../support/temporary.ts";
import { valuesOf } from "../support/tensor-values.ts";

const [SAMPLES, WIDTH, HIDDEN] = [8, 6, 4];
const wave = (size: number, seed: number, scale = 1): readonly number[] =>
  Array.from({ length: size }, (_, at) => Math.sin(at * 1.7 + seed) * scale);
const X = wave(SAMPLES * WIDTH, 1, 2);
const TARGET = wave(SAMPLES * 2, 2);

const bytes = (dims: readonly number[], seed: number): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.from(DataType.int8, dims, Int8Array.from(wave(size, seed, 120).map(Math.round)));
};

/** Two layers as ONNX Runtime's static quantizer writes them: weights int8 per column, a bias int32, activations uint8. */
function quantizedModel(net: Sketch): void {
  net.initializer("s", GraphTensor.floats([], [0.02]));
  net.initializer("z", GraphTensor.from(DataType.uint8, [], Uint8Array.of(128)));
  net.node("QuantizeLinear", ["x", "s", "z"], ["xq"]);
  net.node("DequantizeLinear", ["xq", "s", "z"], ["xr"]);
  net.initializer("w1_quantized", bytes([WIDTH, HIDDEN], 3));
  net.initializer("w1_scale", GraphTensor.floats([HIDDEN], [0.01, 0.004, 0.006, 0.008]));
  net.initializer("w1_zero", GraphTensor.from(DataType.int8, [HIDDEN], new Int8Array(HIDDEN)));
  net.node("DequantizeLinear", ["w1_quantized", "w1_scale", "w1_zero"], ["w1r"], [attribute.int("axis", 1)]);
  net.initializer("b1_quantized", GraphTensor.from(DataType.int32, [HIDDEN], Int32Array.of(100, -2000, 500, 0)));
  net.initializer("b1_scale", GraphTensor.floats([], [0.0002]));
  net.initializer("b1_zero", GraphTensor.from(DataType.int32, [], Int32Array.of(0)));
  net.node("DequantizeLinear", ["b1_quantized", "b1_scale", "b1_zero"], ["b1r"]);
  net.node("Gemm", ["xr", "w1r", "b1r"], ["a"]);
  net.node("Tanh", ["a"], ["h"]);
  net.node("QuantizeLinear", ["h", "s", "z"], ["hq"]);
  net.node("DequantizeLinear", ["hq", "s", "z"], ["hr"]);
  net.initializer("w2_quantized", bytes([HIDDEN, 2], 4));
  net.initializer("w2_scale", GraphTensor.floats([], [0.007]));
  net.node("DequantizeLinear", ["w2_quantized", "w2_scale"], ["w2r"]);
  net.node("MatMul", ["hr", "w2r"], ["y"]);
}

/** The first layer's weights are real, its result is quantized. */
function halfQuantized(net: Sketch): void {
  net.initializer("w", GraphTensor.floats([WIDTH, 2], wave(WIDTH * 2, 5)));
  net.initializer("s", GraphTensor.floats([], [0.05]));
  net.node("MatMul", ["x", "w"], ["a"]);
  net.node("QuantizeLinear", ["a", "s"], ["q"]);
  net.node("DequantizeLinear", ["q", "s"], ["y"]);
}

function write(folder: string, fill: (net: Sketch) => void): string {
  const net = new Sketch("quantized");
  net.input("x", float(["N", WIDTH]));
  fill(net);
  net.output("y", float(["N", 2]));
  const path = join(folder, "quantized.onnx");
  writeFileSync(path, encodeModel(model(net.graph, 8, [["", 17]])));
  return path;
}

async function outputsOf(path: string): Promise<readonly number[]> {
  const session = await openSession(path, { graphOptimizationLevel: "disabled" });
  const results = await session.run({ x: new Tensor("float32", Float32Array.from(X), [SAMPLES, WIDTH]) });
  await session.release();
  return valuesOf(results["y"]);
}

describe("--qat", () => {
  it("trains a quantized model from where it stands, and export gives a quantized one", async () => {
    const folder = temporaryFolder();
    const path = write(folder, quantizedModel);
    const set = join(folder, "set");
    const args = ["build", path, "--loss", "mse", "--optimizer", "adam", "--qat", "-o", set, "--json"];
    const built = await command(args);
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
    const report = JSON.parse(built.stdout) as { trainable: { name: string }[]; notes: string[] };
    expect(report.trainable.map(({ name }) => name).sort()).toEqual(["b1", "w1", "w2"]);
    expect(report.notes.join("\n")).toContain("held as integers, and trained as real numbers: w1, b1, w2");
    const data = join(folder, "data.safetensors");
    const tensors = [
      { name: "x", tensor: GraphTensor.floats([SAMPLES, WIDTH], X) },
      { name: "target", tensor: GraphTensor.floats([SAMPLES, 2], TARGET) },
    ];
    writeFileSync(data, encodeSafetensors(tensors));
    const run = join(folder, "run");
    const train = [
      "--data",
      data,
      "--batch-size",
      `${SAMPLES}`,
      "--lr",
      "0.02",
      "--epochs",
      "60",
      "--checkpoints",
      run,
    ];
    const trained = await command(["train", set, ...train, "--json"]);
    expect([trained.status, trained.stderr]).toEqual([0, expect.any(String)]);
    const losses = trained.stdout
      .split("\n")
      .flatMap((line) => (line.includes('"step"') ? [(JSON.parse(line) as { loss: number }).loss] : []));
    const lossOf = (y: readonly number[]): number =>
      y.reduce((sum, value, at) => sum + (value - (TARGET[at] ?? 0)) ** 2, 0) / y.length;
    /** The integers are the same at first, and so is what ONNX Runtime makes of the model as it came. */
    expect(Math.abs((losses[0] ?? 0) / lossOf(await outputsOf(path)) - 1)).toBeLessThan(1e-5);
    expect(losses.at(-1)).toBeLessThan(0.7 * (losses[0] ?? 0));
    const out = join(folder, "trained.onnx");
    const exported = await command(["export", set, "--checkpoint", run, "-o", out]);
    expect([exported.status, exported.stderr]).toEqual([0, expect.any(String)]);
    const { graph } = await readModel(out);
    expect(graph.nodes.filter(({ opType }) => opType === "DequantizeLinear").length).toBe(4);
    expect(lossOf(await outputsOf(out))).toBeLessThan(0.7 * (losses[0] ?? 0));
  });

  it("gradcheck takes differences without the rounding, in float64", async () => {
    const path = write(temporaryFolder(), quantizedModel);
    const checked = await command(["gradcheck", path, "--loss", "mse", "--qat", "--json"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(checked.stdout)).toMatchObject({ isRight: true, precision: "float64", reason: null });
  });

  it.each(["build", "gradcheck"])(
    "%s without it refuses what lies before a quantization, with the remedy",
    async (name) => {
      const folder = temporaryFolder();
      const output = name === "build" ? ["-o", join(folder, "set")] : [];
      const half = await command([name, write(folder, halfQuantized), "--loss", "mse", ...output]);
      expect([half.status, half.stderr]).toEqual([4, expect.stringMatching(/E_NO_GRADIENT.*DequantizeLinear.*--qat/s)]);
      const whole = await command([name, write(folder, quantizedModel), "--loss", "mse", ...output]);
      expect([whole.status, whole.stderr]).toEqual([4, expect.stringMatching(/E_NO_PARAMETERS.*--qat/s)]);
    },
  );
});
