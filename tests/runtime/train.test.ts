import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { DataType, GraphTensor, type GraphTensor as GraphTensorType } from "../../src/entries/graph.ts";
import { planTraining } from "../../src/entries/run.ts";
import {
  datasetFor,
  insertAgr,
  readArtifacts,
  readDataFile,
  type StepEvent,
  type TrainEvent,
  TrainingSession,
  type TrainOptions,
  train,
  trainableParameters,
} from "../../src/index.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { hasShared, SHARED } from "../support/shared.ts";

const DIGITS = new URL("../../fixtures/digits", import.meta.url).pathname;

const digits = (count: number): { name: string; tensor: GraphTensorType }[] => [
  {
    name: "input",
    tensor: GraphTensor.from(
      DataType.float,
      [count, 1, 16, 16],
      Float32Array.from({ length: count * 256 }, (_, index) => Math.sin(index)),
    ),
  },
  {
    name: "labels",
    tensor: GraphTensor.from(
      DataType.int64,
      [count],
      BigInt64Array.from({ length: count }, (_, index) => BigInt(index % 10)),
    ),
  },
];

async function run(options: TrainOptions, samples = 20): Promise<TrainEvent[]> {
  const session = await TrainingSession.create(await readArtifacts(DIGITS));
  const events: TrainEvent[] = [];
  for await (const event of train(session, datasetFor(session.trainingInputs, digits(samples)), options))
    events.push(event);
  await session.release();
  return events;
}

const losses = (events: readonly TrainEvent[]): number[] =>
  events.filter((event): event is StepEvent => event.type === "step").map(({ loss }) => loss);

describe("train", () => {
  it("yields every step and every epoch", async () => {
    const events = await run({ epochs: 2, batchSize: 8, learningRate: (step) => step / 10 });
    expect(events.map(({ type }) => type)).toEqual(["step", "step", "step", "epoch", "step", "step", "step", "epoch"]);
    expect(
      events
        .filter((event) => event.type === "step")
        .map(({ step, epoch, samples, learningRate }) => [step, epoch, samples, learningRate]),
    ).toEqual([
      [1, 0, 8, 0.1],
      [2, 0, 8, 0.2],
      [3, 0, 4, 0.3],
      [4, 1, 8, 0.4],
      [5, 1, 8, 0.5],
      [6, 1, 4, 0.6],
    ]);
    const [a = 0, b = 0, c = 0] = losses(events);
    expect(events[3]).toMatchObject({ type: "epoch", epoch: 0, steps: 3 });
    expect((events[3] as { loss: number }).loss).toBeCloseTo((8 * a + 8 * b + 4 * c) / 20, 12);
  });

  it("gives the same losses for the same seed, others for another", async () => {
    const first = losses(await run({ batchSize: 5, seed: 3, epochs: 2 }));
    expect(losses(await run({ batchSize: 5, seed: 3, epochs: 2 }))).toEqual(first);
    expect(losses(await run({ batchSize: 5, seed: 4, epochs: 2 }))).not.toEqual(first);
  });

  it("leaves the event loop its turns", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await run({ batchSize: 1, epochs: 3 });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  it("stops after the step under way when it is told to", async () => {
    const controller = new AbortController();
    const session = await TrainingSession.create(await readArtifacts(DIGITS));
    let steps = 0;
    for await (const event of train(session, datasetFor(session.trainingInputs, digits(20)), {
      batchSize: 4,
      signal: controller.signal,
    })) {
      if (event.type === "step" && ++steps === 2) controller.abort();
    }
    await session.release();
    expect(steps).toBe(2);
  });

  it("ends with the step's number where the loss is no number, before the parameters take it over", async () => {
    const parameters = [{ name: "w", shape: [2] }];
    const session = await TrainingSession.create(makeLinearArtifacts(parameters, { algorithm: "SGDOptimizerV2" }), {
      learningRate: 1,
    });
    const samples = GraphTensor.floats([6], [1, 1, 3e38, 3e38, 3e38, 3e38]);
    const dataset = datasetFor(session.trainingInputs, [{ name: "x_w", tensor: samples }]);
    const seen: number[] = [];
    const error = await rejectionOf(
      (async () => {
        for await (const event of train(session, dataset, { shuffle: false }))
          if (event.type === "step") seen.push(event.loss);
      })(),
    );
    expect([error.code, error.exitCode]).toEqual(["E_NOT_FINITE", 7]);
    expect(error.message).toBe(
      "the loss is -Infinity at step 2 (epoch 0); the parameters were not updated with it; the parameters and the batch are finite",
    );
    expect([...((await session.getContiguousParameters()).data as Float32Array)].every(Number.isFinite)).toBe(true);
    await session.release();
    expect(seen).toHaveLength(1);
  });
});

describe("the learning rate of an event", () => {
  const linear = () => makeLinearArtifacts([{ name: "w", shape: [2] }], { algorithm: "SGDOptimizerV2" });
  const data = [{ name: "x_w", tensor: GraphTensor.floats([6], [1, 2, 3, 4, 5, 6]) }];
  const schedule = { rate: 1, warmupSteps: 2 } as const;

  it.each([
    ["ort-node", 0.05, {}, [0.05, 0.05, 0.05]],
    ["ort-node", schedule, { accumulate: 1 }, [0, 0.5, 1]],
    ["ort-node", schedule, { accumulate: 2 }, [0, 0.5]],
    ["ort-training", schedule, {}, [0, 0.5, 1]],
    ["ort-training", undefined, {}, [0.001, 0.001, 0.001]],
    ["ort-node", 0.05, { learningRate: (step: number) => step }, [1, 2, 3]],
  ] as const)("is what the update was done with: %s, %j, %j", async (runtime, learningRate, options, expected) => {
    const session = await TrainingSession.create(linear(), {
      runtime,
      ...(learningRate === undefined ? {} : { learningRate }),
    });
    const rates: number[] = [];
    const before: number[] = [];
    for await (const event of train(session, datasetFor(session.trainingInputs, data), {
      ...options,
      shuffle: false,
    })) {
      if (event.type !== "step") continue;
      rates.push(event.learningRate);
      before.push((await session.getContiguousParameters()).data[0] as number);
    }
    await session.release();
    expect(rates).toEqual(expected);
    /** The loss is linear in w: an update with rate 0 leaves it, any other moves it. */
    expect(before[0] === 0).toBe(expected[0] === 0);
  });

  it("is not taken by a session that cannot set it", async () => {
    const session = await TrainingSession.create(linear(), { runtime: "ort-training" });
    expect(session.can.setLearningRate).toBe(false);
    const events = train(session, datasetFor(session.trainingInputs, data), { learningRate: () => 1 });
    const error = await rejectionOf(events.next());
    expect([error.code, error.exitCode, error.field]).toEqual(["E_OPTION", 2, "learningRate"]);
    await session.release();
  });
});

describe.skipIf(!hasShared)("losses of ONNX Runtime's training API (conv-l1)", () => {
  const folder = `${SHARED}artifacts/conv-l1`;
  const expected = JSON.parse(hasShared ? readFileSync(`${folder}/expected-losses.json`, "utf8") : "{}") as {
    plain: number[];
    agr: number[];
  };

  it.each([
    ["as exported", "plain", null],
    ["AGR as functions", "agr", {}],
    ["AGR inline", "agr", { form: "inline" }],
    ["AGR in a SequenceMap", "agr", { map: true }],
  ] as const)("%s", async (_, key, options) => {
    const artifacts = await readArtifacts(folder);
    if (options !== null && artifacts.optimizerModel !== null) {
      const { map = false, ...rest } = options as { map?: boolean; form?: "inline" };
      insertAgr(artifacts.optimizerModel, map ? {} : { ...rest, parameters: trainableParameters(artifacts) ?? [] });
    }
    const session = await TrainingSession.create(artifacts, { learningRate: 0.001 });
    const dataset = datasetFor(session.trainingInputs, await readDataFile(`${folder}/batch.safetensors`));
    const actual: number[] = [];
    for await (const event of train(session, dataset, { epochs: 10, shuffle: false }))
      if (event.type === "step") actual.push(event.loss);
    await session.release();
    expect(actual).toHaveLength(10);
    for (const [index, loss] of actual.entries()) {
      const reference = expected[key][index] ?? Number.NaN;
      expect(Math.abs(loss - reference) / reference).toBeLessThan(5e-6);
    }
  });
});

describe("planTraining", () => {
  const fixed = [{ name: "x", dtype: DataType.float, shape: [4, 2] }];
  const free = [{ name: "x", dtype: DataType.float, shape: ["N", 2] }];
  const data = (size: number) => ({ size, tensors: [] });

  it("takes the batch size from the model where it is fixed, else from the options or 32", () => {
    expect(planTraining(fixed, data(8)).batchSize).toBe(4);
    expect(planTraining(free, data(64))).toMatchObject({ batchSize: 32, stepsPerEpoch: 2, totalSteps: 2 });
    expect(planTraining(free, data(10), { batchSize: 4, epochs: 3 })).toMatchObject({
      stepsPerEpoch: 3,
      totalSteps: 9,
    });
    expect(planTraining(free, data(10), { batchSize: 4, dropLast: true }).stepsPerEpoch).toBe(2);
  });

  it("row 63: refuses what cannot be batched", () => {
    expect(errorOf(() => planTraining(fixed, data(8), { batchSize: 2 })).message).toBe(
      "the model takes batches of exactly 4 samples, not 2",
    );
    const partial = errorOf(() => planTraining(fixed, data(10)));
    expect([partial.exitCode, partial.hint]).toEqual([5, expect.stringContaining("--drop-last")]);
    expect(planTraining(fixed, data(10), { dropLast: true }).stepsPerEpoch).toBe(2);
    expect(errorOf(() => planTraining(fixed, data(3), { dropLast: true })).code).toBe("E_BATCH");
    for (const options of [{ epochs: 0 }, { batchSize: 1.5 }, { seed: Number.NaN }]) {
      expect(errorOf(() => planTraining(free, data(10), options)).exitCode).toBe(2);
    }
  });
});
