import { createHash } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { encodeState } from "../src/entries/training.ts";
import { Tensor, TrainingSession, type TrainingSessionOptions } from "../src/index.ts";
import { wave } from "./support/conv-net.ts";
import { WIDTH, wideNet } from "./support/wide-net.ts";

/** What the package ships for threads and processes of their own. */
const WORKER = new URL("../dist/chunks/onnx-agr-worker.js", import.meta.url);

afterEach(() => vi.unstubAllEnvs());

const SAMPLES = 256;
const artifacts = await wideNet(SAMPLES);

const batches = Array.from({ length: 6 }, (_, seed) => ({
  x: new Tensor("float32", wave(SAMPLES * WIDTH, seed), [SAMPLES, WIDTH]),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: SAMPLES }, (_, at) => BigInt((at * 7 + seed) % WIDTH)),
    [SAMPLES],
  ),
}));

/** Native memory, with two threads. */
const open = (options: TrainingSessionOptions = {}, set = artifacts): Promise<TrainingSession> =>
  TrainingSession.create(set, { runtime: "ort-node", threads: 2, learningRate: 0.01, ...options });

async function trained(options: TrainingSessionOptions = {}) {
  const session = await open(options);
  const { batchParts } = session;
  const losses = await session.trainSteps(batches);
  const state = createHash("sha256")
    .update(encodeState(await session.getState()))
    .digest("hex");
  await session.release();
  return { batchParts, losses, state };
}

const whole = await trained({ threads: 1 });
const inParts = await trained();

describe("a batch in two parts", () => {
  it("has the losses of the whole batch but for rounding", () => {
    expect([whole.batchParts, inParts.batchParts]).toEqual([1, 2]);
    expect(inParts.losses).not.toEqual(whole.losses);
    for (const [index, loss] of inParts.losses.entries())
      expect(loss).toBeCloseTo(whole.losses[index] ?? Number.NaN, 4);
  });

  it.each<TrainingSessionOptions>([
    {},
    { stepsPerCall: 1 },
    { stepsPerCall: 3 },
    { threads: 3 },
    { isolation: "thread", worker: WORKER },
    { isolation: "process", worker: WORKER },
  ])("has the same losses and state, bit for bit: %o", async (options) => {
    expect(await trained(options)).toEqual(inParts);
  });

  it("goes on from what was kept, bit for bit", async () => {
    const [first, second] = [await open(), await open()];
    const begun = await first.trainSteps(batches.slice(0, 2));
    await second.loadState(await first.getState());
    const rest = await second.trainSteps(batches.slice(2));
    expect([...begun, ...rest]).toEqual(inParts.losses);
    await Promise.all([first.release(), second.release()]);
  });

  it("is left whole where the environment says so, through the binding, and for sizes that are open or small", async () => {
    const parts: number[] = [];
    const note = async (opening: Promise<TrainingSession>): Promise<void> => {
      const session = await opening;
      parts.push(session.batchParts);
      await session.release();
    };
    await note(open({}, await wideNet("batch")));
    await note(open({}, await wideNet(8)));
    vi.stubEnv("ONNX_AGR_SHARDS", "0");
    await note(open());
    vi.unstubAllEnvs();
    vi.stubEnv("ONNX_AGR_NATIVE", "0");
    await note(open());
    expect(parts).toEqual([1, 1, 1, 1]);
  });
});
