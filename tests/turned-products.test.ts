import { expect, it } from "vitest";
import { makeMlpArtifacts } from "../fixtures/mlp.ts";
import { lowerArtifacts, type Model, Tensor, TrainingSession } from "../src/index.ts";
import { programsOf } from "../src/session-programs.ts";
import { wave } from "./support/conv-net.ts";

const WIDTHS = [64, 256, 256, 10];
const lowered = () => lowerArtifacts(makeMlpArtifacts(WIDTHS));

it("turns training and evaluation on the CPU, and exports what was built", async () => {
  const artifacts = await lowered();
  const turned = programsOf(artifacts, {}, { block: null, parts: 1 });
  const plain = programsOf(artifacts, {});
  const columns = (net: Model | null): number =>
    net?.graph.nodes.filter(({ opType, inputs }) => opType === "Unsqueeze" && inputs[0]?.name.endsWith(".bias"))
      .length ?? 0;
  for (const key of ["gradients", "trainStep", "evaluation"] as const) {
    expect(columns(turned[key]), key).toBe(2);
    expect(columns(plain[key]), key).toBe(0);
  }
  expect(columns(turned.evalModel)).toBe(0);
});

it("gives the same bits for every number of steps in a call", async () => {
  const batches = Array.from({ length: 16 }, (_, seed) => ({
    input: new Tensor("float32", wave(32 * 64, seed), [32, 64]),
    labels: new Tensor(
      "int64",
      BigInt64Array.from({ length: 32 }, (_, at) => BigInt((at * seed) % 10)),
      [32],
    ),
  }));
  const losses: number[][] = [];
  for (const stepsPerCall of [1, 16]) {
    const session = await TrainingSession.create(await lowered(), { stepsPerCall, learningRate: 0.01, threads: 1 });
    losses.push([...(await session.trainSteps(batches))]);
    await session.release();
  }
  expect(losses[1]).toEqual(losses[0]);
  expect(losses[0]?.[15]).not.toBe(losses[0]?.[0]);
});
