import { type InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { decodeModel, encodeModel, printModel, removeLearningRate, setLearningRate } from "../../src/entries/graph.ts";
import { learningRateAt } from "../../src/entries/training.ts";
import { insertAgr, type LearningRateSchedule, type Model, stripAgr } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const SCHEDULES: readonly LearningRateSchedule[] = [
  { rate: 0.01 },
  { rate: 0.01, warmupSteps: 3 },
  { rate: 0.01, decay: "linear", totalSteps: 10 },
  { rate: 0.01, decay: "linear", totalSteps: 10, warmupSteps: 4, finalRate: 0.002 },
  { rate: 0.01, decay: "cosine", totalSteps: 10 },
  { rate: 0.01, decay: "cosine", totalSteps: 10, warmupSteps: 4, finalRate: 0.002 },
];

/** The schedule alone: the rate the optimizer would read, for a step that is fed. */
async function rateSession(model: Model): Promise<InferenceSession> {
  const [optimizer] = model.graph.nodes.filter(({ opType }) => opType === "AdamWOptimizer");
  const rate = optimizer?.inputs[0];
  if (optimizer === undefined || !rate) throw new Error("no optimizer");
  rate.type = { kind: "tensor", dtype: 1, shape: [1] };
  model.graph.setOutput(0, rate);
  model.graph.remove(optimizer);
  model.graph.inputs.splice(0, model.graph.inputs.length, ...model.graph.inputs.filter(({ name }) => name === "step"));
  return openSession(encodeModel(model));
}

describe("learningRateAt", () => {
  it("is what transformers' schedules give", () => {
    const at = (schedule: LearningRateSchedule): number[] =>
      [1, 2, 3, 5, 7, 11, 20].map((step) => Number(learningRateAt(schedule, step).toFixed(6)));
    expect(at({ rate: 1, decay: "linear", warmupSteps: 2, totalSteps: 10 })).toEqual([0, 0.5, 1, 0.75, 0.5, 0, 0]);
    expect(at({ rate: 1, decay: "cosine", warmupSteps: 2, totalSteps: 10 })).toEqual([0, 0.5, 1, 0.853553, 0.5, 0, 0]);
    expect(at({ rate: 1, warmupSteps: 4 })).toEqual([0, 0.25, 0.5, 1, 1, 1, 1]);
  });
});

describe("setLearningRate", () => {
  for (const schedule of SCHEDULES) {
    it(`computes in the graph what learningRateAt says: ${JSON.stringify(schedule)}`, async () => {
      const model = decodeModel(encodeModel(makeOptimizer()));
      setLearningRate(model, schedule);
      const session = await rateSession(decodeModel(encodeModel(model)));
      for (const step of [1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 1000]) {
        const feeds = session.inputNames.includes("step")
          ? { step: new Tensor("int64", BigInt64Array.of(BigInt(step)), [1]) }
          : {};
        const outputs = await session.run(feeds);
        const [rate] = valuesOf(Object.values(outputs)[0]);
        expect(Math.abs((rate ?? Number.NaN) - learningRateAt(schedule, step))).toBeLessThan(2e-9);
      }
      await session.release();
    });
  }

  it("golden text", async () => {
    const model = makeOptimizer();
    const before = printModel(model);
    setLearningRate(model, { rate: 0.01, decay: "linear", totalSteps: 10, warmupSteps: 4 });
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      "../../fixtures/passes/set-learning-rate/linear.txt",
    );
  });

  it("replaces an earlier rate, and comes out again whole, with AGR before or after it", () => {
    const original = encodeModel(makeOptimizer());
    const once = decodeModel(original);
    setLearningRate(once, { rate: 0.5 });
    const twice = decodeModel(encodeModel(once));
    setLearningRate(twice, { rate: 0.1, warmupSteps: 5 });
    setLearningRate(twice, { rate: 0.5 });
    expect(encodeModel(twice)).toEqual(encodeModel(once));
    insertAgr(twice, { count: 2 });
    expect(removeLearningRate(twice).changed).toBe(1);
    expect(stripAgr(twice).changed).toBe(1);
    expect(encodeModel(twice)).toEqual(original);
    expect(removeLearningRate(twice).changed).toBe(0);
  });

  it.each([
    { rate: Number.NaN },
    { rate: -1 },
    { rate: 1, decay: "linear" },
    { rate: 1, decay: "cosine", totalSteps: 3, warmupSteps: 3 },
    { rate: 1, decay: "steps" },
    { rate: 1, warmupSteps: -1 },
    { rate: 1, finalRate: -1 },
  ] as LearningRateSchedule[])("refuses %o", (schedule) => {
    expect(errorOf(() => setLearningRate(makeOptimizer(), schedule)).exitCode).toBe(2);
  });
});
