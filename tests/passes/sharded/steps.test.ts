import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { DataType, encodeModel, printModel } from "../../../src/entries/graph.ts";
import { type BuildOptions, buildTrainingArtifacts, type Model, type PortableArtifacts } from "../../../src/index.ts";
import type { StepModel } from "../../../src/passes/portable/step-model.ts";
import { shardBatch } from "../../../src/passes/sharded/shard-batch.ts";
import { CASES, setOf, stepOf } from "../../support/optimizer-cases.ts";
import { expectAlike, type Feeds, inParts } from "../../support/sharded-parts.ts";
import { noise } from "../../support/small-steps.ts";
import { valuesOf } from "../../support/tensor-values.ts";
import { layers, NETS } from "./nets.ts";

async function built(forward: Model, options: Partial<BuildOptions> = {}): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(forward, {
    ...{ loss: { kind: "cross-entropy" }, optimizer: { name: "adamw" }, agr: {}, targets: ["portable"] },
    ...options,
  });
  if (portable === null) throw new Error("no portable set was built");
  return portable;
}

/** A batch, state as it is after some steps, and a rate at which all of it changes. */
function feedsOf(step: StepModel, { state }: PortableArtifacts, classes: number): Feeds {
  const kinds = new Map(step.state.map(({ name, kind }) => [name, kind]));
  const feeds = step.model.graph.inputs.map(({ name, type }, seed) => {
    const { dtype, shape } = type?.kind === "tensor" ? type : { dtype: 0, shape: null };
    const dims = (shape ?? []).map(Number);
    const size = dims.reduce((product, dim) => product * dim, 1);
    const held = state?.tensors.get(name)?.values();
    if (name === step.learningRate) return [name, new Tensor("float32", Float32Array.of(0.1), dims)] as const;
    if (name === step.step) return [name, new Tensor("int64", BigInt64Array.of(3n), dims)] as const;
    if (dtype === DataType.int64) {
      const labels = BigInt64Array.from(noise(size, seed, [0, classes - 0.01]), (label) => BigInt(Math.floor(label)));
      return [name, new Tensor("int64", labels, dims)] as const;
    }
    const isNew = kinds.get(name) === "slot" && size > 1 && held?.every((number) => Number(number) === 0);
    const numbers = isNew ? noise(size, seed, [0.005, 0.02]) : Float32Array.from(held ?? noise(size, seed), Number);
    return [name, new Tensor("float32", numbers, dims)] as const;
  });
  return Object.fromEntries(feeds);
}

/** The loss, and what is new of all state. */
function changes({ state }: StepModel, feeds: Feeds, results: Feeds): ReadonlyMap<string, readonly number[]> {
  const before = new Map(state.map(({ name, next }) => [next, feeds[name]]));
  return new Map(
    Object.entries(results).map(([name, tensor]) => {
      const old = before.get(name);
      const olds = old === undefined ? [] : valuesOf(old);
      return [name, valuesOf(tensor).map((number, at) => number - (olds[at] ?? 0))];
    }),
  );
}

/**
 * Gradients are sums of up to some thousand products, whose order rounds them by some 1e-6 of the largest; of state of about 1, of which a
 * tenth changes, rounding is another 1e-6 of that.
 */
const PRECISION = 2e-5;

/** Halves are rounded where the parts have them and where they are added up; Muon takes a matrix to the fifth power five times over. */
const PRECISIONS: Readonly<Record<string, number>> = {
  bfloat16: 2e-2,
  "float16 and a scale that changes": 3e-3,
  Muon: 5e-4,
};

async function requireAlike(set: PortableArtifacts, counts: readonly number[], classes: number, precision = PRECISION) {
  const step = stepOf(set);
  const feeds = feedsOf(step, set, classes);
  for (const count of counts) {
    const results = await inParts(step, feeds, count);
    if (results === null) throw new Error(`nothing was cut in ${count}`);
    const whole = changes(step, feeds, results.whole);
    const given = changes(step, feeds, results.given);
    expect(given.size).toBe(step.state.filter(({ next }) => next !== null).length + 1);
    for (const [name, numbers] of given)
      expectAlike(numbers, whole.get(name) ?? [], `${name}, ${count} parts`, precision);
    expect(whole.get(step.outputs[0] ?? "")?.[0]).not.toBe(0);
  }
}

describe("a batch in parts trains as the whole one", () => {
  it.each(Object.keys(NETS))("%s", async (name) => {
    const forward = NETS[name]?.();
    if (forward === undefined) throw new Error(`no net ${name}`);
    const isLanguage = name === "a language";
    const loss = { kind: "cross-entropy", ...(isLanguage ? { classAxis: -1 } : {}) } as const;
    await requireAlike(await built(forward, { loss }), [2, 3, 4], isLanguage ? 9 : 3);
  });

  it.each(CASES)("%s", async (name, _, options) => {
    await requireAlike(await setOf(options, 9), [2, 4], 3, PRECISIONS[name]);
  });

  it.each<[string, Partial<BuildOptions>]>([
    ["smoothed labels", { loss: { kind: "cross-entropy", labelSmoothing: 0.1 } }],
    ["a sum", { loss: { kind: "cross-entropy", reduction: "sum" } }],
    ["squares", { loss: { kind: "mse" } }],
    ["a sum of squares", { loss: { kind: "mse", reduction: "sum" } }],
    ["absolute differences", { loss: { kind: "l1" } }],
    ["Huber's", { loss: { kind: "huber", threshold: 0.5 } }],
    ["smooth differences", { loss: { kind: "smooth-l1" } }],
    ["yes or no", { loss: { kind: "bce-with-logits", positiveWeight: 2 } }],
  ])("loss: %s", async (_, options) => {
    await requireAlike(await built(layers(), options), [2, 3, 4, 6, 12], 3);
  });
});

describe("a step stays whole", () => {
  it.each<[string, Partial<BuildOptions>]>([
    ["whose mean is of weighted classes", { loss: { kind: "cross-entropy", classWeights: [1, 2, 3] } }],
    ["whose mean leaves out labels", { loss: { kind: "cross-entropy", ignoreIndex: 1 } }],
  ])("%s", async (_, options) => {
    expect(shardBatch(stepOf(await built(layers(), options)), 2)).toBeNull();
  });

  it("of a batch that has no equal parts", async () => {
    const step = stepOf(await built(layers()));
    for (const count of [5, 7, 8, 24]) expect(shardBatch(step, count), `${count}`).toBeNull();
  });
});

it("golden text", async () => {
  const step = stepOf(await built(layers(), { optimizer: { name: "sgd" }, loss: { kind: "mse" } }));
  const made = shardBatch(step, 2);
  if (made === null) throw new Error("nothing was cut");
  const texts = [step, made.shard, made.rest].map(({ model }) => printModel(model));
  await expect(texts.join("@@@\n")).toMatchFileSnapshot("../../../fixtures/passes/portable/sharded-batch.txt");
});

it("leaves its step as it is, and gives the same each time", async () => {
  const step = stepOf(await built(layers()));
  const before = encodeModel(step.model);
  const [first, second] = [shardBatch(step, 2), shardBatch(step, 2)];
  expect(encodeModel(step.model)).toEqual(before);
  for (const part of ["shard", "rest"] as const) {
    const [a, b] = [first?.[part], second?.[part]];
    if (a === undefined || b === undefined) throw new Error("nothing was cut");
    expect(encodeModel(a.model)).toEqual(encodeModel(b.model));
    expect({ ...a, model: null }).toEqual({ ...b, model: null });
  }
});
