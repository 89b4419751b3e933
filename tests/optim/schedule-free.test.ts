import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { decodeState, encodeState } from "../../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  type Model,
  type PortableArtifacts,
  Tensor,
  TrainingSession,
} from "../../src/index.ts";

const [ROWS, COLUMNS] = [6, 3];
const wave = (size: number, seed: number): number[] =>
  Array.from({ length: size }, (_, index) => Math.fround(Math.sin(seed * 31 + index * 12.9898)));
const START = wave(COLUMNS, 1);
const SAMPLES = wave(ROWS * COLUMNS, 2);
const TARGETS = wave(ROWS, 3);
/** A warm-up from zero, then a decay. */
const RATES = [0, 0.02, 0.05, 0.05, 0.03, 0.01].map(Math.fround);
const [BETA1, BETA2, EPSILON, DECAY] = [0.9, 0.999, 1e-8, 0.1];

/** scores = x w */
function network(): Model {
  const sketch = new Sketch("regression");
  sketch.input("x", float([ROWS, COLUMNS]));
  sketch.initializer("w", GraphTensor.from(DataType.float, [COLUMNS, 1], Float32Array.from(START)));
  sketch.node("MatMul", ["x", "w"], ["scores"]);
  sketch.output("scores", float([ROWS, 1]));
  return model(sketch.graph, 8, [["", 17]]);
}

const feeds = {
  x: new Tensor("float32", Float32Array.from(SAMPLES), [ROWS, COLUMNS]),
  target: new Tensor("float32", Float32Array.from(TARGETS), [ROWS, 1]),
};

async function artifacts(): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(network(), {
    loss: { kind: "mse" },
    optimizer: { name: "schedule-free-adamw", weightDecay: DECAY },
    targets: ["portable"],
  });
  if (portable === null) throw new Error("no portable set");
  return portable;
}

const residuals = (w: readonly number[]): number[] =>
  TARGETS.map((target, row) => w.reduce((sum, each, at) => sum + each * (SAMPLES[row * COLUMNS + at] ?? 0), -target));
const lossAt = (w: readonly number[]): number => residuals(w).reduce((sum, each) => sum + each * each, 0) / ROWS;
const gradientAt = (w: readonly number[]): number[] => {
  const rest = residuals(w);
  return w.map((_, at) =>
    rest.reduce((sum, each, row) => sum + (2 / ROWS) * each * (SAMPLES[row * COLUMNS + at] ?? 0), 0),
  );
};

/** Algorithm 1 of the paper in float64, with its three sequences: x after each step, and the losses at y. */
function reference(): { readonly parameters: number[][]; readonly losses: number[] } {
  let [x, z, v] = [START, START, START.map(() => 0)];
  let weights = 0;
  const [parameters, losses]: [number[][], number[]] = [[], []];
  for (const [index, rate] of RATES.entries()) {
    const y = x.map((each, at) => BETA1 * each + (1 - BETA1) * (z[at] ?? 0));
    const g = gradientAt(y);
    losses.push(lossAt(y));
    v = v.map((each, at) => BETA2 * each + (1 - BETA2) * (g[at] ?? 0) ** 2);
    const size = v.map((each) => Math.sqrt(each / (1 - BETA2 ** (index + 1))) + EPSILON);
    z = z.map((each, at) => each - rate * ((g[at] ?? 0) / (size[at] ?? 1) + DECAY * (y[at] ?? 0)));
    weights += rate ** 2;
    const c = weights === 0 ? 0 : rate ** 2 / weights;
    x = x.map((each, at) => (1 - c) * each + c * (z[at] ?? 0));
    parameters.push(x);
  }
  return { parameters, losses };
}

const held = async (session: TrainingSession): Promise<number[]> =>
  Array.from((await session.getState()).tensors.get("w")?.values() ?? [], Number);

/** Six steps in float32, with bias corrections that are off by 1e-5 at the first. */
const TOLERANCE = 3e-6;

describe("Schedule-Free AdamW", () => {
  it("takes gradients at y, and evaluates and saves x: in whole steps and in halves", async () => {
    const { parameters, losses } = reference();
    const set = await artifacts();
    const [whole, halves] = [await TrainingSession.create(set), await TrainingSession.create(set)];
    for (const [step, rate] of RATES.entries()) {
      const [loss = Number.NaN] = await whole.trainSteps([feeds], [rate]);
      expect(Math.abs(loss - (losses[step] ?? 0))).toBeLessThan(TOLERANCE);
      await halves.setLearningRate(rate);
      await halves.lazyResetGrad();
      const outputs = await halves.runTrainStep(feeds);
      expect(Math.abs(Number(Object.values(outputs)[0]?.data[0]) - loss)).toBeLessThan(TOLERANCE);
      await halves.runOptimizerStep();
      const expected = parameters[step] ?? [];
      for (const session of [whole, halves]) {
        const w = await held(session);
        for (const [at, value] of expected.entries()) expect(Math.abs((w[at] ?? 0) - value)).toBeLessThan(TOLERANCE);
        const evaluated = Number(Object.values(await session.runEvalStep(feeds))[0]?.data[0]);
        expect(Math.abs(evaluated - lossAt(expected))).toBeLessThan(TOLERANCE);
      }
    }
    // At y and at x the losses differ by far more than the tolerance.
    const differs = losses.some((loss, step) => step > 0 && Math.abs(loss - lossAt(parameters[step - 1] ?? [])) > 1e-4);
    expect(differs).toBe(true);
    await whole.release();
    await halves.release();
  });

  it("goes on bit for bit from a saved state and from a checkpoint", async () => {
    const set = await artifacts();
    const whole = await TrainingSession.create(set);
    const batches = RATES.map(() => feeds);
    await whole.trainSteps(batches, RATES);
    const first = await TrainingSession.create(set);
    await first.trainSteps(batches.slice(0, 3), RATES.slice(0, 3));
    const state = decodeState(encodeState(await first.getState()));
    expect([...state.tensors].map(([name, { dims }]) => [name, dims])).toEqual([
      ["w", [COLUMNS, 1]],
      ["w/schedule_free/momentum1", [COLUMNS, 1]],
      ["w/schedule_free/offset", [COLUMNS, 1]],
      ["w/schedule_free/weight_sum", []],
    ]);
    const later = await TrainingSession.create({ ...set, state });
    await later.trainSteps(batches.slice(3), RATES.slice(3));
    expect(await held(later)).toEqual(await held(whole));
    for (const session of [whole, first, later]) await session.release();
  });
});
