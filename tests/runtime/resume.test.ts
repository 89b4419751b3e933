import { describe, expect, it } from "vitest";
import { makeMlpArtifacts } from "../../fixtures/mlp.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { decodeState, encodeState, type TrainingState } from "../../src/entries/training.ts";
import {
  type Dataset,
  datasetFor,
  insertAgr,
  type NamedTensors,
  readArtifacts,
  type StepEvent,
  Tensor,
  type TrainingArtifacts,
  TrainingSession,
  type TrainOptions,
  type TrainPosition,
  train,
  trainableParameters,
} from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";

const SAMPLES = 26;

const images = (dims: readonly number[]) => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return [
    {
      name: "input",
      tensor: GraphTensor.from(
        DataType.float,
        [SAMPLES, ...dims],
        Float32Array.from({ length: SAMPLES * size }, (_, index) => Math.sin(index * 1.7)),
      ),
    },
    {
      name: "labels",
      tensor: GraphTensor.from(
        DataType.int64,
        [SAMPLES],
        BigInt64Array.from({ length: SAMPLES }, (_, index) => BigInt(index % 4)),
      ),
    },
  ];
};

async function withAgr(make: () => TrainingArtifacts | Promise<TrainingArtifacts>): Promise<TrainingArtifacts> {
  const artifacts = await make();
  const { optimizerModel } = artifacts;
  if (optimizerModel !== null) insertAgr(optimizerModel, { parameters: trainableParameters(artifacts) ?? [] });
  return artifacts;
}

interface Run {
  readonly losses: readonly number[];
  readonly epochs: readonly number[];
  readonly state: TrainingState;
  /** How many steps each call did. */
  readonly calls: readonly number[];
  /** What was saved after each number of updates. */
  readonly saved: ReadonlyMap<number, { readonly bytes: Uint8Array; readonly position: TrainPosition }>;
}

async function runTraining(
  artifacts: TrainingArtifacts,
  dims: readonly number[],
  options: TrainOptions & { readonly stepsPerCall: number | "auto"; readonly resumed?: Uint8Array },
): Promise<Run> {
  const { stepsPerCall, resumed, ...rest } = options;
  const session = await TrainingSession.create(artifacts, { runtime: "ort-node", stepsPerCall });
  if (resumed !== undefined) await session.loadState(decodeState(resumed));
  const calls: number[] = [];
  const trainSteps = session.trainSteps.bind(session);
  session.trainSteps = (batches, rates) => {
    calls.push(batches.length);
    return trainSteps(batches, rates);
  };
  const dataset: Dataset = datasetFor(session.trainingInputs, images(dims));
  const saved = new Map<number, { bytes: Uint8Array; position: TrainPosition }>();
  const save = async (position: TrainPosition): Promise<void> => {
    saved.set(session.steps, { bytes: encodeState(await session.getState()), position });
  };
  const steps: StepEvent[] = [];
  const epochs: number[] = [];
  for await (const event of train(session, dataset, { ...rest, save })) {
    if (event.type === "step") steps.push(event);
    if (event.type === "epoch") epochs.push(event.loss);
  }
  const state = await session.getState();
  await session.release();
  return { losses: steps.map(({ loss }) => loss), epochs, state, calls, saved };
}

const SUBJECTS = [
  { name: "MLP", dims: [6], epochs: 40, artifacts: () => makeMlpArtifacts([6, 8, 4]) },
  { name: "conv net", dims: [1, 16, 16], epochs: 8, artifacts: () => readArtifacts(DIGITS) },
] as const;

it("a state that was given out is what it was, whatever the session does then", async () => {
  const session = await TrainingSession.create(makeMlpArtifacts([12, 16, 5]), { runtime: "ort-node" });
  const batch = (seed: number): NamedTensors => ({
    input: new Tensor(
      "float32",
      Float32Array.from({ length: 24 }, (_, index) => Math.sin(seed + index)),
      [2, 12],
    ),
    labels: new Tensor("int64", BigInt64Array.of(1n, 3n), [2]),
  });
  const states: { readonly state: TrainingState; readonly bytes: Uint8Array }[] = [];
  for (let step = 0; step < 4; step++) {
    const state = await session.getState();
    states.push({ state, bytes: encodeState(state) });
    await session.trainSteps([batch(step)]);
    await session.trainSteps([batch(-step)]);
  }
  for (const { state, bytes } of states) expect(encodeState(state)).toEqual(bytes);
  const texts = states.map(({ bytes }) => Buffer.from(bytes).toString("base64"));
  expect(new Set(texts).size).toBe(4);
  await session.loadState(states[0]?.state as TrainingState);
  await session.trainSteps([batch(0)]);
  await session.trainSteps([batch(-0)]);
  expect(encodeState(await session.getState())).toEqual(states[1]?.bytes);
  await session.release();
});

describe("row 55: a run that was cut off and resumed is the unbroken run, bit for bit", () => {
  for (const { name, dims, artifacts } of SUBJECTS) {
    it.each([
      { accumulate: 1, stepsPerCall: 1 },
      { accumulate: 1, stepsPerCall: 4 },
      { accumulate: 2, stepsPerCall: 1 },
    ] as const)(`${name}, accumulating $accumulate, $stepsPerCall per call`, async ({ accumulate, stepsPerCall }) => {
      const made = await withAgr(artifacts);
      const options = { epochs: 2, batchSize: 4, seed: 5, accumulate, stepsPerCall } as const;
      const learningRate = (step: number): number => 0.02 / step;
      const whole = await runTraining(made, dims, { ...options, learningRate, saveEvery: 1 });
      const perEpoch = Math.ceil(Math.ceil(SAMPLES / 4) / accumulate);
      expect(whole.losses).toHaveLength(2 * perEpoch);
      for (const cut of [1, Math.ceil(perEpoch / 2), perEpoch, perEpoch + 1, 2 * perEpoch]) {
        const at = whole.saved.get(cut);
        if (at === undefined) throw new Error(`nothing was saved after ${cut} steps`);
        const rest = await runTraining(made, dims, { ...options, learningRate, from: at.position, resumed: at.bytes });
        expect(rest.losses, `cut at ${cut}`).toEqual(whole.losses.slice(cut));
        expect(rest.epochs).toEqual(whole.epochs.slice(-rest.epochs.length || whole.epochs.length));
        expect(encodeState(rest.state)).toEqual(encodeState(whole.state));
      }
    });
  }

  for (const { name, dims, artifacts, epochs } of SUBJECTS) {
    it(`${name}, whatever number of steps a call has, cut where it may be`, async () => {
      const made = await withAgr(artifacts);
      const options = { epochs, batchSize: 4, seed: 5, learningRate: (step: number) => 0.02 / step } as const;
      const whole = await runTraining(made, dims, { ...options, stepsPerCall: 1, saveEvery: 37 });
      const auto = await runTraining(made, dims, { ...options, stepsPerCall: "auto" });
      expect(Math.max(...whole.calls)).toBe(1);
      if (epochs > 20) expect(Math.max(...auto.calls)).toBeGreaterThan(1);
      expect(auto.losses).toEqual(whole.losses);
      expect(encodeState(auto.state)).toEqual(encodeState(whole.state));
      for (const [cut, { bytes, position }] of whole.saved) {
        const rest = await runTraining(made, dims, {
          ...options,
          stepsPerCall: "auto",
          from: position,
          resumed: bytes,
        });
        expect(rest.losses, `cut at ${cut}`).toEqual(whole.losses.slice(cut));
        expect(encodeState(rest.state)).toEqual(encodeState(whole.state));
      }
    });
  }

  it("from the beginning too, before any step", async () => {
    const made = await withAgr(() => makeMlpArtifacts([6, 8, 4]));
    const options = { epochs: 1, batchSize: 4, seed: 5, stepsPerCall: 1 } as const;
    const session = await TrainingSession.create(made, { runtime: "ort-node" });
    const bytes = encodeState(await session.getState());
    await session.release();
    const whole = await runTraining(made, [6], options);
    const from = { epoch: 0, batch: 0, lossSum: 0, samples: 0 };
    const rest = await runTraining(made, [6], { ...options, from, resumed: bytes });
    expect(rest.losses).toEqual(whole.losses);
    expect(encodeState(rest.state)).toEqual(encodeState(whole.state));
  });
});

it("an ONNX Runtime checkpoint carries the optimizer's state over", async () => {
  const made = makeMlpArtifacts([6, 8, 4]);
  const session = await TrainingSession.create(made, { runtime: "ort-node" });
  const feeds = datasetFor(session.trainingInputs, images([6]));
  for await (const _ of train(session, feeds, { batchSize: 13 })) void _;
  const checkpoint = await session.saveCheckpoint();
  const before = await session.getState();
  await session.release();
  const other = await TrainingSession.create({ ...made, checkpoint }, { runtime: "ort-node" });
  const after = await other.getState();
  await other.release();
  expect(after.step).toBe(2);
  for (const [name, tensor] of before.tensors) expect(after.tensors.get(name)?.values(), name).toEqual(tensor.values());
});
