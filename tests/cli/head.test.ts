import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { decodeCheckpoint, decodeSafetensors, encodeSafetensors } from "../../src/entries/training.ts";
import { readModel } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const numbers = (dims: readonly number[], seed: number): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.floats(
    dims,
    Array.from({ length: size }, (_, at) => Math.sin(at * 1.7 + seed) * 0.5),
  );
};

/** Classifiers of 5 classes over [N, 3, 4, 4], as exporters end them. */
const ENDS: Readonly<Record<string, (net: Sketch) => void>> = {
  "Gemm and Softmax": (net) => {
    net.node("GlobalAveragePool", ["h"], ["pooled"]);
    net.node("Flatten", ["pooled"], ["flat"]);
    net.initializer("fc.weight", numbers([5, 6], 3));
    net.initializer("fc.bias", numbers([5], 4));
    net.node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], [attribute.int("transB", 1)]);
    net.node("Softmax", ["logits"], ["y"], [attribute.int("axis", 1)]);
  },
  "MatMul, Add and a shape": (net) => {
    net.node("ReduceMean", ["h"], ["flat"], [attribute.ints("axes", [2, 3]), attribute.int("keepdims", 0)]);
    net.initializer("fc.weight", numbers([6, 5], 3));
    net.initializer("fc.bias", numbers([5], 4));
    net.initializer("shape", GraphTensor.ints([-1, 5]));
    net.node("MatMul", ["flat", "fc.weight"], ["product"]);
    net.node("Add", ["fc.bias", "product"], ["sum"]);
    net.node("Reshape", ["sum", "shape"], ["y"]);
  },
  "Conv, pool and LogSoftmax": (net) => {
    net.initializer("last.weight", numbers([5, 6, 1, 1], 3));
    net.initializer("last.bias", numbers([5], 4));
    net.node("Conv", ["h", "last.weight", "last.bias"], ["maps"]);
    net.node("GlobalAveragePool", ["maps"], ["pooled"]);
    net.node("Flatten", ["pooled"], ["logits"]);
    net.node("LogSoftmax", ["logits"], ["y"], [attribute.int("axis", 1)]);
  },
};

function write(folder: string, end: (net: Sketch) => void): string {
  const net = new Sketch("classifier");
  net.input("x", float(["N", 3, 4, 4]));
  net.initializer("conv1.weight", numbers([4, 3, 3, 3], 1));
  net.initializer("conv1.bias", numbers([4], 2));
  net.initializer("conv2.weight", numbers([6, 4, 3, 3], 5));
  net.node("Conv", ["x", "conv1.weight", "conv1.bias"], ["a"], [attribute.ints("pads", [1, 1, 1, 1])]);
  net.node("Tanh", ["a"], ["b"]);
  net.node("Conv", ["b", "conv2.weight"], ["c"], [attribute.ints("pads", [1, 1, 1, 1])]);
  net.node("Tanh", ["c"], ["h"]);
  end(net);
  net.output("y", float(["N", 5]));
  const path = join(folder, "classifier.onnx");
  writeFileSync(path, encodeModel(model(net.graph, 8, [["", 17]])));
  return path;
}

function data(folder: string): string {
  const path = join(folder, "data.safetensors");
  const labels = GraphTensor.ints(Array.from({ length: 8 }, (_, at) => at % 7));
  const tensors = [
    { name: "x", tensor: numbers([8, 3, 4, 4], 6) },
    { name: "labels", tensor: labels },
  ];
  writeFileSync(path, encodeSafetensors(tensors));
  return path;
}

const END = ENDS["Gemm and Softmax"] ?? (() => undefined);

describe("build --head", () => {
  it.each(Object.entries(ENDS))("puts a fresh layer for other classes behind %s", async (_, end) => {
    const folder = temporaryFolder();
    const path = write(folder, end);
    const set = join(folder, "set");
    const args = ["--loss", "cross-entropy", "--head", "classes=7", "--init", "head.*=zeros", "-o", set, "--json"];
    const built = await command(["build", path, ...args]);
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
    const { trainable, notes } = JSON.parse(built.stdout) as {
      trainable: { name: string; shape: number[] }[];
      notes: string[];
    };
    expect(notes.join("\n")).toContain("of 5 classes has a fresh weight and bias for 7");
    const names = trainable.map(({ name }) => name).sort();
    expect(names).toEqual(["conv1.bias", "conv1.weight", "conv2.weight", "head.bias", "head.weight"]);
    expect(trainable.find(({ name }) => name === "head.bias")?.shape).toEqual([7]);
    const run = join(folder, "run");
    const train = ["--data", data(folder), "--batch-size", "8", "--lr", "0.01", "--checkpoints", run, "--json"];
    const trained = await command(["train", set, ...train]);
    expect([trained.status, trained.stderr]).toEqual([0, expect.any(String)]);
    const step = trained.stdout.split("\n").find((line) => line.includes('"step"')) ?? "{}";
    /** All logits are zero at first: the loss is that of chance. */
    expect((JSON.parse(step) as { loss: number }).loss).toBeCloseTo(Math.log(7), 6);
    const exported = await command(["export", set, "--checkpoint", run, "-o", join(folder, "new.onnx")]);
    expect([exported.status, exported.stderr]).toEqual([0, expect.any(String)]);
    const { graph } = await readModel(join(folder, "new.onnx"));
    expect(graph.nodes.some(({ opType }) => opType.endsWith("Softmax"))).toBe(false);
    expect(graph.outputs).toHaveLength(1);
  });

  it("trains the head alone where it is asked for, with the same bytes for the same seed", async () => {
    const folder = temporaryFolder();
    const path = write(folder, END);
    const build = async (name: string, ...more: readonly string[]): Promise<Buffer> => {
      const set = join(folder, name);
      const args = ["--loss", "cross-entropy", "--head", "classes=7", "--params", "head.*", "--set", "portable"];
      const built = await command(["build", path, ...args, ...more, "-o", set, "--json"]);
      expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
      const { trainable } = JSON.parse(built.stdout) as { trainable: { name: string }[] };
      expect(trainable.map((each) => each.name).sort()).toEqual(["head.bias", "head.weight"]);
      return readFileSync(join(set, "state.safetensors"));
    };
    const [first, again, other] = [await build("a"), await build("b"), await build("c", "--init-seed", "1")];
    expect(first.equals(again)).toBe(true);
    expect(first.equals(other)).toBe(false);
    const weight = decodeSafetensors(first).tensors.find(({ name }) => name.endsWith("head.weight"))?.tensor;
    const values = Array.from((weight?.values() ?? []) as Float32Array, Math.abs);
    /** xavier: within sqrt(6 / (6 + 7)). */
    expect(Math.max(...values)).toBeLessThan(Math.sqrt(6 / 13));
    expect(Math.max(...values)).toBeGreaterThan(0.9 * Math.sqrt(6 / 13));
  });

  it.each([
    ["what is in the way", ["--head", "classes=7"], 4, /E_HEAD.*"y\/\/ArgMax" \(ArgMax\) lies between/],
    ["classes that are none", ["--head", "classes=0"], 2, /classes=7/],
    ["an unknown way to begin", ["--init", "conv1.weight=ones"], 2, /he, xavier, zeros/],
    ["a fan in that there is not", ["--init", "conv1.*=he"], 4, /E_INIT.*"conv1.bias" has 1 axes.*conv1.bias=zeros/],
    ["a name that is no parameter's", ["--init", "conv9=he"], 4, /E_NO_PARAMETERS.*conv9/],
  ])("refuses %s, by name", async (_, args, status, message) => {
    const folder = temporaryFolder();
    const path = write(folder, (net) => {
      END(net);
      net.node("Identity", ["y"], ["copy"]);
      if (args.includes("classes=7")) net.node("ArgMax", ["copy"], ["y/"], [attribute.int("axis", 1)]);
    });
    const rest = args.includes("classes=7") ? ["--loss-output", "y/"] : [];
    const refused = await command([
      "build",
      path,
      "--loss",
      "cross-entropy",
      ...args,
      ...rest,
      "-o",
      join(folder, "set"),
    ]);
    expect([refused.status, refused.stderr]).toEqual([status, expect.stringMatching(message)]);
  });
});

describe("build --layer-decay", () => {
  it("halves the rate from layer to layer, of weights and their biases", async () => {
    const folder = temporaryFolder();
    const path = write(folder, END);
    const updates = async (name: string, ...more: readonly string[]): Promise<ReadonlyMap<string, number[]>> => {
      const set = join(folder, name);
      const args = ["--loss", "cross-entropy", "--loss-output", "logits", "--optimizer", "sgd", "--set", "portable"];
      const built = await command(["build", path, ...args, ...more, "-o", set]);
      expect([built.status, built.stderr]).toEqual([0, expect.stringContaining('the model ends at "logits"')]);
      const after = join(folder, `${name}.checkpoint`);
      const labels = GraphTensor.ints([0, 1, 2, 3]);
      const file = join(folder, `${name}-data.safetensors`);
      writeFileSync(
        file,
        encodeSafetensors([
          { name: "x", tensor: numbers([4, 3, 4, 4], 6) },
          { name: "labels", tensor: labels },
        ]),
      );
      const trained = await command(["train", set, "--data", file, "--batch-size", "4", "--lr", "0.5", "-o", after]);
      expect([trained.status, trained.stderr]).toEqual([0, expect.any(String)]);
      const before = new Map(
        decodeSafetensors(readFileSync(join(set, "state.safetensors"))).tensors.map((each) => [each.name, each.tensor]),
      );
      return new Map(
        decodeCheckpoint(readFileSync(after)).trainable.map(({ name: parameter, tensor }) => {
          const old = Array.from((before.get(parameter)?.values() ?? []) as Float32Array);
          return [
            parameter,
            Array.from(tensor.values() as Float32Array, (value, at) => value - (old[at] ?? Number.NaN)),
          ];
        }),
      );
    };
    const [plain, decayed] = [await updates("plain"), await updates("decayed", "--layer-decay", "0.5")];
    const scales = { "conv1.weight": 0.25, "conv1.bias": 0.25, "conv2.weight": 0.5, "fc.weight": 1, "fc.bias": 1 };
    for (const [name, scale] of Object.entries(scales)) {
      const [whole = [], part = []] = [plain.get(name), decayed.get(name)];
      expect(whole.length, name).toBeGreaterThan(0);
      const largest = Math.max(...whole.map(Math.abs));
      /** The updates are differences of float32 parameters. */
      for (const [at, value] of whole.entries()) {
        expect(Math.abs((part[at] ?? Number.NaN) - scale * value) / largest, name).toBeLessThan(2e-5);
      }
    }
  });
});
