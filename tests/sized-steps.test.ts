import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encodeState } from "../src/entries/training.ts";
import { type PortableArtifacts, Tensor, TrainingSession, type TrainingSessionOptions } from "../src/index.ts";
import { wave } from "./support/conv-net.ts";
import { WIDTH, wideNet } from "./support/wide-net.ts";

/** What the package ships for threads and processes of their own. */
const WORKER = new URL("../dist/chunks/onnx-agr-worker.js", import.meta.url);

const SAMPLES = 248;
const [fixed, open] = [await wideNet(SAMPLES), await wideNet("batch")];
const SIZES = { sizes: { batch: SAMPLES } };

const batch = (samples: number, seed: number) => ({
  x: new Tensor("float32", wave(samples * WIDTH, seed), [samples, WIDTH]),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: samples }, (_, at) => BigInt((at * 7 + seed) % WIDTH)),
    [samples],
  ),
});

/** Those of the size that is told, and smaller ones between and behind them. */
const batches = [SAMPLES, SAMPLES, 96, SAMPLES, SAMPLES, SAMPLES, 96, 64].map(batch);
const alike = batches.filter(({ labels }) => labels.dims[0] === SAMPLES);

/** Native memory, with two threads. */
const session = (set: PortableArtifacts, options: TrainingSessionOptions = {}): Promise<TrainingSession> =>
  TrainingSession.create(set, { runtime: "ort-node", threads: 2, learningRate: 0.01, ...options });

const hashOf = async (of: TrainingSession): Promise<string> =>
  createHash("sha256")
    .update(encodeState(await of.getState()))
    .digest("hex");

async function trained(set: PortableArtifacts, options: TrainingSessionOptions = {}, given = batches) {
  const own = await session(set, options);
  const { batchParts, sizes } = own;
  const losses = await own.trainSteps(given);
  const state = await hashOf(own);
  await own.release();
  return { batchParts, sizes, losses, state };
}

const sized = await trained(open, SIZES);
const general = await trained(open);

describe("sizes that are told of most batches", () => {
  it("have models of their own, which compute what those for any size compute, but for rounding", () => {
    expect([general.batchParts, sized.batchParts]).toEqual([1, 2]);
    expect([general.sizes, sized.sizes]).toEqual([{}, { batch: SAMPLES }]);
    expect(sized.losses).toHaveLength(batches.length);
    expect(sized.losses).not.toEqual(general.losses);
    /** The first before any update, whose rounding grows in those behind it. */
    for (const [index, loss] of sized.losses.entries())
      expect(loss).toBeCloseTo(general.losses[index] ?? Number.NaN, index === 0 ? 5 : 3);
  });

  it("give what a model gives whose sizes were fixed when it was built, bit for bit", async () => {
    const { batchParts, losses, state } = await trained(fixed, {}, alike);
    expect(await trained(open, SIZES, alike)).toMatchObject({ batchParts, losses, state });
  });

  it("leave batches of other sizes to the models for any size", async () => {
    const others = batches.filter(({ labels }) => labels.dims[0] !== SAMPLES);
    const { losses, state } = await trained(open, {}, others);
    expect(await trained(open, SIZES, others)).toMatchObject({ losses, state });
  });

  it.each<TrainingSessionOptions>([
    {},
    { stepsPerCall: 1 },
    { stepsPerCall: 3 },
    { isolation: "thread", worker: WORKER },
    { isolation: "process", worker: WORKER },
  ])("give the same losses and state, bit for bit: %o", async (options) => {
    expect(await trained(open, { ...SIZES, ...options })).toEqual(sized);
  });

  it.each([1, 2, 3])("give the same where training goes on after %i batches, bit for bit", async (begun) => {
    const [first, second] = [await session(open, SIZES), await session(open, SIZES)];
    const losses = [...(await first.trainSteps(batches.slice(0, begun)))];
    await second.loadState(await first.getState());
    losses.push(...(await second.trainSteps(batches.slice(begun))));
    expect(losses).toEqual(sized.losses);
    expect(await hashOf(second)).toBe(sized.state);
    await Promise.all([first.release(), second.release()]);
  });

  it("add up gradients of batches of several sizes", async () => {
    const states: (readonly number[])[] = [];
    for (const options of [SIZES, {}]) {
      const own = await session(open, options);
      const [loss = ""] = own.trainingOutputNames;
      for (const feeds of batches) await own.runTrainStep(feeds, [loss]);
      const gradients = Object.values(await own.getGradients());
      states.push(gradients.flatMap(({ data }) => [...(data as Float32Array)]));
      await own.release();
    }
    const [made = [], expected = []] = states;
    const largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    const difference = made.reduce(
      (most, each, at) => Math.max(most, Math.abs(each - (expected[at] ?? Number.NaN))),
      0,
    );
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(1e-5 * largest);
  });

  it("are refused where the models have no such size, and where they are none", async () => {
    await expect(session(open, { sizes: { samples: 64 } })).rejects.toMatchObject({
      code: "E_OPTION",
      hint: expect.stringContaining("batch"),
    });
    await expect(session(fixed, SIZES)).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(session(open, { sizes: { batch: 0 } })).rejects.toMatchObject({ code: "E_OPTION" });
    const words = { sizes: { batch: "64" } } as unknown as TrainingSessionOptions;
    await expect(session(open, words)).rejects.toMatchObject({ code: "E_ARGUMENT", field: "options.sizes" });
  });
});
