import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeMlpArtifacts } from "../../../fixtures/mlp.ts";
import { loadOrtNode } from "../../../src/entries/run.ts";
import { encodeState } from "../../../src/entries/training.ts";
import {
  insertAgr,
  lowerArtifacts,
  type NamedTensors,
  readArtifacts,
  readTrainable,
  type SessionSource,
  Tensor,
  TrainingSession,
  type TrainingSessionOptions,
  trainableParameters,
} from "../../../src/index.ts";
import { DIGITS } from "../../support/cli.ts";
import { SHARED } from "../../support/shared.ts";

const binding = await loadOrtNode();

/** Inputs of a session by their specs: free sizes are `batch`, whole numbers small. */
function feedsFor(session: TrainingSession, batch: number, seed: number): NamedTensors {
  return Object.fromEntries(
    session.trainingInputs.map(({ name, dtype, shape }) => {
      const dims = (shape ?? []).map((dim) => (typeof dim === "number" ? dim : batch));
      const size = dims.reduce((product, dim) => product * dim, 1);
      if (dtype === 7) {
        const whole = BigInt64Array.from({ length: size }, (_, index) => BigInt((index * 7 + seed) % 4));
        return [name, new Tensor("int64", whole, dims)];
      }
      const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index * 1.7 + seed));
      return [name, new Tensor("float32", values, dims)];
    }),
  );
}

/** The bytes of everything that a session gives in a training with every kind of call. */
async function trained(source: SessionSource, options: TrainingSessionOptions): Promise<Record<string, unknown>> {
  const session = await TrainingSession.create(source, {
    runtime: "ort-node",
    threads: 2,
    learningRate: 0.01,
    ...options,
  });
  const feeds = (seed: number): NamedTensors => feedsFor(session, 4, seed);
  const bytes = ({ data }: Tensor): string => Buffer.from((data as Float32Array).buffer).toString("hex");
  const all = (tensors: NamedTensors): unknown => Object.entries(tensors).map(([name, each]) => [name, bytes(each)]);
  try {
    const way = session.way.name;
    const single = [await session.trainSteps([feeds(0)]), await session.trainSteps([feeds(1)])];
    const several = await session.trainSteps([feeds(2), feeds(3), feeds(4)]);
    const first = all(await session.runTrainStep(feeds(5)));
    const second = all(await session.runTrainStep(feeds(6)));
    const gradients = all(await session.getGradients());
    await session.runOptimizerStep();
    await session.lazyResetGrad();
    const third = all(await session.runTrainStep(feeds(7)));
    await session.runOptimizerStep();
    const evaluated = await session.runEvalStep(feeds(8)).then(all, (error: { readonly code: string }) => error.code);
    const state = Buffer.from(encodeState(await session.getState())).toString("hex");
    const parameters = bytes(await session.getContiguousParameters());
    const checkpoint = Buffer.from(await session.saveCheckpoint()).toString("hex");
    return { way, single, several, first, second, gradients, third, evaluated, state, parameters, checkpoint };
  } finally {
    await session.release();
  }
}

async function mlp(): Promise<SessionSource> {
  const artifacts = makeMlpArtifacts([64, 96, 4]);
  const { optimizerModel } = artifacts;
  if (optimizerModel !== null) insertAgr(optimizerModel, { parameters: trainableParameters(artifacts) ?? [] });
  return lowerArtifacts(artifacts);
}

const EXPORTED = join(SHARED, "artifacts", "conv-l1");

/** None with Dropout, whose masks differ from run to run. */
const SOURCES: readonly (readonly [string, () => Promise<SessionSource>])[] = [
  ["an MLP with AGR", mlp],
  ["digits, a convolution", () => readArtifacts(DIGITS)],
  ["conv-l1, as exported", () => readTrainable(EXPORTED)],
];

describe("the C API gives the binding's numbers, bit for bit:", () => {
  for (const [name, open] of SOURCES) {
    it.skipIf(name.endsWith("as exported") && !existsSync(EXPORTED))(name, async () => {
      for (const stepsPerCall of [1, 3] as const) {
        const native = await trained(await open(), { stepsPerCall });
        const bound = await trained(await open(), { stepsPerCall, ort: binding });
        expect([native["way"], bound["way"]]).toEqual(["native", "given"]);
        expect({ ...native, way: null }).toEqual({ ...bound, way: null });
      }
    });
  }
});
