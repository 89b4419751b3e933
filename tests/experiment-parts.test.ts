import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { BETAS, KEPT, normals, STEPS } from "../experiments/diffusion.ts";
import { eigenOf, frechetDistance, inceptionScore } from "../experiments/frechet.ts";
import { holmAdjusted } from "../experiments/holm.ts";
import { float, model as modelOf, Sketch } from "../fixtures/sketch.ts";
import { GraphTensor } from "../src/entries/graph.ts";
import { type Model, writeModel } from "../src/index.ts";
import { command } from "./support/command.ts";
import { temporaryFolder } from "./support/temporary.ts";

/** Normal numbers in rows of two, stretched by a matrix and moved. */
function rows(seed: number, [a, b, c, d]: readonly [number, number, number, number], move: number): Float64Array[] {
  const normal = normals(seed);
  return Array.from({ length: 400 }, () => {
    const [x, y] = [normal(), normal()];
    return Float64Array.of(a * x + b * y + move, c * x + d * y - move);
  });
}

function moments(of: readonly Float64Array[]) {
  const mean = [0, 1].map((at) => of.reduce((sum, row) => sum + (row[at] ?? 0), 0) / of.length);
  const covariance = (i: number, j: number): number =>
    of.reduce((sum, row) => sum + ((row[i] ?? 0) - (mean[i] ?? 0)) * ((row[j] ?? 0) - (mean[j] ?? 0)), 0) /
    (of.length - 1);
  return { mean, xx: covariance(0, 0), xy: covariance(0, 1), yy: covariance(1, 1) };
}

describe("the Frechet distance of the experiments", () => {
  it("is nothing between the same rows, and the square of the way where they are moved", () => {
    const one = rows(1, [1, 0.4, -0.3, 2], 0);
    const moved = one.map((row) => row.map((value, at) => value + (at === 0 ? 3 : -4)));
    expect(frechetDistance(one, one)).toBeCloseTo(0, 9);
    expect(frechetDistance(one, moved)).toBeCloseTo(25, 9);
  });

  it("is that of the closed form for two dimensions", () => {
    const [one, other] = [rows(1, [1, 0.4, -0.3, 2], 0), rows(2, [0.5, -1, 1.5, 0.2], 0.7)];
    const [a, b] = [moments(one), moments(other)];
    const determinant = ({ xx, xy, yy }: typeof a): number => xx * yy - xy * xy;
    const trace = a.xx * b.xx + 2 * a.xy * b.xy + a.yy * b.yy;
    const root = Math.sqrt(trace + 2 * Math.sqrt(determinant(a) * determinant(b)));
    const means = a.mean.reduce((sum, value, at) => sum + (value - (b.mean[at] ?? 0)) ** 2, 0);
    expect(frechetDistance(one, other)).toBeCloseTo(means + a.xx + a.yy + b.xx + b.yy - 2 * root, 9);
  });

  it("has eigenvalues and eigenvectors that make the matrix", () => {
    const matrix = [
      [4, 1, -2, 0.5],
      [1, 2, 0, 1],
      [-2, 0, 3, -2],
      [0.5, 1, -2, -1],
    ].map((row) => Float64Array.from(row));
    const { values, vectors } = eigenOf(matrix);
    for (const [i, row] of matrix.entries()) {
      for (const [j, value] of row.entries()) {
        const made = values.reduce((sum, each, k) => sum + (vectors[i]?.[k] ?? 0) * each * (vectors[j]?.[k] ?? 0), 0);
        expect(made).toBeCloseTo(value, 10);
      }
    }
  });
});

describe("the inception score of the experiments", () => {
  it("is 1 where all images are alike, and the number of classes where each has one of its own", () => {
    const alike = Array.from({ length: 6 }, () => Float64Array.of(0.2, 0.3, 0.5));
    const apart = Array.from({ length: 6 }, (_, at) => Float64Array.from([0, 1, 2], (k) => (k === at % 3 ? 1 : 0)));
    expect(inceptionScore(alike)).toBeCloseTo(1, 12);
    expect(inceptionScore(apart)).toBeCloseTo(3, 12);
  });
});

describe("Holm's correction in the experiments", () => {
  it("gives the numbers of R's p.adjust, in the order given", () => {
    const adjusted = holmAdjusted([0.03, 0.01, 0.04, 0.02]);
    for (const [index, p] of [0.06, 0.04, 0.06, 0.06].entries()) expect(adjusted[index]).toBeCloseTo(p, 12);
  });

  it("goes no higher than 1, and leaves a single one as it is", () => {
    expect(holmAdjusted([0.9, 0.6])).toEqual([1, 1]);
    expect(holmAdjusted([0.2])).toEqual([0.2]);
  });
});

describe("the noise of the experiments", () => {
  it("leaves nearly nothing of the image at the end, and is of variance 1", () => {
    expect([BETAS.length, KEPT.length]).toEqual([STEPS, STEPS]);
    expect(KEPT[0]).toBe(1 - 5e-4);
    expect(KEPT.at(-1)).toBeLessThan(1e-4);
    const numbers = Array.from({ length: 20_000 }, normals(3));
    const mean = numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
    const variance = numbers.reduce((sum, each) => sum + (each - mean) ** 2, 0) / numbers.length;
    /** Five standard errors: 1 / sqrt(20,000), and sqrt(2) of that. */
    expect(Math.abs(mean)).toBeLessThan(0.036);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});

describe("an experiment's configuration", () => {
  it.each([
    ["CIFAR-10", (label: number) => [label], 10],
    ["CIFAR-100", (label: number) => [label % 20, label], 100],
  ])("takes files of %s", async (_, labelsOf, classes) => {
    const folder = temporaryFolder();
    const records = (count: number): Uint8Array =>
      Uint8Array.from(
        Array.from({ length: count }, (__, at) => [
          ...labelsOf(at % classes),
          ...Array.from({ length: 3072 }, (___, pixel) => (pixel * 7 + at * 31) % 256),
        ]).flat(),
      );
    const [train, test, model] = ["train.bin", "test.bin", "model.onnx"].map((name) => join(folder, name));
    if (train === undefined || test === undefined || model === undefined) throw new Error("no paths");
    writeFileSync(train, records(40));
    writeFileSync(test, records(20));
    await writeModel(model, imageModel(classes));
    const config = fileURLToPath(new URL("../experiments/convnext/onnx-agr.config.yaml", import.meta.url));
    const output = join(folder, "runs");
    const data = ["--data", train, "--validation", test, "--warmup-steps", "1", "--dry-run", "--output", output];
    const { status, stderr, stdout } = await command(["compare", model, "--config", config, ...data]);
    expect([status, stderr]).toEqual([0, expect.stringContaining(`"images" of the data is the model's "input"`)]);
    expect(stdout).toMatch(/optimizer=adan agr=on: .* a run/);
  });
});

function imageModel(classes: number): Model {
  const sketch = new Sketch("images");
  sketch.input("input", float(["batch", 3, 32, 32]));
  sketch.initializer(
    "weight",
    GraphTensor.floats(
      [3, classes],
      Array.from({ length: 3 * classes }, (_, at) => at / 99),
    ),
  );
  sketch.node("GlobalAveragePool", ["input"], ["mean"]);
  sketch.node("Flatten", ["mean"], ["flat"]);
  sketch.node("MatMul", ["flat", "weight"], ["scores"]);
  sketch.output("scores", float(["batch", classes]));
  return modelOf(sketch.graph, 8, [["", 17]]);
}
