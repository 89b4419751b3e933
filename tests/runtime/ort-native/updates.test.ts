import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeState } from "../../../src/entries/training.ts";
import { type PortableArtifacts, Tensor, TrainingSession, type TrainingSessionOptions } from "../../../src/index.ts";
import type { OrtNodePrograms } from "../../../src/runtime/ort-node/programs.ts";
import { OrtNodeSession } from "../../../src/runtime/ort-node/session.ts";
import { WAYS } from "../../../src/runtime/ort-node/ways.ts";
import { programsOf } from "../../../src/session-programs.ts";
import { agr, feeds, setOf } from "../../support/optimizer-cases.ts";

/** Wide enough for a session to have the update apart. */
const WIDTH = 1300;
const WORKER = new URL("../../../dist/chunks/onnx-agr-worker.js", import.meta.url);
const WHOLE = { separated: { trainStep: null, sharded: null, apply: null }, repeated: null } as const;

let set: PortableArtifacts;
beforeAll(async () => {
  set = await setOf({ optimizer: { name: "adamw" }, agr }, WIDTH);
});

type Options = Pick<TrainingSessionOptions, "threads" | "denormalsAsZero">;

/** @param changed what of the programs is another */
const open = (options: Options = {}, changed: Partial<OrtNodePrograms> = {}): Promise<OrtNodeSession> =>
  OrtNodeSession.create(
    WAYS,
    { ...programsOf(set, { learningRate: 0.01 }, { block: null, parts: 1 }), ...changed },
    { threads: 2, ...options },
  );

async function stateOf(session: TrainingSession): Promise<string> {
  return createHash("sha256")
    .update(encodeState(await session.getState()))
    .digest("hex");
}

/** What is seen of a session in which every call that renews parameters has its turn. */
async function everyWay(session: OrtNodeSession): Promise<readonly unknown[]> {
  const seen: unknown[] = [await session.trainSteps([feeds(1), feeds(2), feeds(3)])];
  await session.runTrainStep(feeds(4));
  await session.runTrainStep(feeds(5));
  await session.runOptimizerStep();
  await session.lazyResetGrad();
  seen.push(await stateOf(session), await session.trainSteps([feeds(6)]));
  await session.applyGradients(await session.gradientsOf(feeds(7)));
  seen.push(await session.trainSteps([feeds(8), feeds(9)]));
  const kept = await session.getState();
  await session.trainSteps([feeds(10)]);
  seen.push(await stateOf(session));
  await session.loadState(kept);
  seen.push(await session.trainSteps([feeds(11)]), await stateOf(session));
  const { data } = await session.getContiguousParameters();
  await session.trainSteps([feeds(12)]);
  await session.loadParametersBuffer(new Uint8Array((data as Float32Array<ArrayBuffer>).buffer));
  seen.push(await session.trainSteps([feeds(13)]), await stateOf(session));
  return seen;
}

async function seenOf(opening: Promise<OrtNodeSession>): Promise<readonly unknown[]> {
  const session = await opening;
  try {
    return await everyWay(session);
  } finally {
    await session.release();
  }
}

describe("updates in place", () => {
  it.each([1, 2, 3])("are those of the graph with %i threads, whatever is called", async (threads) => {
    const apart = await seenOf(open({ threads }));
    expect(apart).toEqual(await seenOf(open({ threads }, WHOLE)));
    expect(new Set(apart.map((each) => JSON.stringify(each))).size).toBe(apart.length);
  });

  it.each(["trainStep", "apply"] as const)("are those of the graph where only %s has them", async (only) => {
    const { separated } = programsOf(set, {}, { block: null, parts: 1 });
    const one = { ...WHOLE, separated: { ...WHOLE.separated, [only]: separated[only] } };
    expect(await seenOf(open({}, one))).toEqual(await seenOf(open({}, WHOLE)));
  });

  it.each(["thread", "process"] as const)("are made in a %s of their own", async (isolation) => {
    const settings = { runtime: "ort-node", threads: 2, learningRate: 0.01 } as const;
    const seen = async (options: TrainingSessionOptions): Promise<unknown> => {
      const session = await TrainingSession.create(set, { ...settings, ...options });
      const losses = await session.trainSteps([feeds(1), feeds(2)]);
      await session.runTrainStep(feeds(3));
      await session.runOptimizerStep();
      const state = await stateOf(session);
      await session.release();
      return { losses, state };
    };
    expect(await seen({ isolation, worker: WORKER })).toEqual(await seen({}));
  });

  it("are made by sessions at the same time", async () => {
    const sessions = await Promise.all([open(), open(), open()]);
    const [first, ...others] = await Promise.all(sessions.map(everyWay));
    for (const other of others) expect(other).toEqual(first);
    await Promise.all(sessions.map((session) => session.release()));
  });

  it("leave the state as it was where the loss is not finite", async () => {
    const session = await open();
    try {
      await session.trainSteps([feeds(1)]);
      const before = await stateOf(session);
      const { x, ...rest } = feeds(2);
      if (x === undefined) throw new Error("there is no x");
      const bad = (x.data as Float32Array).slice();
      bad[3] = Number.NaN;
      const losses = await session.trainSteps([{ ...rest, x: new Tensor("float32", bad, x.dims) }, feeds(3)]);
      expect(losses).toEqual([Number.NaN]);
      expect(await stateOf(session)).toBe(before);
      expect(session.steps).toBe(1);
      const [loss] = await session.trainSteps([feeds(3)]);
      expect(loss).toBeGreaterThan(0);
      expect(await stateOf(session)).not.toBe(before);
    } finally {
      await session.release();
    }
  });

  it.each([true, false])("take denormal numbers as the graph does, to be zero: %s", async (denormalsAsZero) => {
    const rates = [1e-38, 1e-38, 1e-38];
    const trained = async (opening: Promise<OrtNodeSession>): Promise<string> => {
      const session = await opening;
      await session.trainSteps([feeds(1), feeds(2), feeds(3)], rates);
      const state = await stateOf(session);
      await session.release();
      return state;
    };
    expect(await trained(open({ denormalsAsZero }))).toBe(await trained(open({ denormalsAsZero }, WHOLE)));
  });

  it("end with their session: a call behind that is an error", async () => {
    const session = await open();
    await session.trainSteps([feeds(1)]);
    await session.release();
    await expect(session.trainSteps([feeds(2)])).rejects.toMatchObject({ code: "E_RELEASED" });
  });
});
