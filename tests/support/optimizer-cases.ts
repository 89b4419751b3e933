import { createHash } from "node:crypto";
import { expect } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { readPlan } from "../../src/artifacts/portable/plan.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { encodeState } from "../../src/entries/training.ts";
import {
  type BuildOptions,
  buildTrainingArtifacts,
  type Model,
  type NamedTensors,
  type PortableArtifacts,
  Tensor,
  TrainingSession,
  type TrainingSessionOptions,
} from "../../src/index.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";

const [BATCH, CHANNELS, SIDE, CLASSES] = [4, 2, 5, 3];

export const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) / 2);

/**
 * Two convolutions, the second of them 1x1, and two layers behind them, each with a bias.
 * @param width of the layer in between
 */
function network(width: number): Model {
  const sketch = new Sketch("network");
  const weight = (name: string, shape: readonly number[], seed: number): void =>
    sketch.initializer(
      name,
      GraphTensor.from(
        DataType.float,
        shape,
        wave(
          shape.reduce((a, b) => a * b, 1),
          seed,
        ),
      ),
    );
  const convolve = (x: string, name: string, side: number, seed: number): void => {
    weight(`${name}.w`, [6, name === "first" ? CHANNELS : 6, side, side], seed);
    weight(`${name}.b`, [6], seed + 1);
    sketch.node("Conv", [x, `${name}.w`, `${name}.b`], [name]);
    sketch.node("Tanh", [name], [`${name}.y`]);
  };
  sketch.input("x", float([BATCH, CHANNELS, SIDE, SIDE]));
  convolve("x", "first", 3, 1);
  convolve("first.y", "second", 1, 3);
  sketch.node("Flatten", ["second.y"], ["rows"]);
  weight("third.w", [54, width], 5);
  weight("third.b", [width], 6);
  sketch.node("MatMul", ["rows", "third.w"], ["product"]);
  sketch.node("Add", ["product", "third.b"], ["third"]);
  sketch.node("Relu", ["third"], ["third.y"]);
  weight("scores.w", [CLASSES, width], 7);
  weight("scores.b", [CLASSES], 8);
  sketch.node("Gemm", ["third.y", "scores.w", "scores.b"], ["scores"], [attribute.int("transB", 1)]);
  sketch.output("scores", float([BATCH, CLASSES]));
  return model(sketch.graph, 8, [["", 17]]);
}

export const feeds = (seed: number): NamedTensors => ({
  x: new Tensor("float32", wave(BATCH * CHANNELS * SIDE * SIDE, seed + 20), [BATCH, CHANNELS, SIDE, SIDE]),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: BATCH }, (_, at) => BigInt((at + seed) % CLASSES)),
    [BATCH],
  ),
});

type Options = Omit<BuildOptions, "loss">;

export async function setOf(options: Options, width: number): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(network(width), {
    ...{ loss: { kind: "cross-entropy" }, targets: ["portable"] },
    ...options,
  });
  if (portable === null) throw new Error("no portable set was built");
  return portable;
}

export function stepOf({ trainStep }: PortableArtifacts): StepModel {
  if (trainStep === null) throw new Error("the set has no step");
  const { role: _, ...plan } = readPlan(trainStep, "train_step");
  return { model: trainStep.clone(), ...plan };
}

/** Losses and a digest of all state after seven steps, the last in a call of its own. */
export async function trained(set: PortableArtifacts, options: TrainingSessionOptions): Promise<unknown> {
  const session = await TrainingSession.create(set, { runtime: "ort-node", threads: 1, ...options });
  try {
    const batches = Array.from({ length: 7 }, (_, index) => feeds(index));
    const rates = batches.map((_, index) => 0.01 / (index + 1));
    const losses: number[] = [];
    for (const [from, to] of [
      [0, 3],
      [3, 6],
      [6, 7],
    ] as const)
      losses.push(...(await session.trainSteps(batches.slice(from, to), rates.slice(from, to))));
    expect(new Set(losses).size).toBe(7);
    const state = encodeState(await session.getState());
    return { losses, state: createHash("sha256").update(state).digest("hex") };
  } finally {
    await session.release();
  }
}

export const agr = {};
const GROUPS: BuildOptions["parameterGroups"] = [
  { parameters: ["first.*"], learningRateScale: 0.1 },
  { parameters: ["scores.*"], learningRateScale: 2, weightDecay: 0.3 },
];

/** With how many of the eight parameters are joined. */
export const CASES: readonly (readonly [name: string, joined: number, options: Options])[] = [
  ["AdamW", 8, { optimizer: { name: "adamw" } }],
  ["AdamW with AGR", 8, { optimizer: { name: "adamw" }, agr }],
  ["AdamW as transformers has it", 8, { optimizer: { name: "adamw", mode: "transformers" }, agr }],
  ["cautious AdamW", 8, { optimizer: { name: "adamw", cautious: true }, agr }],
  ["AGR per channel", 8, { optimizer: { name: "adamw" }, agr: { scope: "channel" } }],
  ["AGR over all", 8, { optimizer: { name: "adamw" }, agr: { scope: "global" } }],
  ["AGR as operators", 8, { optimizer: { name: "adan" }, agr: { form: "inline", strength: 0.5 } }],
  ["AGR for some", 8, { optimizer: { name: "adamw" }, agr: { minElements: 20 } }],
  ["parameters that stay as they are", 6, { optimizer: { name: "adamw" }, agr, freeze: ["second.*"] }],
  ["groups", 8, { optimizer: { name: "adamw" }, agr, parameterGroups: GROUPS }],
  ["no decay of vectors", 8, { optimizer: { name: "adamw" }, agr, decayMinRank: 2 }],
  ["a rate per layer", 8, { optimizer: { name: "adamw" }, agr, layerDecay: 0.7 }],
  ["a norm over all gradients", 8, { optimizer: { name: "adamw", clipNorm: 0.01 }, agr }],
  ["clipped, centralized gradients", 8, { optimizer: { name: "adamw", clipValue: 0.01, centralize: true }, agr }],
  ["normalized gradients", 8, { optimizer: { name: "adamw", transforms: ["normalize", "agr"] } }],
  ["adaptive clipping", 8, { optimizer: { name: "adamw", transforms: ["agc:0.01", "agr"] } }],
  ["a proximal term", 8, { optimizer: { name: "adamw", proximal: 0.1 }, agr }],
  ["plain SGD", 0, { optimizer: { name: "sgd" } }],
  ["SGD with AGR", 8, { optimizer: { name: "sgd" }, agr }],
  ["SGD with momentum", 8, { optimizer: { name: "sgd", momentum: 0.9 } }],
  ["SGD with decay", 8, { optimizer: { name: "sgd", weightDecay: 0.1 } }],
  ["Nesterov's momentum", 8, { optimizer: { name: "sgd", momentum: 0.9, nesterov: true, weightDecay: 0.1 }, agr }],
  ["Adam", 8, { optimizer: { name: "adam", weightDecay: 0.1 }, agr }],
  ["Adan", 8, { optimizer: { name: "adan" }, agr }],
  ["Adagrad", 8, { optimizer: { name: "adagrad", rateDecay: 0.1 }, agr }],
  ["RMSprop", 8, { optimizer: { name: "rmsprop", momentum: 0.9 }, agr }],
  ["LAMB", 8, { optimizer: { name: "lamb" }, agr }],
  ["Lion", 8, { optimizer: { name: "lion", weightDecay: 0.1, cautious: true }, agr }],
  ["Muon", 4, { optimizer: { name: "muon" }, agr }],
  ["schedule-free AdamW", 8, { optimizer: { name: "schedule-free-adamw", weightDecay: 0.1 }, agr }],
  ["bfloat16", 8, { optimizer: { name: "adamw" }, agr, precision: "bfloat16" }],
  ["float16 and a scale that changes", 8, { optimizer: { name: "adamw" }, agr, precision: "float16" }],
];
