import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { decodeSafetensors, encodeSafetensors, encodeState } from "../../src/entries/training.ts";
import { toHalf } from "../../src/graph/half.ts";
import { loadRun, Tensor, TrainingSession } from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { command } from "../support/command.ts";
import {
  apart,
  built,
  EPSILON,
  FIXTURES,
  NETS,
  referenceOf,
  run,
  steps,
  told,
  trained,
} from "../support/mixed-precision.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe.each(NETS)("mixed precision of the %s that PyTorch exported, over 20 steps", (net) => {
  const { losses: reference } = referenceOf(net);

  it("in bfloat16 follows float64 within half an epsilon, not four times as far as PyTorch's autocast does", async () => {
    const { losses, stderr } = await trained(net, ["--precision", "bfloat16"]);
    expect(stderr).toMatch(/\d products take and give bfloat16; parameters, sums, norms, the loss/);
    expect(stderr).toContain("the loss is not scaled");
    const [own, foreign] = [apart(losses, reference.float64), apart(reference.bfloat16, reference.float64)];
    expect(own).toBeLessThan(EPSILON.bfloat16 / 2);
    expect(own).toBeLessThan(4 * foreign);
    expect(apart(losses, reference.bfloat16)).toBeLessThan(EPSILON.bfloat16 / 2);
    /** Something was rounded: float32 is 1e-7 away. */
    expect(own).toBeGreaterThan(1e-5);
  });

  it("in float16 with a scale of 1024 follows PyTorch's float32 within an epsilon", async () => {
    const { losses, stderr } = await trained(net, ["--precision", "float16", "--loss-scale", "1024"]);
    expect(stderr).toContain("the loss is scaled by 1024");
    const own = apart(losses, reference.float32);
    expect(own).toBeLessThan(EPSILON.float16);
    expect(own).toBeGreaterThan(1e-6);
  });
});

describe("a dynamic scale that begins at 2^24", () => {
  const FIRST = ["--precision", "float16", "--loss-scale", `dynamic:${2 ** 24}`];

  it("is halved and recovers as GradScaler documents it, with the losses of the same in numpy", async () => {
    const { dynamic } = referenceOf("mlp");
    const { all, losses } = await trained("mlp", FIRST);
    const events = steps(all);
    expect(events.map(({ lossScale }) => lossScale)).toEqual(dynamic?.scales);
    expect(events.map(({ skipped }) => skipped)).toEqual(events.map((_, step) => (step < 7 ? 1 : 0)));
    expect(apart(losses, dynamic?.losses ?? [])).toBeLessThan(EPSILON.float16 / 8);
    expect(all.at(-1)).toMatchObject({ type: "end", lossScale: 2 ** 17, skipped: 7 });
  });

  it("leaves the update out as a whole: parameters, moments and the optimizer's count", async () => {
    const data = decodeSafetensors(readFileSync(join(FIXTURES, "mlp.safetensors")));
    const later = data.tensors.map(({ name, tensor }) => {
      const [rows = 0, ...rest] = tensor.dims;
      const size = tensor.size / rows;
      const values = tensor.values().slice(7 * 8 * size);
      return { name, tensor: GraphTensor.from(tensor.dtype, [rows - 56, ...rest], values) };
    });
    const path = join(temporaryFolder(), "later.safetensors");
    writeFileSync(path, encodeSafetensors(later));
    const checkpoints = ["all", "later"].map((name) => join(temporaryFolder(), name));
    const train = async (scale: string, file: string, into = "") => {
      const build = ["--precision", "float16", "--loss-scale", scale, "--agr", "--clip-norm", "1"];
      const { set } = await built(join(FIXTURES, "mlp.onnx"), build, "cross-entropy", "adamw");
      const rest = ["--batch-size", "8", "--no-shuffle", "--lr", "0.01", "--checkpoints", into, "--json"];
      const { stdout } = await run("train", set, "--data", file, ...rest);
      return { losses: steps(told(stdout)).map(({ loss }) => loss), state: (await loadRun(into)).state };
    };
    const all = await train(`dynamic:${2 ** 24}`, join(FIXTURES, "mlp.safetensors"), checkpoints[0]);
    const rest = await train(`dynamic:${2 ** 17}`, path, checkpoints[1]);
    expect(all.losses.slice(7)).toEqual(rest.losses);
    const bytes = ({ tensors }: typeof all.state) =>
      [...tensors].filter(([name]) => !name.includes("skipped")).map(([name, tensor]) => [name, tensor.values()]);
    expect(bytes(all.state)).toEqual(bytes(rest.state));
    expect([...all.state.tensors].filter(([name]) => name.startsWith("loss_scale/"))).toHaveLength(3);
  });

  it("goes on bit for bit from a checkpoint, also from between two skipped updates", async () => {
    const { lr } = referenceOf("mlp");
    const { set } = await built(join(FIXTURES, "mlp.onnx"), [...FIRST, "--agr"], "cross-entropy", "adamw");
    const data = ["--data", join(FIXTURES, "mlp.safetensors"), "--batch-size", "8", "--no-shuffle", "--lr", lr];
    const [whole, parts] = [join(temporaryFolder(), "whole"), join(temporaryFolder(), "parts")];
    await run("train", set, ...data, "--checkpoints", whole);
    await run("train", set, ...data, "--checkpoints", parts, "--save-every", "4", "--keep", "9");
    const resumed = join(temporaryFolder(), "resumed");
    const { stdout } = await run(
      "train",
      set,
      ...data,
      "--checkpoints",
      resumed,
      "--resume",
      join(parts, "step-0000000004"),
      "--json",
    );
    const skipped = steps(told(stdout)).map((event) => event.skipped);
    expect([skipped.length, skipped.slice(0, 3)]).toEqual([16, [1, 1, 1]]);
    const [a, b] = await Promise.all([whole, resumed].map(async (path) => encodeState((await loadRun(path)).state)));
    expect(b).toEqual(a);
  });

  it("gives the same bits in a process of its own, and with several steps per call, told of at its last", async () => {
    const { set } = await built(join(FIXTURES, "mlp.onnx"), FIRST, "cross-entropy", "schedule-free-adamw");
    const data = ["--data", join(FIXTURES, "mlp.safetensors"), "--batch-size", "8", "--no-shuffle", "--lr", "0.05"];
    const train = async (...more: readonly string[]) => {
      const folder = join(temporaryFolder(), "run");
      const { status, stdout, stderr } = cli(["train", set, ...data, "--checkpoints", folder, "--json", ...more]);
      expect([status, stderr]).toEqual([0, expect.any(String)]);
      const state = encodeState((await loadRun(folder)).state);
      return { state, skipped: steps(told(stdout)).flatMap(({ skipped }) => skipped ?? []) };
    };
    const [plain, isolated] = [await train(), await train("--isolate")];
    const together = await train("--steps-per-call", "4");
    expect(isolated).toEqual(plain);
    expect(together.state).toEqual(plain.state);
    expect(plain.skipped.slice(0, 8)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    expect(together.skipped.slice(0, 2)).toEqual([4, 3]);
  });

  it("skips the update of several accumulated batches where one of them overflows", async () => {
    const { all } = await trained("mlp", FIRST, ["--accumulate", "2"]);
    expect(steps(all).map(({ skipped }) => skipped)).toEqual([1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    expect(steps(all).at(-1)?.lossScale).toBe(2 ** 17);
  });

  it("is doubled after 2,000 updates in a row", async () => {
    const { set } = await built(join(FIXTURES, "mlp.onnx"), ["--precision", "float16", "--loss-scale", "dynamic:4"]);
    const session = await TrainingSession.create(set, { learningRate: 0.001 });
    try {
      const batch = {
        x: new Tensor(
          "float32",
          Float32Array.from({ length: 24 }, (_, at) => Math.sin(at)),
          [2, 12],
        ),
        labels: new Tensor("int64", BigInt64Array.of(1n, 3n), [2]),
      };
      const many = (count: number) => session.trainSteps(Array.from({ length: count }, () => batch));
      await many(1999);
      expect(await session.lossScale()).toEqual({ scale: 4, skipped: 0 });
      await many(1);
      expect(await session.lossScale()).toEqual({ scale: 8, skipped: 0 });
      await many(1);
      expect(await session.lossScale()).toEqual({ scale: 8, skipped: 0 });
    } finally {
      await session.release();
    }
  });

  it("ends with E_NOT_FINITE where no scale helps", async () => {
    const sketch = new Sketch("steep");
    sketch.input("x", float(["batch", 1]));
    sketch.initializer("w", GraphTensor.floats([1, 1], [0.5]));
    sketch.node("MatMul", ["x", "w"], ["y"]);
    sketch.output("y", float(["batch", 1]));
    const folder = temporaryFolder();
    const [path, data] = [join(folder, "steep.onnx"), join(folder, "steep.safetensors")];
    writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
    const rows = Float32Array.from({ length: 40 }, () => 6e4);
    const targets = Float32Array.from({ length: 40 }, () => -1e9);
    writeFileSync(
      data,
      encodeSafetensors([
        { name: "x", tensor: GraphTensor.from(DataType.float, [40, 1], rows) },
        { name: "target", tensor: GraphTensor.from(DataType.float, [40, 1], targets) },
      ]),
    );
    const { set } = await built(path, ["--precision", "float16"], "mse");
    const { status, stderr } = await command(["train", set, "--data", data, "--batch-size", "1", "--epochs", "2"]);
    expect(status).not.toBe(0);
    expect(stderr).toContain("[E_NOT_FINITE] gradients are not finite with any scale of the loss: after step 31");
    expect(stderr).toContain("31 updates were left out");
  });
});

describe("--precision float16", () => {
  it("trains a model of float16, and export --into gives one of float16, export one of float32", async () => {
    const sketch = new Sketch("half");
    const half = (dims: readonly (string | number)[]) =>
      ({ kind: "tensor", dtype: DataType.float16, shape: dims }) as const;
    const values = Uint16Array.from({ length: 12 }, (_, at) => toHalf(Math.sin(at)));
    sketch.input("x", half(["batch", 4]));
    sketch.initializer("w", GraphTensor.from(DataType.float16, [4, 3], values));
    sketch.node("MatMul", ["x", "w"], ["y"]);
    sketch.output("y", half(["batch", 3]));
    const folder = temporaryFolder();
    const [path, data] = [join(folder, "half.onnx"), join(folder, "half.safetensors")];
    writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
    const x = GraphTensor.from(
      DataType.float16,
      [8, 4],
      Uint16Array.from({ length: 32 }, (_, at) => toHalf(Math.cos(at))),
    );
    const labels = GraphTensor.from(
      DataType.int64,
      [8],
      BigInt64Array.from({ length: 8 }, (_, at) => BigInt(at % 3)),
    );
    writeFileSync(
      data,
      encodeSafetensors([
        { name: "x", tensor: x },
        { name: "labels", tensor: labels },
      ]),
    );
    const { set, stderr } = await built(path, ["--precision", "float16"]);
    expect(stderr).toContain("the loss is scaled by 65536 at first");
    const checkpoints = join(folder, "run");
    await run("train", set, "--data", data, "--batch-size", "4", "--lr", "0.1", "--checkpoints", checkpoints);
    const master = (await loadRun(checkpoints)).state.tensors.get("w");
    expect(master?.dtype).toBe(DataType.float);
    const weight = async (...more: readonly string[]) => {
      const out = join(temporaryFolder(), "out.onnx");
      await run("export", set, "--checkpoint", checkpoints, ...more, "-o", out);
      return decodeModel(readFileSync(out)).graph.initializers.find(({ name }) => name === "w")?.tensor;
    };
    expect((await weight())?.values()).toEqual(master?.values());
    expect((await weight("--into", path))?.values()).toEqual(Uint16Array.from(master?.floatValues() ?? [], toHalf));
  });
});
