import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { type CorpusOptimizer, type CorpusVariant, makeCorpusStep } from "../../fixtures/step-corpus/index.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { isStep, trainingInputsOf } from "../../src/entries/run.ts";
import { decodeSafetensors, encodeSafetensors, readPlan, stepArtifacts } from "../../src/entries/training.ts";
import { readStep, TrainingSession, withInitialState } from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { rejectionOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { temporaryFolder } from "../support/temporary.ts";

const SAMPLES = 16;
const BATCH = 4;
const RATE = 0.05;

/** Numbers from -1 to 1. */
const values = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed + 3 * index));

const named = (tensors: Readonly<Record<string, readonly [readonly number[], number]>>) =>
  Object.entries(tensors).map(([name, [dims, seed]]) => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    return { name, tensor: GraphTensor.from(1, dims, values(size, seed)) };
  });

const DATA = named({ x: [[SAMPLES, 3], 1], y: [[SAMPLES, 2], 2] });
const WEIGHTS = named({ weight: [[3, 2], 3], bias: [[2], 4] });
const STEP_COUNT = { name: "step", tensor: GraphTensor.from(1, [], Float32Array.of(0)) };

interface Files {
  readonly folder: string;
  readonly step: string;
  readonly data: string;
  readonly init: string;
}

/** A step with AGR in it, its data and its initial state. */
async function files(optimizer: CorpusOptimizer = "adamw", variant: CorpusVariant = "plain"): Promise<Files> {
  const folder = temporaryFolder();
  const path = (name: string): string => join(folder, name);
  writeFileSync(path("original.onnx"), encodeModel(makeCorpusStep({ optimizer, variant })));
  const { status } = await command(["insert", path("original.onnx"), "-o", path("step.onnx")]);
  expect(status).toBe(0);
  writeFileSync(path("data.safetensors"), encodeSafetensors(DATA));
  writeFileSync(path("init.safetensors"), encodeSafetensors([...WEIGHTS, STEP_COUNT]));
  return { folder, step: path("step.onnx"), data: path("data.safetensors"), init: path("init.safetensors") };
}

/** The same training by hand: ONNX Runtime on the file as it is, every renewal fed back. */
async function byHand(step: string, epochs: number): Promise<{ losses: number[]; state: Map<string, number[]> }> {
  const session = await openSession(readFileSync(step), {
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
  const state = new Map<string, Tensor>();
  for (const [name, size] of Object.entries({ weight: 6, bias: 2 })) {
    const dims = size === 6 ? [3, 2] : [2];
    const own = WEIGHTS.find((each) => each.name === name)?.tensor.values() as Float32Array;
    state.set(name, new Tensor("float32", own, dims));
    for (const slot of ["exp_avg", "exp_avg_sq"])
      state.set(`${name}.${slot}`, new Tensor("float32", new Float32Array(size), dims));
  }
  state.set("step", new Tensor("float32", Float32Array.of(0), []));
  const losses: number[] = [];
  for (let count = 0; count < epochs * (SAMPLES / BATCH); count++) {
    const begin = (count * BATCH) % SAMPLES;
    const part = (name: string, width: number): Tensor => {
      const all = DATA.find((each) => each.name === name)?.tensor.values() as Float32Array;
      return new Tensor("float32", all.slice(begin * width, (begin + BATCH) * width), [BATCH, width]);
    };
    const results = await session.run({
      ...Object.fromEntries(state),
      ...{ x: part("x", 3), y: part("y", 2), lr: new Tensor("float32", Float32Array.of(RATE), []) },
    });
    losses.push(Number(results["loss"]?.data[0]));
    for (const name of [...state.keys()]) state.set(name, results[`${name}_out`] as Tensor);
  }
  return { losses, state: new Map([...state].map(([name, { data }]) => [name, [...(data as Float32Array)]])) };
}

const stateIn = (path: string): Map<string, number[]> =>
  new Map(
    decodeSafetensors(readFileSync(path)).tensors.map(({ name, tensor }) => [name, [...tensor.values()].map(Number)]),
  );

const TRAIN = ["--lr", String(RATE), "--batch-size", String(BATCH), "--no-shuffle"];

describe("train, eval and export of a whole step", () => {
  it("is what ONNX Runtime does with the file, step by step", { timeout: 60_000 }, async () => {
    const { folder, step, data, init } = await files();
    const run = join(folder, "run");
    const args = ["train", step, "--data", data, "--init", init, "--epochs", "2", ...TRAIN, "--checkpoints", run];
    const log = join(folder, "log.jsonl");
    const trained = cli([...args, "--log", log]);
    expect(trained.status).toBe(0);
    expect(trained.stderr).toContain(
      `"lr" takes the learning rate\nbegins at zero: weight.exp_avg, weight.exp_avg_sq, bias.exp_avg, bias.exp_avg_sq\n`,
    );
    const events = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; loss: number });
    const expected = await byHand(step, 2);
    const losses = events.filter(({ type }) => type === "step").map(({ loss }) => loss);
    expect(losses).toEqual(expected.losses);

    const state = join(folder, "state.safetensors");
    expect((await command(["export", step, "--checkpoint", run, "-o", state])).status).toBe(0);
    expect(stateIn(state)).toEqual(expected.state);

    const model = join(folder, "model.onnx");
    expect((await command(["export", step, "--checkpoint", run, "-o", model])).status).toBe(0);
    const forward = await openSession(readFileSync(model));
    expect(forward.inputNames).toEqual(["x"]);
    const x = values(12, 1);
    const [output] = Object.values(await forward.run({ x: new Tensor("float32", x, [4, 3]) }));
    const [weight = [], bias = []] = [expected.state.get("weight"), expected.state.get("bias")];
    for (let row = 0; row < 4; row++)
      for (let column = 0; column < 2; column++) {
        const product = [0, 1, 2].reduce((sum, k) => sum + (x[row * 3 + k] ?? 0) * (weight[k * 2 + column] ?? 0), 0);
        expect(output?.data[row * 2 + column]).toBeCloseTo(product + (bias[column] ?? 0), 5);
      }

    const evaluated = await command(["eval", step, "--data", data, "--checkpoint", run, "--batch-size", "4", "--json"]);
    const { loss, samples } = JSON.parse(evaluated.stdout) as { loss: number; samples: number };
    const targets = values(SAMPLES * 2, 2);
    const inputs = values(SAMPLES * 3, 1);
    const errors = [...targets].map((target, index) => {
      const [row, column] = [Math.floor(index / 2), index % 2];
      const product = [0, 1, 2].reduce((sum, k) => sum + (inputs[row * 3 + k] ?? 0) * (weight[k * 2 + column] ?? 0), 0);
      return (product + (bias[column] ?? 0) - target) ** 2;
    });
    expect(samples).toBe(SAMPLES);
    expect(loss).toBeCloseTo(errors.reduce((sum, each) => sum + each, 0) / errors.length, 5);
  });

  it("goes on from a checkpoint bit for bit", { timeout: 60_000 }, async () => {
    const { folder, step, data, init } = await files();
    const run = join(folder, "run");
    const args = ["train", step, "--data", data, ...TRAIN, "--checkpoints", run];
    expect((await command([...args, "--init", init, "--epochs", "1"])).status).toBe(0);
    const resumed = cli([...args, "--resume", run, "--epochs", "3", "--isolate"]);
    expect([resumed.status, resumed.stdout]).toEqual([0, expect.stringContaining("12 of 12 steps")]);
    const state = join(folder, "state.safetensors");
    expect((await command(["export", step, "--checkpoint", run, "-o", state])).status).toBe(0);
    expect(stateIn(state)).toEqual((await byHand(step, 3)).state);
  });

  it("begins with what export wrote", async () => {
    const { folder, step, data, init } = await files();
    const state = join(folder, "state.safetensors");
    expect((await command(["export", step, "--init", init, "-o", state])).status).toBe(0);
    const { status, stderr } = await command([
      "train",
      step,
      "--data",
      data,
      "--init",
      state,
      ...TRAIN,
      "--checkpoints",
      join(folder, "run"),
    ]);
    expect([status, stderr]).toEqual([0, expect.not.stringContaining("begins at zero")]);
  });

  it.each([
    ["no state", [], 2, "E_ARTIFACT_MISSING", "--init <file>"],
    ["half of the state", ["--init", "weights"], 8, "E_CHECKPOINT_MISMATCH", '"step" is missing, float[]'],
    ["accumulation", ["--init", "init", "--accumulate", "2"], 2, "E_OPTION", "--accumulate sums up gradients"],
    ["groups", ["--init", "init", "--group", "bias:lr=2"], 2, "E_OPTION", "--group writes an optimizer"],
    ["a checkpoint of ONNX Runtime", ["--init", "init", "-o", "out"], 2, "E_OPTION", "--checkpoints"],
    ["the training build", ["--init", "init", "--runtime", "ort-training"], 2, "E_OPTION", "ort-node"],
    ["no such rate", ["--init", "init", "--lr-input", "x"], 2, "E_OPTION", "Inputs of one number are lr"],
    ["a pair that is none", ["--init", "init", "--state", "weight=bias_out"], 2, "E_STATE", "weight=bias_out"],
  ] as const)("refuses %s", async (_, options, status, code, text) => {
    const { folder, step, data, init } = await files();
    const weights = join(folder, "weights.safetensors");
    writeFileSync(weights, encodeSafetensors(WEIGHTS));
    const paths: Readonly<Record<string, string>> = { init, weights, out: join(folder, "out") };
    const args = options.map((each) => paths[each] ?? each);
    const outcome = await command(["train", step, "--data", data, "--checkpoints", join(folder, "run"), ...args]);
    expect([outcome.status, outcome.stderr]).toEqual([status, expect.stringContaining(code)]);
    expect(outcome.stderr).toContain(text);
  });

  it("refuses a model that is no step, and the options of one with a folder", async () => {
    const { folder, data, init } = await files();
    const forward = makeCorpusStep({ optimizer: "sgd", variant: "plain" });
    forward.graph.replaceOutputs(forward.graph.outputs.filter(({ name }) => name === "loss"));
    const path = join(folder, "forward.onnx");
    writeFileSync(path, encodeModel(forward));
    const none = await command(["train", path, "--data", data, "--init", init]);
    expect([none.status, none.stderr]).toEqual([4, expect.stringContaining("E_NO_STEP")]);
    const set = await command(["train", folder, "--data", data, "--init", init]);
    expect([set.status, set.stderr]).toEqual([
      2,
      expect.stringContaining("--init is for a file with a whole train step"),
    ]);
  });
});

describe("a whole step in TrainingSession", () => {
  const weights = new Map([...WEIGHTS, STEP_COUNT].map(({ name, tensor }) => [name, tensor]));

  it("trains and gives out its state", async () => {
    const { step } = await files();
    const source = withInitialState(await readStep(step), weights);
    expect([isStep(source), trainingInputsOf(source, step).map(({ name }) => name)]).toEqual([true, ["x", "y"]]);
    const session = await TrainingSession.create(source, { learningRate: RATE });
    const [x, y] = [values(12, 1), values(8, 2)];
    const feeds = { x: new Tensor("float32", x, [4, 3]), y: new Tensor("float32", y, [4, 2]) };
    try {
      expect(session.can).toMatchObject({ setLearningRate: true, getGradients: false, saveCheckpoint: false });
      const before = await session.runEvalStep(feeds);
      const losses = await session.trainSteps([feeds, feeds, feeds]);
      expect(losses[0]).toBeCloseTo(Number(before["loss"]?.data[0]), 6);
      expect(losses[2]).toBeLessThan(losses[0] ?? 0);
      expect([session.steps, (await session.getState()).tensors.get("step")?.values()]).toEqual([
        3,
        Float32Array.of(3),
      ]);
      for (const call of [
        session.runTrainStep(feeds),
        session.runOptimizerStep(),
        session.getGradients(),
        session.saveCheckpoint(),
      ])
        expect((await rejectionOf(call)).code).toBe("E_UNSUPPORTED");
    } finally {
      await session.release();
    }
  });

  it("has no rate to set where the step has it built in", async () => {
    const model = makeCorpusStep({ optimizer: "sgd", variant: "plain" });
    const rate = model.graph.inputs.find(({ name }) => name === "lr");
    if (rate === undefined) throw new Error("there is no rate");
    rate.name = "eta";
    const source = withInitialState(stepArtifacts(model), weights);
    expect(trainingInputsOf(source, "step.onnx").map(({ name }) => name)).toEqual(["eta", "x", "y"]);
    const error = await rejectionOf(TrainingSession.create(source, { learningRate: 0.1 }));
    expect([error.code, error.hint]).toEqual(["E_UNSUPPORTED", expect.stringContaining("--lr-input")]);
    const told = stepArtifacts(model, { learningRate: "eta" });
    expect(trainingInputsOf(told, "step.onnx").map(({ name }) => name)).toEqual(["x", "y"]);
  });

  const moments = ["weight.exp_avg", "weight.exp_avg_sq", "bias.exp_avg", "bias.exp_avg_sq"];

  it.each([
    ["half with masters", "adamw", moments, ["weight.master", "bias.master", "step"]],
    ["update inside an If", "lion", ["weight.momentum", "bias.momentum"], []],
    ["mean teacher", "sgd", [], ["teacher.weight", "teacher.bias"]],
    ["unlike names", "adam", moments, ["step"]],
  ] as const)("%s: what may begin at zero, and what must be given", (variant, optimizer, atZero, others) => {
    const { zeros, step } = stepArtifacts(makeCorpusStep({ optimizer, variant }));
    const { state } = readPlan(step, "train_step");
    expect([...zeros]).toEqual(atZero);
    const given = state.map(({ name }) => name).filter((name) => !zeros.has(name));
    expect(new Set(given)).toEqual(new Set(["weight", "bias", ...others]));
  });
});
