import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { command } from "../support/command.ts";
import { hasShared, SHARED } from "../support/shared.ts";
import { temporaryFolder } from "../support/temporary.ts";

const [T, N, WEIGHT, RATE] = [2, 6, 0.5, 3] as const;
const X = Array.from({ length: T * N }, (_, at) => Math.sin(at));
const STATE = Array.from({ length: N }, (_, at) => Math.cos(at));
const TARGET = Array.from({ length: T * N }, (_, at) => at / 7);

/** y[t, n] = (x[t, n] + h[0, n]) w rate: what exporters of recurrent models with the sequence first ask for. */
async function artifacts(): Promise<string> {
  const folder = temporaryFolder();
  const sketch = new Sketch("sequence");
  sketch.input("h", float([1, "N", 1]));
  sketch.input("x", float(["T", "N", 1]));
  sketch.input("rate", tensor(DataType.int64, []));
  sketch.initializer("w", GraphTensor.floats([1, 1], [WEIGHT]));
  sketch.node("Add", ["x", "h"], ["sum"]);
  sketch.node("MatMul", ["sum", "w"], ["product"]);
  sketch.node("Cast", ["rate"], ["factor"], [{ name: "to", kind: "int", value: BigInt(DataType.float) } as never]);
  sketch.node("Mul", ["product", "factor"], ["y"]);
  sketch.output("y", float(["T", "N", 1]));
  const path = join(folder, "model.onnx");
  writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
  const built = await command(["build", path, "--loss", "mse", "--optimizer", "sgd", "-o", join(folder, "set")]);
  expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
  return join(folder, "set");
}

const TENSORS = {
  x: GraphTensor.floats([T, N, 1], X),
  target: GraphTensor.floats([T, N, 1], TARGET),
  h: GraphTensor.floats([1, N, 1], STATE),
  rate: GraphTensor.from(DataType.int64, [], BigInt64Array.of(BigInt(RATE))),
};

function data(...names: readonly (keyof typeof TENSORS)[]): string {
  const path = join(temporaryFolder(), "data.safetensors");
  writeFileSync(path, encodeSafetensors(names.map((name) => ({ name, tensor: TENSORS[name] }))));
  return path;
}

/** Mean over the samples from `first` on, in float64. */
function lossOf(first: number, count: number, state: readonly number[], rate: number): number {
  const places = Array.from({ length: T * count }, (_, at) => [Math.floor(at / count), first + (at % count)] as const);
  const errors = places.map(
    ([t, n]) => ((X[t * N + n] ?? 0) + (state[n] ?? 0)) * WEIGHT * rate - (TARGET[t * N + n] ?? 0),
  );
  return errors.reduce((sum, error) => sum + error * error, 0) / errors.length;
}

const AXES = ["--sample-axis", "x=1", "--sample-axis", "target=1"];
const lossesOf = (stdout: string): number[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === "step" ? [loss] : []));

describe("inputs that are no samples", () => {
  it("train along the axis and with the constants that the command line names", async () => {
    const folder = await artifacts();
    const train = async (...args: readonly string[]): Promise<number[]> => {
      const run = await command([
        "train",
        folder,
        "--no-shuffle",
        "--batch-size",
        "4",
        "--lr",
        "0",
        "--json",
        ...AXES,
        ...args,
      ]);
      expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
      return lossesOf(run.stdout);
    };
    const close = (losses: readonly number[], state: readonly number[], rate: number): void => {
      expect(losses).toHaveLength(2);
      expect(losses[0]).toBeCloseTo(lossOf(0, 4, state, rate), 5);
      expect(losses[1]).toBeCloseTo(lossOf(4, 2, state, rate), 5);
    };
    const zeros = STATE.map(() => 0);
    close(await train("--data", data("x", "target", "h", "rate"), "--sample-axis", "h=1"), STATE, RATE);
    close(await train("--data", data("x", "target", "rate"), "--input", "h=constant:0"), zeros, RATE);
    const file = ["--input", `rate=constant:${data("rate")}`, "--input", "h=constant:0.5"];
    close(
      await train("--data", data("x", "target"), ...file),
      STATE.map(() => 0.5),
      RATE,
    );
  });

  it("evaluate, diagnose and check", async () => {
    const folder = await artifacts();
    const args = ["--data", data("x", "target", "rate"), "--input", "h=constant:0", ...AXES, "--json"];
    const evaluated = await command(["eval", folder, ...args, "--batch-size", "4"]);
    const all = lossOf(
      0,
      N,
      STATE.map(() => 0),
      RATE,
    );
    expect([evaluated.status, JSON.parse(evaluated.stdout)]).toMatchObject([0, { samples: N }]);
    expect((JSON.parse(evaluated.stdout) as { loss: number }).loss).toBeCloseTo(all, 5);
    const diagnosed = await command(["diagnose", folder, ...args]);
    expect((JSON.parse(diagnosed.stdout) as { loss: number }).loss).toBeCloseTo(all, 5);
    const path = join(folder, "..", "model.onnx");
    const checked = await command(["gradcheck", path, "--loss", "mse", ...args, "--batch-size", "6"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    expect((JSON.parse(checked.stdout) as { loss: number }).loss).toBeCloseTo(all, 5);
    const without = await command(["gradcheck", path, "--loss", "mse", "--input", "rate=constant:1"]);
    expect([without.status, without.stderr]).toEqual([2, expect.stringContaining("need --data")]);
  });

  it("are asked for with the input and the flag to use", async () => {
    const folder = await artifacts();
    const full = data("x", "target", "h", "rate");
    const refused = async (args: readonly string[], status: number, ...messages: readonly string[]): Promise<void> => {
      const run = await command(["train", folder, ...args]);
      for (const message of messages)
        expect([run.status, run.stderr]).toEqual([status, expect.stringContaining(message)]);
    };
    await refused(
      ["--data", full, ...AXES],
      5,
      '"x" has 6 samples, "h" has 1',
      "--sample-axis h=1",
      "--input h=constant:",
    );
    await refused(["--data", full, "--input", "h=1"], 2, "rate=constant:16000");
  });

  it("row 53: are part of what a run is: another content of a constant's file is refused, another place is not", async () => {
    const folder = await artifacts();
    const runs = join(folder, "..", "runs");
    const samples = data("x", "target", "h");
    const constant = data("rate");
    const go = async (file: string, ...args: readonly string[]) =>
      await command([
        ...["train", folder, "--data", samples, ...AXES, "--sample-axis", "h=1", "--lr", "0"],
        ...["--input", `rate=constant:${file}`, "--checkpoints", runs, ...args],
      ]);
    expect((await go(constant, "--epochs", "1")).status).toBe(0);
    expect((await go(data("rate"), "--epochs", "2", "--resume", runs)).status).toBe(0);
    const other = { name: "rate", tensor: GraphTensor.from(DataType.int64, [], BigInt64Array.of(7n)) };
    writeFileSync(constant, encodeSafetensors([other]));
    const refused = await go(constant, "--epochs", "3", "--resume", runs);
    expect([refused.status, refused.stderr]).toEqual([8, expect.stringContaining("input rate")]);
  });

  it.skipIf(!hasShared)("train the field's models", async () => {
    const at = `${SHARED}field/models/`;
    const samples = (shape: readonly number[]): GraphTensor =>
      GraphTensor.floats(
        shape,
        Array.from({ length: shape.reduce((size, dim) => size * dim, 1) }, (_, index) => Math.sin(index)),
      );
    for (const [name, tensors, args] of [
      ["state_input", { x: [7, 6, 3], target: [7, 6, 2], h: [1, 6, 5] }, [...AXES, "--sample-axis", "h=1"]],
      ["scalar_input", { x: [6, 4], target: [6, 3] }, ["--input", "rate=constant:16000"]],
    ] as const) {
      const folder = temporaryFolder();
      const built = await command(["build", `${at}${name}.onnx`, "--loss", "mse", "-o", join(folder, "set")]);
      expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
      const file = join(folder, "data.safetensors");
      const entries = Object.entries(tensors).map(([each, shape]) => ({ name: each, tensor: samples(shape) }));
      writeFileSync(file, encodeSafetensors(entries));
      const run = await command(["train", join(folder, "set"), "--data", file, "--batch-size", "4", "--json", ...args]);
      expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
      expect(lossesOf(run.stdout)).toHaveLength(2);
    }
  });
});
