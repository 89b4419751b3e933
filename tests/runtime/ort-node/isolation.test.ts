import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../../fixtures/linear.ts";
import { makeMlpArtifacts } from "../../../fixtures/mlp.ts";
import { encodeModel } from "../../../src/entries/graph.ts";
import { Tensor, type TrainingSession, type TrainingSessionCreateOptions } from "../../../src/index.ts";
import { DIGITS } from "../../support/cli.ts";
import { rejectionOf } from "../../support/errors.ts";
import { OF_THE_OPTIMIZER, testBackend } from "../session.case.ts";

/** A thread or process runs built code, so these tests run the package as it ships. */
const built = (await import(
  new URL("../../../dist/index.js", import.meta.url).href
)) as typeof import("../../../src/index.ts");
const run = (await import(
  new URL("../../../dist/entries/run.js", import.meta.url).href
)) as typeof import("../../../src/entries/run.ts");

for (const isolation of ["thread", "process"] as const) {
  testBackend({
    name: `ort-node, in a ${isolation}`,
    open: (artifacts: TrainingSessionCreateOptions, options) =>
      built.TrainingSession.create(artifacts, { ...options, runtime: "ort-node", isolation }),
    tolerance: 2e-7,
    skip: [{ reason: "the same session computes it", tests: OF_THE_OPTIMIZER }],
  });
}

const feeds = (batch: number, width: number): Record<string, Tensor> => ({
  input: new Tensor("float32", new Float32Array(batch * width).fill(0.1), [batch, width]),
  labels: new Tensor("int64", new BigInt64Array(batch), [batch]),
});

async function ticksWhile(session: TrainingSession): Promise<number> {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 2);
  await session.trainSteps(Array.from({ length: 16 }, () => feeds(128, 784)));
  clearInterval(timer);
  await session.release();
  return ticks;
}

describe("isolation", () => {
  it("gives calls that are not awaited the learning rates of their steps", async () => {
    const artifacts = makeLinearArtifacts([{ name: "w", shape: [2] }], { algorithm: "SGDOptimizerV2" });
    const session = await built.TrainingSession.create(artifacts, {
      runtime: "ort-node",
      isolation: "thread",
      learningRate: { rate: 1, warmupSteps: 4 },
    });
    const batch = { x_w: new Tensor("float32", Float32Array.of(1, 2), [2]) };
    const step = (): Promise<unknown>[] => [session.runTrainStep(batch), session.runOptimizerStep()];
    await Promise.all([session.trainSteps([batch, batch]), session.trainSteps([batch]), ...step()]);
    const [first = 0] = (await session.getContiguousParameters()).data as Float32Array;
    expect(first).toBeCloseTo(-(0 + 0.25 + 0.5 + 0.75), 6);
    await Promise.all([session.setLearningRate(8), session.trainSteps([batch]), session.setLearningRate(0)]);
    const [after = 0] = (await session.getContiguousParameters()).data as Float32Array;
    expect(after - first).toBeCloseTo(-8, 5);
    await session.release();
  });

  it.skipIf(process.platform === "win32")("carries what ONNX Runtime said to the caller, as the cause", async () => {
    const artifacts = makeLinearArtifacts([{ name: "w", shape: [2] }], { algorithm: "SGDOptimizerV2" });
    const open = (isolation?: "process") =>
      built.TrainingSession.create(artifacts, {
        executionProviders: ["dml"],
        ...(isolation === undefined ? {} : { isolation }),
      });
    const [here, apart] = [await rejectionOf(open()), await rejectionOf(open("process"))];
    expect([apart.code, apart.message]).toEqual([here.code, here.message]);
    expect((here.cause as Error).message).not.toBe("");
    expect((apart.cause as Error).message).toBe((here.cause as Error).message);
  });

  it("leaves the event loop free while steps run", async () => {
    const { checkpoint, trainingModel, optimizerModel } = makeMlpArtifacts([784, 1024, 10]);
    if (checkpoint === null || trainingModel === null || optimizerModel === null) throw new Error("not whole");
    const artifacts = {
      checkpointState: checkpoint,
      trainModel: encodeModel(trainingModel),
      optimizerModel: encodeModel(optimizerModel),
    };
    const options = { runtime: "ort-node", stepsPerCall: 16 } as const;
    const ort = await run.loadOrtNode();
    const here = await ticksWhile(await built.TrainingSession.create(artifacts, { ...options, ort }));
    const apart = await ticksWhile(await built.TrainingSession.create(artifacts, { ...options, isolation: "thread" }));
    const native = await ticksWhile(await built.TrainingSession.create(artifacts, options));
    expect(apart).toBeGreaterThan(here + 5);
    expect(native).toBeGreaterThan(here + 5);
  });

  it.skipIf(process.platform !== "linux")(
    "row 82: in a process survives a crash of ONNX Runtime, and says so (needs /proc)",
    async () => {
      const files = Object.fromEntries(
        [
          ["checkpointState", "checkpoint"],
          ["trainModel", "training_model.onnx"],
          ["evalModel", "eval_model.onnx"],
          ["optimizerModel", "optimizer_model.onnx"],
        ].map(([option, name]) => [option, readFileSync(`${DIGITS}/${name}`)]),
      ) as unknown as TrainingSessionCreateOptions;
      const session = await built.TrainingSession.create(files, { runtime: "ort-node", isolation: "process" });
      const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim();
      const pid = Number(children.split(" ").at(-1));
      process.kill(pid, "SIGSEGV");
      const input = new Tensor("float32", new Float32Array(512), [2, 1, 16, 16]);
      const labels = new Tensor("int64", BigInt64Array.of(1n, 2n), [2]);
      const error = await rejectionOf(session.runTrainStep({ input, labels }));
      expect([error.code, error.exitCode]).toEqual(["E_CRASHED", 9]);
      expect(error.message).toContain("SIGSEGV");
      expect((await rejectionOf(session.getState())).code).toBe("E_CRASHED");
      await session.release();
    },
  );
});
