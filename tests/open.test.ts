import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeCorpusStep } from "../fixtures/step-corpus/index.ts";
import { drawDigits } from "../src/cli/demo/digits.ts";
import { decodeModel, encodeModel, GraphTensor } from "../src/entries/graph.ts";
import { encodeSafetensors, type TrainingState } from "../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  datasetFor,
  loadRun,
  open,
  readArtifacts,
  readPortable,
  readTrainable,
  readTrainingSet,
  readWeights,
  type SessionSource,
  type Trainable,
  TrainingSession,
  type TrainingSessionOptions,
  train,
} from "../src/index.ts";
import { DIGITS } from "./support/cli.ts";
import { command } from "./support/command.ts";
import { rejectionOf } from "./support/errors.ts";
import { temporaryFolder } from "./support/temporary.ts";

interface Project {
  readonly folder: string;
  readonly path: (name: string) => string;
}

/** ONNX Runtime's artifacts, the portable set of the same, data, and a run of three steps of each, in one folder. */
async function project(): Promise<Project> {
  const folder = temporaryFolder();
  const path = (name: string): string => join(folder, name);
  cpSync(DIGITS, path("artifacts"), { recursive: true, filter: (from) => !from.endsWith(".ts") });
  writeFileSync(path("train.safetensors"), encodeSafetensors(drawDigits(48, 1)));
  expect((await command(["lower", "artifacts", "-o", "portable"], { cwd: folder })).status).toBe(0);
  for (const [set, ...more] of [["portable"], ["artifacts", "--group", "*.bias:lr=0.5"]]) {
    const args = ["--data", "train.safetensors", "--batch-size", "16", "--checkpoints", `run-${set}`, ...more];
    const { status, stderr } = await command(["train", set ?? "", ...args], { cwd: folder });
    expect(status, stderr).toBe(0);
  }
  return { folder, path };
}

async function exported(folder: string): Promise<Uint8Array> {
  const session = await TrainingSession.create(folder);
  try {
    return await session.exportModel();
  } finally {
    await session.release();
  }
}

async function stateOf(source: SessionSource): Promise<TrainingState> {
  const session = await TrainingSession.create(source);
  try {
    return await session.getState();
  } finally {
    await session.release();
  }
}

/** Losses of one more epoch. */
async function lossesOf(source: string | Trainable): Promise<readonly number[]> {
  const session = await TrainingSession.create(source, { learningRate: 0.01 });
  try {
    const losses: number[] = [];
    for await (const event of train(session, datasetFor(session.trainingInputs, drawDigits(48, 1)), { seed: 3 }))
      if (event.type === "step") losses.push(event.loss);
    return losses;
  } finally {
    await session.release();
  }
}

const valuesOf = ({ tensors }: TrainingState): Record<string, unknown> =>
  Object.fromEntries([...tensors].map(([name, tensor]) => [name, tensor.values()]));

describe("open", () => {
  it("gives a session the whole state of a saved run: of a portable set, and of ONNX Runtime's artifacts with groups", async () => {
    const { path } = await project();
    for (const set of ["portable", "artifacts"]) {
      const run = await loadRun(path(`run-${set}`));
      expect(run.state.step).toBe(3);
      expect(run.manifest.models).toBe(path(set));
      for (const source of [
        path(`run-${set}`),
        run.folder,
        await open(path(`run-${set}`)),
        await open(path(set), { checkpoint: path(`run-${set}`) }),
      ]) {
        const state = await stateOf(source);
        expect([state.step, valuesOf(state)]).toEqual([3, valuesOf(run.state)]);
      }
    }
    const continued = await lossesOf(path("run-portable"));
    expect(continued).toHaveLength(2);
    expect(continued).not.toEqual(await lossesOf(path("portable")));
    expect(continued).not.toEqual(await lossesOf(path("run-artifacts")));
  });

  it("takes groups of a run from its manifest, so that ONNX Runtime's artifacts go on as they were trained", async () => {
    const { folder, path } = await project();
    const grouped = ["lower", "artifacts", "--group", "*.bias:lr=0.5", "-o", "grouped"];
    expect((await command(grouped, { cwd: folder })).status).toBe(0);
    const { state } = await loadRun(path("run-artifacts"));
    const source = await open(path("grouped"));
    expect(await lossesOf(path("run-artifacts"))).toEqual(await lossesOf({ ...source, state } as Trainable));
  });

  it("finds the models of a run where both were moved, and says where it looked for them", async () => {
    const { folder, path } = await project();
    mkdirSync(path("elsewhere"));
    for (const name of ["portable", "run-portable"]) renameSync(path(name), path(`elsewhere/${name}`));
    expect((await stateOf(path("elsewhere/run-portable"))).step).toBe(3);
    rmSync(path("elsewhere/portable"), { recursive: true });
    const error = await rejectionOf(open(path("elsewhere/run-portable")));
    expect(error).toMatchObject({ code: "E_NO_MODELS", exitCode: 2 });
    expect(error.message).toContain(join(folder, "elsewhere", "portable"));
    expect(error.hint).toContain("checkpoint: ");
  });

  it("refuses models that are not those of the run, and takes its weights alone where that is said", async () => {
    const { folder, path } = await project();
    expect((await command(["insert", "portable", "-o", "agr"], { cwd: folder })).status).toBe(0);
    const error = await rejectionOf(open(path("agr"), { checkpoint: path("run-portable") }));
    expect(error).toMatchObject({ code: "E_OTHER_MODELS", exitCode: 8, field: "train_step" });
    const weights = encodeSafetensors(
      [...(await readWeights(path("run-portable")))].map(([name, tensor]) => ({ name, tensor })),
    );
    writeFileSync(path("weights.safetensors"), weights);
    const begun = await stateOf(await open(path("agr"), { checkpoint: path("weights.safetensors") }));
    const trained = (await loadRun(path("run-portable"))).state;
    expect(begun.step).toBe(0);
    for (const [name, tensor] of begun.tensors) {
      if (name.includes("/")) expect(new Set<number | bigint>(tensor.values())).toEqual(new Set([0]));
      else expect(tensor.values()).toEqual(trained.tensors.get(name)?.values());
    }
  });

  it("has a session take what every reader and what build gives", async () => {
    const { path } = await project();
    const set = await readTrainingSet(path("portable"));
    const built = await buildTrainingArtifacts(decodeModel(await exported(path("portable"))), {
      loss: { kind: "cross-entropy" },
    });
    const first = valuesOf(await stateOf(path("portable")));
    for (const source of [set, await readPortable(path("portable")), await readTrainable(path("portable"))])
      expect(valuesOf(await stateOf(source))).toEqual(first);
    expect(valuesOf(await stateOf(await readArtifacts(path("artifacts"))))).toEqual(first);
    expect(Object.keys(valuesOf(await stateOf(built)))).toContain("fc.weight");
    expect(await rejectionOf(TrainingSession.create({ portable: null, onnxruntime: null }))).toMatchObject({
      code: "E_NO_ARTIFACTS",
    });
  });

  it("has a session refuse options that nothing takes, and names those of ONNX Runtime that have another name here", async () => {
    const refused: readonly (readonly [field: string, value: unknown, hint: RegExp])[] = [
      ["intraOpNumThreads", 1, /^Give threads in its place.$/],
      ["graphOptimizationLevel", "all", /^There are runtime, executionProviders, .*learningRate/],
    ];
    for (const [field, value, hint] of refused) {
      const options: TrainingSessionOptions = Object.fromEntries([[field, value]]);
      const error = await rejectionOf(TrainingSession.create(DIGITS, options));
      expect(error).toMatchObject({ code: "E_OPTION", exitCode: 2, field });
      expect(error.hint).toMatch(hint);
    }
  });

  it("takes a whole step with its state, and refuses checkpoints and folders without models by name", async () => {
    const folder = temporaryFolder();
    const path = (name: string): string => join(folder, name);
    writeFileSync(path("step.onnx"), encodeModel(makeCorpusStep({ optimizer: "adamw", variant: "plain" })));
    const tensors = [
      { name: "weight", tensor: GraphTensor.floats([3, 2], [1, 2, 3, 4, 5, 6]) },
      { name: "bias", tensor: GraphTensor.floats([2], [7, 8]) },
      { name: "step", tensor: GraphTensor.floats([], [0]) },
    ];
    writeFileSync(path("init.safetensors"), encodeSafetensors(tensors));
    const { tensors: state } = await stateOf(await open(path("step.onnx"), { checkpoint: path("init.safetensors") }));
    expect(state.get("weight")?.values()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(await rejectionOf(TrainingSession.create(path("step.onnx")))).toMatchObject({ code: "E_ARTIFACT_MISSING" });
    expect(await rejectionOf(open(path("init.safetensors")))).toMatchObject({ code: "E_NO_MODELS" });
    expect(await rejectionOf(open(join(DIGITS, "checkpoint")))).toMatchObject({ code: "E_NO_MODELS" });
    expect(await rejectionOf(open(folder))).toMatchObject({ code: "E_NO_ARTIFACTS" });
    expect(await rejectionOf(open(path("nothing")))).toMatchObject({ code: "E_NO_FILE" });
    expect(await rejectionOf(open(DIGITS, { checkpoint: 3 as unknown as string }))).toMatchObject({
      code: "E_ARGUMENT",
    });
  });
});
