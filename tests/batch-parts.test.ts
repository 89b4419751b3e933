import { createHash } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { float, model, Sketch } from "../fixtures/sketch.ts";
import { attribute, GraphTensor } from "../src/entries/graph.ts";
import { encodeState } from "../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  type PortableArtifacts,
  Tensor,
  TrainingSession,
  type TrainingSessionOptions,
} from "../src/index.ts";
import { CE, wave } from "./support/conv-net.ts";

const WIDTH = 128;
const LAYERS = 8;
/** What the package ships for threads and processes of their own. */
const WORKER = new URL("../dist/chunks/onnx-agr-worker.js", import.meta.url);

afterEach(() => vi.unstubAllEnvs());

/** Fully connected layers, all of one width. */
async function built(samples: number | string): Promise<PortableArtifacts> {
  const sketch = new Sketch("net");
  sketch.input("x", float([samples, WIDTH]));
  for (let layer = 0; layer < LAYERS; layer++) {
    const weight = wave(WIDTH * WIDTH, layer).map((number) => number / 6);
    sketch.initializer(`w${layer}`, GraphTensor.floats([WIDTH, WIDTH], [...weight]));
    sketch.node(
      "Gemm",
      [layer === 0 ? "x" : `y${layer - 1}`, `w${layer}`],
      [`z${layer}`],
      [attribute.int("transB", 1)],
    );
    sketch.node("Tanh", [`z${layer}`], [`y${layer}`]);
  }
  sketch.output(`y${LAYERS - 1}`, float([samples, WIDTH]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const made = await buildTrainingArtifacts(net, {
    ...CE,
    optimizer: { name: "adamw" },
    agr: {},
    targets: ["portable"],
  });
  if (made.portable === null) throw new Error("a portable set was asked for");
  return made.portable;
}

const SAMPLES = 256;
const artifacts = await built(SAMPLES);

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
    await note(open({}, await built("batch")));
    await note(open({}, await built(8)));
    vi.stubEnv("ONNX_AGR_SHARDS", "0");
    await note(open());
    vi.unstubAllEnvs();
    vi.stubEnv("ONNX_AGR_NATIVE", "0");
    await note(open());
    expect(parts).toEqual([1, 1, 1, 1]);
  });
});
