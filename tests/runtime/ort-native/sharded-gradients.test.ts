import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { readPlan, writePlan } from "../../../src/artifacts/portable/plan.ts";
import { encodeState } from "../../../src/entries/training.ts";
import {
  type Model,
  type NamedTensors,
  type PortableArtifacts,
  Tensor,
  type TrainingSession,
} from "../../../src/index.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";
import type { OrtNodePrograms } from "../../../src/runtime/ort-node/programs.ts";
import type { OrtNodeOptions } from "../../../src/runtime/ort-node/providers.ts";
import { startPeer } from "../../../src/runtime/ort-node/remote/peer.ts";
import { RemoteSession } from "../../../src/runtime/ort-node/remote/session.ts";
import { OrtNodeSession } from "../../../src/runtime/ort-node/session.ts";
import type { ShardedGradientModels } from "../../../src/runtime/ort-node/sharded-gradients.ts";
import { WAYS } from "../../../src/runtime/ort-node/ways.ts";
import { programsOf } from "../../../src/session-programs.ts";
import { BATCH, CLASSES, deepSet, feeds } from "../../support/deep-net.ts";
import { rejectionOf } from "../../support/errors.ts";

const native = await reachNative();
const WORKER = new URL("../../../dist/chunks/onnx-agr-worker.js", import.meta.url);
/** Of the largest number of a gradient: sums over 512 samples, in another order. */
const TOLERANCE = 2e-5;
/** The same after updates by AdamW, which divides by the size of gradients, and rounds theirs further apart. */
const UPDATED = 5e-5;
/** Batches of `gradientsOf` before the first update. */
const NOT_UPDATED = 6;

let set: PortableArtifacts;
beforeAll(async () => {
  set = givingScores(await deepSet());
});

/** The same with what its forward part gives as an output beside the loss. */
function givingScores(of: PortableArtifacts): PortableArtifacts {
  const gradients = of.gradients.clone();
  const scores = gradients.graph.nodes.flatMap(({ outputs }) => outputs).find((value) => value?.name === "scores");
  if (!scores) throw new Error("there are no scores");
  gradients.graph.addOutput(scores);
  const plan = readPlan(gradients, "gradients");
  writePlan(gradients, { ...plan, outputs: [...plan.outputs, "scores"] });
  return { ...of, gradients };
}

const inParts = (): OrtNodePrograms => programsOf(set, { learningRate: 0.01 }, { block: null, parts: 2 });
const whole = (): OrtNodePrograms => ({ ...inParts(), shardedGradients: null });

const open = async (programs: OrtNodePrograms, options: OrtNodeOptions = {}): Promise<OrtNodeSession> => {
  const session = await OrtNodeSession.create(WAYS, programs, { threads: 2, ...options });
  onTestFinished(() => session.release());
  return session;
};

const numbers = (gradients: NamedTensors): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(Object.entries(gradients).map(([name, { data }]) => [name, [...(data as Float32Array)]]));

function expectClose(actual: NamedTensors, expected: NamedTensors, tolerance = TOLERANCE): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  const given = numbers(actual);
  for (const [name, values] of Object.entries(numbers(expected))) {
    const scale = Math.max(...values.map(Math.abs));
    expect(scale).toBeGreaterThan(0);
    const off = values.map((value, index) => Math.abs((given[name]?.[index] ?? Number.NaN) - value));
    expect(Math.max(...off)).toBeLessThan(tolerance * scale);
  }
}

/** Gradients after each of some batches that are accumulated, after a reset, and after batches with other fetches in between. */
async function gradientsOf(session: TrainingSession): Promise<readonly NamedTensors[]> {
  const seen: NamedTensors[] = [];
  const run = async (seed: number, fetches?: readonly string[]): Promise<void> => {
    const { loss, scores } = await session.runTrainStep(feeds(seed), fetches);
    expect(Number(loss?.data[0])).toBeGreaterThan(0);
    expect(scores?.dims).toEqual(fetches === undefined ? [BATCH, CLASSES] : undefined);
    seen.push(await session.getGradients());
  };
  for (const seed of [1, 2, 3]) await run(seed, ["loss"]);
  await session.lazyResetGrad();
  await run(4, ["loss"]);
  await run(5);
  await run(6, ["loss"]);
  await session.runOptimizerStep();
  await session.lazyResetGrad();
  await run(7, ["loss"]);
  seen.push(await session.gradientsOf(feeds(8)), await session.getGradients());
  await session.trainSteps([feeds(9)]);
  await run(10, ["loss"]);
  return seen;
}

describe("gradients of a batch in two parts at the same time", () => {
  it("are those of the whole batch but for rounding, whatever is called, and the same ones each time", async () => {
    const seen = await gradientsOf(await open(inParts()));
    const expected = await gradientsOf(await open(whole()));
    for (const [index, gradients] of expected.entries())
      expectClose(seen[index] ?? {}, gradients, index < NOT_UPDATED ? TOLERANCE : UPDATED);
    expect(seen.map(numbers)).not.toEqual(expected.map(numbers));
    expect((await gradientsOf(await open(inParts()))).map(numbers)).toEqual(seen.map(numbers));
    const four = await gradientsOf(await open(inParts(), { threads: 4 }));
    expect(four.map(numbers)).toEqual(seen.map(numbers));
  });

  it("are added up from batch to batch, and begin anew after a reset", async () => {
    const session = await open(inParts());
    const alone: NamedTensors[] = [];
    for (const seed of [1, 2]) alone.push(await copyOf(session.gradientsOf(feeds(seed))));
    await session.lazyResetGrad();
    for (const seed of [1, 2]) await session.runTrainStep(feeds(seed), ["loss"]);
    const [first = {}, second = {}] = alone;
    const added = numbers(second);
    const sums = Object.entries(numbers(first)).map(([name, values]) => {
      const sum = values.map((value, index) => value + (added[name]?.[index] ?? Number.NaN));
      return [name, new Tensor("float32", Float32Array.from(sum), [sum.length])] as const;
    });
    expectClose(await session.getGradients(), Object.fromEntries(sums));
    await session.lazyResetGrad();
    await session.runTrainStep(feeds(2), ["loss"]);
    expect(numbers(await session.getGradients())).toEqual(numbers(second));
  });

  it.each(["thread", "process"] as const)("are the same in a %s of their own", async (isolation) => {
    const session = await RemoteSession.create(inParts(), { threads: 2 }, startPeer(isolation, WORKER));
    onTestFinished(() => session.release());
    expect((await gradientsOf(session)).map(numbers)).toEqual((await gradientsOf(await open(inParts()))).map(numbers));
  });

  it("train as those of the whole batch do, and go on from a state", async () => {
    const train = async (session: TrainingSession, seeds: readonly number[]): Promise<readonly number[]> => {
      const losses: number[] = [];
      for (const seed of seeds) {
        const { loss } = await session.runTrainStep(feeds(seed), ["loss"]);
        losses.push(Number(loss?.data[0]));
        await session.runOptimizerStep();
        await session.lazyResetGrad();
      }
      return losses;
    };
    const session = await open(inParts());
    const early = await train(session, [1, 2, 3, 4]);
    const kept = await session.getState();
    const late = await train(session, [5, 6, 7, 8]);
    const other = await open(inParts());
    await other.loadState(kept);
    expect(await train(other, [5, 6, 7, 8])).toEqual(late);
    expect(encodeState(await other.getState())).toEqual(encodeState(await session.getState()));
    const expected = await train(await open(whole()), [1, 2, 3, 4, 5, 6, 7, 8]);
    for (const [index, loss] of [...early, ...late].entries())
      expect(loss).toBeCloseTo(expected[index] ?? Number.NaN, 5);
  });

  it("lie where ranks read them", async () => {
    const session = await open(inParts());
    const expected = numbers(await session.gradientsOf(feeds(3)));
    await session.lazyResetGrad();
    const places = Object.fromEntries(
      Object.entries(await session.getGradients()).map(([name, { dims, size }]) => {
        return [name, new Tensor("float32", new Float32Array(new SharedArrayBuffer(4 * size)), dims)];
      }),
    );
    await (await session.sharedUpdates()).placeGradients(places);
    await session.runTrainStep(feeds(3), ["loss"]);
    expect(numbers(places)).toEqual(expected);
    await session.runTrainStep(feeds(4), ["loss"]);
    expect(numbers(places)).toEqual(expected);
    expect(numbers(await session.getGradients())).not.toEqual(expected);
  });

  it("say what went wrong in a part, and go on", async () => {
    const programs = inParts();
    const { ranges: _, ...plan } = readPlan(set.gradients, "gradients");
    const unchecked = set.gradients.clone();
    writePlan(unchecked, plan);
    const session = await open({ ...programs, gradients: unchecked });
    await session.runTrainStep(feeds(1), ["loss"]);
    const before = numbers(await session.getGradients());
    const { labels, ...rest } = feeds(2);
    const bad = BigInt64Array.from(labels?.data as BigInt64Array);
    bad[BATCH - 1] = 9n;
    const wrong = { ...rest, labels: new Tensor("int64", bad, [BATCH]) };
    const error = await rejectionOf(session.runTrainStep(wrong, ["loss"]));
    expect([error.code, error.field]).toEqual(["E_RUN", "gradients"]);
    expect(numbers(await session.getGradients())).toEqual(before);
    await session.lazyResetGrad();
    await session.runTrainStep(feeds(1), ["loss"]);
    expect(numbers(await session.getGradients())).toEqual(before);
  });

  it("give all back with the session", async () => {
    const { size } = native.resources;
    const session = await OrtNodeSession.create(WAYS, inParts(), { threads: 2 });
    await gradientsOf(session);
    await session.release();
    expect(native.resources.size).toBe(size);
  });
});

const copyOf = async (gradients: Promise<NamedTensors>): Promise<NamedTensors> =>
  Object.fromEntries(
    Object.entries(await gradients).map(([name, { data, dims }]) => [
      name,
      new Tensor("float32", Float32Array.from(data as Float32Array), dims),
    ]),
  );

describe("gradients of a batch are computed as a whole", () => {
  const broken = (model: Model): Model => {
    const copy = model.clone();
    for (const node of copy.graph) if (node.opType === "Add") node.setInput(1, null);
    return copy;
  };
  const changed = (change: (models: ShardedGradientModels) => Partial<ShardedGradientModels>): OrtNodePrograms => {
    const programs = inParts();
    const { shardedGradients } = programs;
    if (shardedGradients === null) throw new Error("the gradients are not in parts");
    return { ...programs, shardedGradients: { ...shardedGradients, ...change(shardedGradients) } };
  };

  it.each<readonly [string, () => OrtNodePrograms, OrtNodeOptions]>([
    ["with one thread", inParts, { threads: 1 }],
    ["with fewer threads than parts", () => changed(({ shards }) => ({ shards: { ...shards, count: 3 } })), {}],
    [
      "where the model for the parts cannot be loaded",
      () => changed(({ shards }) => ({ shards: { ...shards, model: broken(shards.model) } })),
      {},
    ],
    [
      "where the models that add them up cannot be loaded",
      () => changed(({ overwriting, adding }) => ({ overwriting: broken(overwriting), adding: broken(adding) })),
      {},
    ],
  ])("%s", async (_, programs, options) => {
    const { size } = native.resources;
    const session = await OrtNodeSession.create(WAYS, programs(), { threads: 2, ...options });
    const seen = await gradientsOf(session);
    await session.release();
    expect(native.resources.size).toBe(size);
    expect(seen.map(numbers)).toEqual((await gradientsOf(await open(whole(), options))).map(numbers));
  });
});
