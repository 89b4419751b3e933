import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, decodeModel, encodeModel, GraphTensor, type ValueType } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { fromHalf, toHalf } from "../../src/graph/half.ts";
import type { Dimension } from "../../src/graph/value-type.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** Numbers that float16 has. */
const halves = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, at) => fromHalf(toHalf(Math.sin(at * 1.7 + seed))));

const tensorOf = (dtype: number, dims: readonly number[], values: readonly number[]): GraphTensor =>
  dtype === DataType.float
    ? GraphTensor.floats(dims, values)
    : GraphTensor.from(dtype, dims, Uint16Array.from(values, toHalf));

const write = (name: string, bytes: Uint8Array): string => {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
};

/** Two layers in one type, with a sum behind them as exporters of half precision write it. */
function layers(dtype: number, batch: string | null = "batch"): string {
  const sketch = new Sketch("layers");
  const of = (shape: readonly Dimension[]): ValueType => ({ kind: "tensor", dtype, shape });
  sketch.input("x", of([batch, 3]));
  sketch.initializer("w", tensorOf(dtype, [3, 4], halves(12, 1)));
  sketch.initializer("v", tensorOf(dtype, [4, 2], halves(8, 2)));
  sketch.initializer("b", tensorOf(dtype, [2], halves(2, 3)));
  sketch.node("Constant", [], ["two"], [attribute.tensor("value", tensorOf(dtype, [], [2]))]);
  sketch.node("MatMul", ["x", "w"], ["h"]);
  sketch.node("Mul", ["h", "two"], ["double"]);
  sketch.node("Tanh", ["double"], ["t"]);
  sketch.node("MatMul", ["t", "v"], ["o"]);
  sketch.node("Add", ["o", "b"], ["y"]);
  sketch.output("y", of([batch, 2]));
  return write("model.onnx", encodeModel(model(sketch.graph, 8, [["", 17]])));
}

const data = (dtype: number): string =>
  write(
    "data.safetensors",
    encodeSafetensors([
      { name: "x", tensor: tensorOf(dtype, [10, 3], halves(30, 5)) },
      { name: "target", tensor: GraphTensor.floats([10, 2], halves(20, 6)) },
    ]),
  );

async function run(...args: readonly string[]) {
  const outcome = await command(args);
  expect([args[0], outcome.status, outcome.stderr]).toEqual([args[0], 0, expect.any(String)]);
  return outcome;
}

const lossesOf = (stdout: string): number[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === "step" ? [loss] : []));

const BUILD = ["--loss", "mse", "--optimizer", "sgd", "--agr", "--set", "portable"] as const;
const TRAIN = ["--batch-size", "2", "--no-shuffle", "--lr", "0.1", "--json"] as const;

describe("--precision float32", () => {
  it("trains a model of float16 as one of float32 with the same numbers, and puts them back", async () => {
    const folder = temporaryFolder();
    const [half, single] = [layers(DataType.float16), layers(DataType.float)];
    const built = await run("build", half, ...BUILD, "--precision", "float32", "-o", join(folder, "half"));
    expect(built.stderr).toContain("the model of float16 computes and is trained in float32: 3 tensors were widened");
    await run("build", single, ...BUILD, "-o", join(folder, "single"));
    const train = async (name: string, dtype: number): Promise<readonly number[]> => {
      const checkpoint = ["-o", join(folder, `${name}.checkpoint`)];
      return lossesOf((await run("train", join(folder, name), "--data", data(dtype), ...TRAIN, ...checkpoint)).stdout);
    };
    const losses = await train("single", DataType.float);
    expect(losses).toHaveLength(5);
    expect(await train("half", DataType.float16)).toEqual(losses);

    const back = join(folder, "back.onnx");
    await run(
      "export",
      join(folder, "half"),
      "--checkpoint",
      join(folder, "half.checkpoint"),
      "--into",
      half,
      "-o",
      back,
    );
    const wide = join(folder, "wide.onnx");
    await run("export", join(folder, "single"), "--checkpoint", join(folder, "single.checkpoint"), "-o", wide);
    const trained = new Map(decodeModel(readFileSync(wide)).graph.initializers.map((each) => [each.name, each.tensor]));
    const [given, made] = [half, back].map((path) => decodeModel(readFileSync(path)));
    for (const { name, tensor: narrow } of made?.graph.initializers ?? []) {
      expect([name, narrow?.dtype]).toEqual([name, DataType.float16]);
      const rounded = Array.from(trained.get(name)?.values() as Float32Array, toHalf);
      expect([name, Array.from(narrow?.values() as Uint16Array)]).toEqual([name, rounded]);
    }
    for (const subject of [given, made]) for (const value of subject?.graph.initializers ?? []) value.tensor = null;
    if (given === undefined || made === undefined) throw new Error("no models");
    expect(encodeModel(made)).toEqual(encodeModel(given));
  });

  it("is named where half precision is refused", async () => {
    const refused = await command(["build", layers(DataType.float16), ...BUILD, "-o", join(temporaryFolder(), "out")]);
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining("--precision float32")]);
    expect(refused.stderr).toContain("[E_PRECISION]");
  });

  it("is checked by gradcheck, too", async () => {
    await run("gradcheck", layers(DataType.float16), "--loss", "mse", "--precision", "float32");
  });
});

describe("--into", () => {
  it("refuses a model of which the artifacts were not built, and leaves the output alone", async () => {
    const folder = temporaryFolder();
    await run("build", layers(DataType.float), ...BUILD, "-o", join(folder, "set"));
    const sketch = new Sketch("another");
    sketch.input("x", float(["batch", 3]));
    sketch.initializer("w", GraphTensor.floats([4, 3], halves(12, 1)));
    sketch.node("Gemm", ["x", "w"], ["y"], [attribute.int("transB", 1)]);
    sketch.output("y", float(["batch", 4]));
    const other = write("other.onnx", encodeModel(model(sketch.graph, 8, [["", 17]])));
    const out = join(folder, "out.onnx");
    const refused = await command(["export", join(folder, "set"), "--into", other, "-o", out]);
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringMatching(/\[E_NO_PLACE\].*"w".* and 2 more/)]);
    expect(() => readFileSync(out)).toThrow();
  });
});

describe("--dim", () => {
  it("fixes sizes by their names, or by input and axis where they have none", async () => {
    for (const [batch, name] of [
      ["batch", "batch"],
      [null, "x.0"],
    ] as const) {
      const folder = join(temporaryFolder(), "set");
      await run("build", layers(DataType.float, batch), ...BUILD, "--dim", `${name}=2`, "-o", folder);
      const step = decodeModel(readFileSync(join(folder, "train_step.onnx")));
      const shapes = new Map(step.graph.inputs.map((value) => [value.name, value.type]));
      expect(shapes.get("x")).toEqual(float([2, 3]));
      expect(shapes.get("target")).toEqual(float([2, 2]));
      const trained = await run("train", folder, "--data", data(DataType.float), "--json", "--no-shuffle");
      expect(lossesOf(trained.stdout)).toHaveLength(5);
    }
  });

  it("tells the names where there is no such size", async () => {
    const refused = await command([
      "build",
      layers(DataType.float),
      ...BUILD,
      "--dim",
      "n=2",
      "-o",
      join(temporaryFolder(), "o"),
    ]);
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining("Open are batch.")]);
  });
});

describe("a classifier as a converter of scikit-learn writes it", () => {
  it("is trained by its probabilities, which ZipMap makes maps of", async () => {
    const sketch = new Sketch("classifier");
    sketch.input("x", { kind: "tensor", dtype: DataType.float, shape: [null, 3] });
    sketch.initializer("w", GraphTensor.floats([3, 2], halves(6, 1)));
    sketch.node("MatMul", ["x", "w"], ["scores"]);
    sketch.node("Softmax", ["scores"], ["probabilities"]);
    sketch.node("ArgMax", ["probabilities"], ["label"], [attribute.int("axis", 1), attribute.int("keepdims", 0)]);
    const classes = { name: "classlabels_int64s", kind: "ints", value: [0n, 1n] } as const;
    sketch.node("ZipMap", ["probabilities"], ["maps"], [classes], "ai.onnx.ml");
    sketch.output("label", { kind: "tensor", dtype: DataType.int64, shape: [null] });
    const map: ValueType = { kind: "map", key: DataType.int64, value: float([]) };
    sketch.output("maps", { kind: "sequence", element: map });
    const imports = [
      ["", 17],
      ["ai.onnx.ml", 1],
    ] as const;
    const path = write("classifier.onnx", encodeModel(model(sketch.graph, 8, imports)));
    const folder = join(temporaryFolder(), "set");
    const built = await run("build", path, ...BUILD, "-o", folder);
    expect(built.stderr).toContain('the output "maps" is the tensor that ZipMap makes maps of');
    expect(built.stderr).toContain('the loss is computed from "maps": the first output, "label", is no floating-point');
    const trained = await run("train", folder, "--data", data(DataType.float), ...TRAIN);
    expect(lossesOf(trained.stdout)).toHaveLength(5);
    await run("eval", folder, "--data", data(DataType.float));
  });
});
