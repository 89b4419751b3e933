import { describe, expect, it } from "vitest";
import { GraphTensor } from "../../../src/entries/graph.ts";
import { batches, loadOrtNode, planTraining } from "../../../src/entries/run.ts";
import { encodeState } from "../../../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  datasetFor,
  type PortableArtifacts,
  type StatisticsEvent,
  TrainingSession,
  type TrainingSessionOptions,
  type TrainOptions,
  train,
} from "../../../src/index.ts";
import { gradientStatistics } from "../../../src/runtime/statistics/gradient-statistics.ts";
import { HistogramCounter } from "../../../src/runtime/statistics/histogram.ts";
import { rejectionOf } from "../../support/errors.ts";
import { normalizedNet } from "../../support/small-net.ts";

const SAMPLES = 50;
const WORKER = new URL("../../../dist/chunks/onnx-agr-worker.js", import.meta.url);
const TRAINING: TrainOptions = { batchSize: 8, epochs: 2, seed: 4 };

const data = [
  {
    name: "input",
    tensor: GraphTensor.floats(
      [SAMPLES, 12],
      Array.from({ length: SAMPLES * 12 }, (_, index) => Math.sin(index * 12.9898)),
    ),
  },
  {
    name: "labels",
    tensor: GraphTensor.from(
      7,
      [SAMPLES],
      BigInt64Array.from({ length: SAMPLES }, (_, index) => BigInt(index % 4)),
    ),
  },
];

/** With running statistics, which a second look at a batch must leave as they are. */
async function portableOf(): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(normalizedNet(), {
    loss: { kind: "cross-entropy" },
    optimizer: { name: "adamw" },
    agr: {},
    targets: ["portable"],
  });
  if (portable === null) throw new Error("no portable set was built");
  return portable;
}

async function run(options: TrainOptions, sessionOptions: TrainingSessionOptions = {}) {
  const session = await TrainingSession.create(await portableOf(), {
    threads: 1,
    learningRate: 0.01,
    ...sessionOptions,
  });
  try {
    const losses: number[] = [];
    const statistics: StatisticsEvent[] = [];
    const types: string[] = [];
    for await (const event of train(session, datasetFor(session.trainingInputs, data), { ...TRAINING, ...options })) {
      types.push(event.type);
      if (event.type === "step") losses.push(event.loss);
      if (event.type === "statistics") statistics.push(event);
    }
    return { losses, statistics, types, state: encodeState(await session.getState()) };
  } finally {
    await session.release();
  }
}

const ORT = await loadOrtNode();

describe("train with statistics", () => {
  it.each([
    ["one step per call", {}, { stepsPerCall: 1 }],
    ["several steps per call", {}, { stepsPerCall: 4 }],
    ["gradients that are accumulated", { accumulate: 2 }, {}],
    ["a session in a thread", {}, { isolation: "thread", worker: WORKER }],
    ["through the binding", {}, { ort: ORT }],
  ] as const)("changes no bit of losses and state: %s", async (_, options, sessionOptions) => {
    const plain = await run(options, sessionOptions);
    const told = await run({ ...options, statistics: { every: 3 } }, sessionOptions);
    expect(told.losses).toEqual(plain.losses);
    expect(Buffer.from(told.state).equals(Buffer.from(plain.state))).toBe(true);
    const due = told.losses.map((_, at) => at + 1).filter((step) => step === 1 || step % 3 === 0);
    expect(told.statistics.map(({ step }) => step)).toEqual(due);
    for (const [at, type] of told.types.entries()) if (type === "statistics") expect(told.types[at - 1]).toBe("step");
  });

  it("tells of the gradients that the update is made with", async () => {
    const { statistics } = await run({ statistics: { every: 5 } }, { stepsPerCall: 2 });
    const session = await TrainingSession.create(await portableOf(), { threads: 1, learningRate: 0.01 });
    const dataset = datasetFor(session.trainingInputs, data);
    const plan = planTraining(session.trainingInputs, dataset, TRAINING);
    const all = [...batches(dataset, 0, plan), ...batches(dataset, 1, plan)];
    await session.trainSteps(all.slice(0, 4));
    await session.lazyResetGrad();
    await session.runTrainStep(all[4] ?? {});
    const gradients = await session.getGradients();
    await session.release();
    const event = statistics.find(({ step }) => step === 5);
    expect(event?.parameters.map(({ parameter }) => parameter).sort()).toEqual(Object.keys(gradients).sort());
    let squares = 0;
    for (const told of event?.parameters ?? []) {
      const values = Array.from((gradients[told.parameter]?.data ?? []) as Float32Array);
      const sum = values.reduce((total, value) => total + Math.abs(value), 0);
      const norm = Math.hypot(...values);
      squares += norm ** 2;
      const taken = Math.hypot(...values.map((value) => (value * Math.abs(value)) / sum));
      // Sums in float64 on both sides, in another order.
      expect(told.norm / norm).toBeCloseTo(1, 12);
      expect(told.largestAlpha).toBeCloseTo(Math.max(...values.map(Math.abs)) / sum, 12);
      expect(told.change / (taken / norm)).toBeCloseTo(1, 12);
      expect([told.gradient.count, told.alpha.count]).toEqual([values.length, values.length]);
      expect(told.alpha.sum).toBeCloseTo(1, 6);
    }
    expect((event?.gradientNorm ?? 0) / Math.sqrt(squares)).toBeCloseTo(1, 12);
  });

  it("is refused where there are no gradients to look at, and every is no number of steps", async () => {
    const session = await TrainingSession.create(await portableOf());
    const dataset = datasetFor(session.trainingInputs, data);
    const wrong = await rejectionOf(train(session, dataset, { statistics: { every: 0 } }).next());
    expect([wrong.code, wrong.field]).toEqual(["E_OPTION", "statistics.every"]);
    await session.release();
  });
});

describe("gradientStatistics", () => {
  const tensor = (values: readonly number[], dims: readonly number[]) => GraphTensor.floats(dims, values);
  const [a, b] = [
    [1, -2, 3, 0, 0, 4],
    [10, -10],
  ];
  const gradients = {
    a: { ...tensor(a ?? [], [2, 3]), data: Float32Array.from(a ?? []), dims: [2, 3] },
    b: { ...tensor(b ?? [], [2]), data: Float32Array.from(b ?? []), dims: [2] },
  } as never;

  it.each([
    ["tensor", 4 / 10, 10 / 20],
    ["channel", 4 / 4, 10 / 10],
    ["global", 4 / 30, 10 / 30],
  ] as const)("alpha is the share of |g| in its sum over the scope %s", (scope, first, second) => {
    const [of, other] = gradientStatistics(gradients, { scope });
    expect([of?.largestAlpha, other?.largestAlpha]).toEqual([first, second]);
    expect([of?.norm, of?.sum, of?.nonZero, of?.largest]).toEqual([Math.sqrt(30), 10, 4, 4]);
  });

  it("what AGR changes goes with its strength", () => {
    const [whole] = gradientStatistics(gradients);
    const [half] = gradientStatistics(gradients, { strength: 0.5 });
    expect(half?.change).toBeCloseTo((whole?.change ?? 0) / 2, 14);
    expect(whole?.change).toBeCloseTo(Math.hypot(0.1, 0.4, 0.9, 1.6) / Math.sqrt(30), 14);
  });
});

describe("HistogramCounter", () => {
  it("has every number in the bucket between two limits that are near it", () => {
    const values = Float32Array.from({ length: 2000 }, (_, index) => Math.sin(index * 1.7) * 10 ** ((index % 40) - 25));
    values.set([0, -0, 1e-45, -1e-45, 3.4e38, -3.4e38]);
    const counter = new HistogramCounter();
    for (const value of values) counter.add(value);
    counter.add(Number.NaN);
    counter.add(Number.POSITIVE_INFINITY);
    const { buckets, count, least, greatest } = counter.histogram;
    expect([count, least, greatest]).toEqual([2000, Math.fround(-3.4e38), Math.fround(3.4e38)]);
    const limits = buckets.map(([limit]) => limit);
    expect(limits).toEqual(limits.toSorted((x, y) => x - y));
    let below = Number.NEGATIVE_INFINITY;
    for (const [limit, of] of buckets) {
      const inside = values.filter((value) => value > below && value <= limit);
      // The two zeros are one number to a comparison.
      if (Math.abs(limit) > 1e-37 && below < limit) expect(of, String(limit)).toBe(inside.length);
      for (const value of inside) if (Math.abs(value) > 1e-37) expect(value / limit).toBeGreaterThan(0.79);
      below = limit;
    }
    expect(buckets.reduce((sum, [, of]) => sum + of, 0)).toBe(2000);
  });
});
