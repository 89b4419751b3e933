import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { makeMlpArtifacts } from "../../fixtures/mlp.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  GraphTensor,
  lowerTrainingOps,
  printModel,
} from "../../src/entries/graph.ts";
import { readPlan } from "../../src/entries/training.ts";
import {
  insertAgr,
  lowerArtifacts,
  type Model,
  type NamedTensors,
  readArtifacts,
  readDataFile,
  stripAgr,
  Tensor,
  type TrainingArtifacts,
  TrainingSession,
  trainableParameters,
} from "../../src/index.ts";
import { toOrtTensor } from "../../src/runtime/feeds.ts";
import { DIGITS } from "../support/cli.ts";
import { hasShared, SHARED } from "../support/shared.ts";

const random = (seed: number, size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 101 + index * 12.9898) * Math.cos(index * 0.37));

const classified = (seed: number, dims: readonly number[], classes: number): NamedTensors => ({
  input: new Tensor(
    "float32",
    random(
      seed,
      dims.reduce((product, dim) => product * dim, 1),
    ),
    [...dims],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: dims[0] ?? 0 }, (_, index) => BigInt((index + seed) % classes)),
    [dims[0] ?? 0],
  ),
});

/** Dropout is random: with a ratio of 0 it is none. */
function withoutDropout(artifacts: TrainingArtifacts): TrainingArtifacts {
  const { trainingModel } = artifacts;
  if (trainingModel === null) return artifacts;
  const isRatio = (node: { opType: string }): boolean => node.opType === "Dropout" || node.opType === "DropoutGrad";
  for (const node of trainingModel.graph.nodes.filter(isRatio)) {
    const ratio = node.inputs[node.opType === "Dropout" ? 1 : 2];
    if (!ratio) continue;
    const zero = GraphTensor.scalar(DataType.float, 0);
    if (ratio.producer !== null) ratio.producer.attributes.set("value", attribute.tensor("value", zero));
    else ratio.tensor = zero;
  }
  return artifacts;
}

interface Subject {
  readonly name: string;
  readonly artifacts: () => Promise<TrainingArtifacts>;
  readonly feeds: (step: number) => Promise<NamedTensors>;
}

const SUBJECTS: readonly Subject[] = [
  {
    name: "digits (Conv, MaxPool, Gemm)",
    artifacts: () => readArtifacts(DIGITS),
    feeds: async (step) => classified(step, [4, 1, 16, 16], 10),
  },
  {
    name: "MLP",
    artifacts: async () => makeMlpArtifacts([12, 16, 5]),
    feeds: async (step) => classified(step, [8, 12], 5),
  },
  ...(hasShared
    ? [
        {
          name: "conv-l1",
          artifacts: () => readArtifacts(`${SHARED}artifacts/conv-l1`),
          feeds: async () =>
            Object.fromEntries(
              (await readDataFile(`${SHARED}artifacts/conv-l1/batch.safetensors`)).map(({ name, tensor }) => [
                name,
                toOrtTensor(tensor, name),
              ]),
            ),
        },
        {
          name: "transformer-lora, Dropout at 0",
          artifacts: async () => withoutDropout(await readArtifacts(`${SHARED}artifacts/transformer-lora`)),
          feeds: async (step: number) => classified(step, [4, 32], 2),
        },
      ]
    : []),
];

async function losses(
  { artifacts, feeds }: Subject,
  agr: boolean,
  runtime: "ort-node" | "ort-training",
): Promise<number[]> {
  const set = await artifacts();
  if (agr && set.optimizerModel !== null) {
    insertAgr(set.optimizerModel, { parameters: trainableParameters(set) ?? [] });
  }
  const session = await TrainingSession.create(set, { runtime, learningRate: 0.01 });
  const result: number[] = [];
  for (let step = 0; step < 10; step++) result.push(...(await session.trainSteps([await feeds(step)])));
  await session.release();
  return result;
}

describe("ten steps of the lowered artifacts have the losses of ONNX Runtime's training API", () => {
  for (const subject of SUBJECTS) {
    it.each([false, true])(`${subject.name}, AGR %s`, async (agr) => {
      const expected = await losses(subject, agr, "ort-training");
      const actual = await losses(subject, agr, "ort-node");
      for (const [index, loss] of expected.entries()) {
        expect(Math.abs((actual[index] ?? Number.NaN) - loss) / Math.abs(loss), `step ${index}`).toBeLessThan(2e-5);
      }
      expect(new Set(expected).size).toBe(10);
    });
  }
});

describe("the portable set", () => {
  it("is the same bytes each time, needs no operators but ONNX's, and nothing is left to lower", async () => {
    const artifacts = await readArtifacts(DIGITS);
    const before = encodeModel(artifacts.trainingModel as Model);
    const [first, second] = [await lowerArtifacts(artifacts), await lowerArtifacts(artifacts)];
    expect(encodeModel(artifacts.trainingModel as Model)).toEqual(before);
    for (const kind of ["trainStep", "gradients", "apply", "evalModel"] as const) {
      const [model, again] = [first[kind], second[kind]];
      if (model === null || again === null) throw new Error(`no ${kind}`);
      const bytes = encodeModel(model);
      expect(encodeModel(again)).toEqual(bytes);
      const decoded = decodeModel(bytes);
      checkModel(decoded);
      expect([...decoded.opsets.keys()]).toEqual([""]);
      expect(lowerTrainingOps(decoded).changed).toBe(0);
      expect(encodeModel(decoded)).toEqual(bytes);
    }
  });

  it("takes AGR at the edge between gradients and optimizer, and gives it back", async () => {
    const artifacts = await readArtifacts(DIGITS);
    const { trainStep, apply } = await lowerArtifacts(artifacts);
    for (const model of [trainStep, apply]) {
      if (model === null) throw new Error("no model");
      const bytes = encodeModel(model);
      const decoded = decodeModel(bytes);
      const report = insertAgr(decoded);
      expect(report.changed).toBeGreaterThan(0);
      expect(insertAgr(decoded).changed).toBe(0);
      expect(decoded.graph.nodes.filter(({ opType }) => opType === "AGR")).toHaveLength(6);
      stripAgr(decoded);
      expect(encodeModel(decoded)).toEqual(bytes);
    }
  });

  it("names all state by parameter, transform and slot", async () => {
    const { trainStep } = await lowerArtifacts(await readArtifacts(DIGITS));
    const plan = readPlan(trainStep as Model, "train_step");
    expect(plan.state.filter(({ kind }) => kind === "slot").map(({ name }) => name)).toContain(
      "conv1.weight/adamw/momentum0",
    );
    expect(plan.inputs).toEqual(["input", "labels"]);
    expect(plan.outputs).toEqual(["loss"]);
  });

  it("golden text of a step", async () => {
    const { trainModel, optimizerModel, evalModel, checkpointState } = makeLinearArtifacts(
      [{ name: "w", shape: [2, 3] }],
      { algorithm: "SGDOptimizerV2" },
    );
    const training = decodeModel(trainModel as Uint8Array);
    const before = printModel(training);
    const { trainStep, gradients } = await lowerArtifacts({
      trainingModel: training,
      evalModel: decodeModel(evalModel as Uint8Array),
      optimizerModel: decodeModel(optimizerModel as Uint8Array),
      checkpoint: checkpointState as Uint8Array,
    });
    for (const [name, model] of [
      ["train-step", trainStep],
      ["gradients", gradients],
    ] as const) {
      await expect(`${before}@@@\n${printModel(model as Model)}`).toMatchFileSnapshot(
        `../../fixtures/passes/portable/${name}.txt`,
      );
    }
  });
});

it("several steps in one call are the steps one by one, bit for bit", async () => {
  const [, mlp] = SUBJECTS;
  if (mlp === undefined) throw new Error("no subject");
  const set = await mlp.artifacts();
  if (set.optimizerModel !== null) insertAgr(set.optimizerModel, { parameters: trainableParameters(set) ?? [] });
  const batches = await Promise.all(Array.from({ length: 6 }, (_, step) => mlp.feeds(step)));
  const rates = batches.map((_, step) => 0.01 / (step + 1));
  const one = await TrainingSession.create(set, { runtime: "ort-node" });
  const many = await TrainingSession.create(set, { runtime: "ort-node", stepsPerCall: 3 });
  const expected = [];
  for (const [index, feeds] of batches.entries())
    expected.push(...(await one.trainSteps([feeds], rates.slice(index, index + 1))));
  const actual = [
    ...(await many.trainSteps(batches.slice(0, 3), rates.slice(0, 3))),
    ...(await many.trainSteps(batches.slice(3), rates.slice(3))),
  ];
  expect(actual).toEqual(expected);
  const [a, b] = [await one.getState(), await many.getState()];
  expect([...b.tensors.keys()]).toEqual([...a.tensors.keys()]);
  for (const [name, tensor] of a.tensors) expect(b.tensors.get(name)?.values(), name).toEqual(tensor.values());
  expect([one.steps, many.steps]).toEqual([6, 6]);
  await one.release();
  await many.release();
});

it.skipIf(!hasShared)("the reference losses of conv-l1 are met", async () => {
  const expected = JSON.parse(readFileSync(`${SHARED}artifacts/conv-l1/expected-losses.json`, "utf8")) as {
    plain: number[];
    agr: number[];
  };
  const subject = SUBJECTS.find(({ name }) => name === "conv-l1") as Subject;
  for (const [agr, reference] of [
    [false, expected.plain],
    [true, expected.agr],
  ] as const) {
    const set = await subject.artifacts();
    if (agr && set.optimizerModel !== null)
      insertAgr(set.optimizerModel, { parameters: trainableParameters(set) ?? [] });
    const session = await TrainingSession.create(set, { runtime: "ort-node" });
    for (const loss of reference) {
      const [actual = Number.NaN] = await session.trainSteps([await subject.feeds(0)]);
      expect(Math.abs(actual - loss) / loss).toBeLessThan(2e-6);
    }
    await session.release();
  }
});
