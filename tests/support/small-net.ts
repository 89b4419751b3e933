import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { type BuildOptions, buildTrainingArtifacts, type Model, writeBuilt } from "../../src/index.ts";

const WIDTHS = [12, 16, 4] as const;

const wave = (size: number, seed: number, scale: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => scale * Math.sin(seed * 31 + index * 12.9898));

/** Linear, tanh, linear: smooth, so that roundings stay roundings. */
export function smallNet(batch: string | number = "batch"): Model {
  const [from, hidden, to] = WIDTHS;
  const sketch = new Sketch("net");
  sketch.input("input", float([batch, from]));
  const weights = [
    ["fc0.weight", [hidden, from]],
    ["fc0.bias", [hidden]],
    ["fc1.weight", [to, hidden]],
    ["fc1.bias", [to]],
  ] as const;
  for (const [index, [name, dims]] of weights.entries()) {
    const size = dims.reduce((product: number, dim) => product * dim, 1);
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, wave(size, index + 1, 0.4)));
  }
  const transposed = [attribute.int("transB", 1)];
  sketch.node("Gemm", ["input", "fc0.weight", "fc0.bias"], ["h"], transposed);
  sketch.node("Tanh", ["h"], ["t"]);
  sketch.node("Gemm", ["t", "fc1.weight", "fc1.bias"], ["logits"], transposed);
  sketch.output("logits", float([batch, to]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** Linear, batch normalization, tanh, linear. */
export function normalizedNet(): Model {
  const sketch = new Sketch("normalized");
  sketch.input("input", float(["batch", 12]));
  const weights = [
    ["fc.weight", [8, 12], wave(96, 1, 0.4)],
    ["bn.weight", [8], new Float32Array(8).fill(1)],
    ["bn.bias", [8], new Float32Array(8)],
    ["bn.mean", [8], new Float32Array(8)],
    ["bn.var", [8], new Float32Array(8).fill(1)],
    ["head.weight", [4, 8], wave(32, 2, 0.4)],
  ] as const;
  for (const [name, dims, values] of weights) sketch.initializer(name, GraphTensor.from(DataType.float, dims, values));
  sketch.node("Gemm", ["input", "fc.weight"], ["h"], [attribute.int("transB", 1)]);
  sketch.node("BatchNormalization", ["h", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["n"]);
  sketch.node("Tanh", ["n"], ["t"]);
  sketch.node("Gemm", ["t", "head.weight"], ["logits"], [attribute.int("transB", 1)]);
  sketch.output("logits", float(["batch", 4]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** Writes a portable set, `artifacts`, and `data.safetensors` beside it. @returns the folder */
export async function writeTask(
  folder: string,
  net: Model,
  options: Partial<BuildOptions>,
  samples: number,
): Promise<string> {
  const built = await buildTrainingArtifacts(net, {
    loss: { kind: "cross-entropy" },
    targets: ["portable"],
    ...options,
  });
  mkdirSync(join(folder, "artifacts"));
  await writeBuilt(join(folder, "artifacts"), built);
  writeData(join(folder, "data.safetensors"), samples);
  return folder;
}

/** Samples for either net: classes that depend on the inputs. */
export function writeData(path: string, samples: number, seed = 7): void {
  const [width] = WIDTHS;
  const values = wave(samples * width, seed, 1);
  const classOf = (row: number): bigint =>
    BigInt((values[row * width] ?? 0) > 0 ? 1 : 0) + BigInt((values[row * width + 1] ?? 0) > 0 ? 2 : 0);
  const labels = BigInt64Array.from({ length: samples }, (_, row) => classOf(row));
  writeFileSync(
    path,
    encodeSafetensors([
      { name: "input", tensor: GraphTensor.from(DataType.float, [samples, width], values) },
      { name: "labels", tensor: GraphTensor.from(DataType.int64, [samples], labels) },
    ]),
  );
}
