import { setTimeout } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished } from "vitest";
import { encodeState } from "../../../src/entries/training.ts";
import { type Model, Tensor, type TrainingSession } from "../../../src/index.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";
import type { OrtNodePrograms } from "../../../src/runtime/ort-node/programs.ts";
import type { OrtNodeOptions } from "../../../src/runtime/ort-node/providers.ts";
import { startPeer } from "../../../src/runtime/ort-node/remote/peer.ts";
import { RemoteSession } from "../../../src/runtime/ort-node/remote/session.ts";
import type { SeparatedModels } from "../../../src/runtime/ort-node/separated.ts";
import { OrtNodeSession } from "../../../src/runtime/ort-node/session.ts";
import { WAYS } from "../../../src/runtime/ort-node/ways.ts";
import { rejectionOf } from "../../support/errors.ts";
import { feeds, idsOf, inParts, programs } from "../../support/sharded-net.ts";

const native = await reachNative();
const WORKER = new URL("../../../dist/chunks/onnx-agr-worker.js", import.meta.url);
/** Threads that run models beside the one that was there first. */
const started: Worker[] = [];
process.on("worker", (worker) => {
  worker.once("message", (message) => {
    if (message === "ready") started.push(worker);
  });
});

const open = (made: OrtNodePrograms = programs(inParts()), options: OrtNodeOptions = {}): Promise<OrtNodeSession> =>
  OrtNodeSession.create(WAYS, made, { threads: 2, ...options });

const STEPS = 50;
const batches = Array.from({ length: STEPS }, (_, index) => feeds(index));

async function lossesOf(opening: Promise<TrainingSession>, count = 1): Promise<readonly number[]> {
  const session = await opening;
  try {
    const losses: number[] = [];
    for (let turn = 0; turn < count; turn++) losses.push(...(await session.trainSteps(batches)));
    return losses;
  } finally {
    await session.release();
  }
}

const bytesOf = async (session: TrainingSession): Promise<Uint8Array> => encodeState(await session.getState());

const whole = await lossesOf(open(programs(null)));
const halved = await lossesOf(open());

describe("a batch in two parts at the same time", () => {
  it("has the losses of the whole batch but for rounding, the same ones each time", async () => {
    expect(halved.length).toBe(STEPS);
    for (const [index, loss] of halved.entries()) expect(loss).toBeCloseTo(whole[index] ?? Number.NaN, 5);
    expect(halved).not.toEqual(whole);
    expect(await lossesOf(open())).toEqual(halved);
  });

  it.each([3, 4])("has the same losses with %i threads, which the parts share", async (threads) => {
    expect(await lossesOf(open(programs(inParts()), { threads }))).toEqual(halved);
  });

  it("has the same losses whatever the number of steps per call", async () => {
    const made = programs(inParts());
    const session = await open({ ...made, repeated: made.trainStep, stepsPerCall: 10 });
    expect(session.stepsPerCall).toBe(10);
    expect(await session.trainSteps(batches)).toEqual(halved);
    await session.release();
  });

  it("has the same losses where batches are given in native memory", async () => {
    const { tensors } = native;
    const session = await open();
    const losses: number[] = [];
    for (const batch of batches) {
      const given = Object.entries(batch).map(([name, tensor]): [string, Tensor] => {
        const own = tensors.make({ type: tensor.type as "float32", dims: tensor.dims });
        tensors.copyInto(own, tensor);
        return [name, own];
      });
      losses.push(...(await session.trainSteps([Object.fromEntries(given)])));
      for (const [, tensor] of given) tensors.release(tensor);
    }
    expect(losses).toEqual(halved);
    await session.release();
  });

  it.each(["thread", "process"] as const)("has the same losses in a %s of their own", async (isolation) => {
    const opening = RemoteSession.create(programs(inParts()), { threads: 2 }, startPeer(isolation, WORKER));
    expect(await lossesOf(opening)).toEqual(halved);
  });

  it("is done by sessions at the same time", async () => {
    for (const losses of await Promise.all([lossesOf(open()), lossesOf(open()), lossesOf(open())])) {
      expect(losses).toEqual(halved);
    }
  });

  it.each([
    ["first", [9, 0, 1, 2, 3, 4]],
    ["second", [0, 1, 2, 3, 4, 9]],
    ["first and the second", [9, 0, 1, 2, 3, 9]],
  ])("says what went wrong in the %s part, leaves the state as it was, and goes on", async (_, ids) => {
    const session = await open();
    await session.trainSteps(batches.slice(0, 10));
    const before = await bytesOf(session);
    const error = await rejectionOf(session.trainSteps([{ ...feeds(10), ids: idsOf(ids) }]));
    expect([error.code, error.field]).toEqual(["E_RUN", "train_step"]);
    expect(error.message).toMatch(/outside the tensor it points into/);
    expect(await bytesOf(session)).toEqual(before);
    expect(session.steps).toBe(10);
    expect(await session.trainSteps(batches.slice(10))).toEqual(halved.slice(10));
    await session.release();
  });

  it("leaves the state as it was where the loss of one part is not finite", async () => {
    const session = await open();
    await session.trainSteps(batches.slice(0, 10));
    const before = await bytesOf(session);
    const { x, ...rest } = feeds(10);
    const values = Float32Array.from((x?.data ?? []) as Float32Array);
    values[values.length - 1] = Number.POSITIVE_INFINITY;
    const bad = { ...rest, used: new Tensor("bool", new Uint8Array(6).fill(1), [6, 1]) };
    const losses = await session.trainSteps([{ ...bad, x: new Tensor("float32", values, [6, 5]) }, feeds(11)]);
    expect(losses.map(Number.isFinite)).toEqual([false]);
    expect(await bytesOf(session)).toEqual(before);
    expect(await session.trainSteps(batches.slice(10))).toEqual(halved.slice(10));
    await session.release();
  });

  it("goes on where a thread ends, at whatever time", async () => {
    const count = 80;
    const expected = await lossesOf(open(), count);
    const running = lossesOf(open(), count);
    const before = started.length;
    const ended = new AbortController();
    void running.finally(() => ended.abort());
    for (let count = 0; count < 10 && !ended.signal.aborted; count++) {
      await setTimeout(7);
      await started.at(-1)?.terminate();
    }
    expect(await running).toEqual(expected);
    expect(started.length).toBeGreaterThan(before);
  });

  it("ends with the session: a release waits for it, and gives all back", async () => {
    const { size } = native.resources;
    const session = await open();
    const running = session.trainSteps(batches);
    await session.release();
    expect(await running).toEqual(halved);
    expect((await rejectionOf(session.trainSteps(batches))).code).toBe("E_RELEASED");
    expect(native.resources.size).toBe(size);
  });

  it("takes a thread more for the process, not for the session", async () => {
    await lossesOf(open());
    const before = started.length;
    for (let count = 0; count < 10; count++) await lossesOf(open());
    expect(started.length).toBe(before);
  });
});

describe("a batch is computed as a whole", () => {
  /** What of the models in parts is another. */
  const changed = (change: Partial<SeparatedModels>): OrtNodePrograms => programs({ ...inParts(), ...change });
  const broken = (model: Model | undefined): Model => {
    if (model === undefined) throw new Error("there is no model");
    for (const node of model.graph) if (node.opType === "Mul") node.setInput(1, null);
    return model;
  };
  const shards = (change: { readonly model?: Model; readonly count?: number }): Partial<SeparatedModels> => {
    const made = inParts().shards;
    return made === null ? {} : { shards: { ...made, ...change } };
  };

  it.each([
    ["with one thread", programs(inParts()), { threads: 1 }],
    ["with fewer threads than parts", changed(shards({ count: 3 })), {}],
    ["where the model for the parts cannot be loaded", changed(shards({ model: broken(inParts().shards?.model) })), {}],
    ["where the model that brings them together cannot be loaded", changed({ step: broken(inParts().step) }), {}],
    ["where the parts are not known", programs(null), {}],
  ])("%s", async (_, made, options) => {
    const { size } = native.resources;
    expect(await lossesOf(open(made, options))).toEqual(await lossesOf(open(programs(null), options)));
    expect(native.resources.size).toBe(size);
  });

  it("and the session says so, once it has found out", async () => {
    const session = await open(changed(shards({ model: broken(inParts().shards?.model) })));
    await session.trainSteps(batches.slice(0, 1));
    expect(session.batchParts).toBe(1);
    await session.release();
  });

  it("where no further thread can be started", async () => {
    const { runner } = native;
    const hire = runner.hire.bind(runner);
    onTestFinished(() => {
      Object.assign(runner, { hire });
    });
    Object.assign(runner, { hire: () => Promise.reject(new Error("no thread")) });
    expect(await lossesOf(open())).toEqual(whole);
  });
});
