import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readTrainable, Tensor, TrainingSession } from "../../../src/index.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";
import { DIGITS } from "../../support/cli.ts";

const SCRIPT = fileURLToPath(new URL("../../support/native-memory.mjs", import.meta.url));
/** V8 gives its young objects more room in the course of some thousand steps, unless it is told not to. */
const FLAGS = ["--expose-gc", "--max-semi-space-size=1"];
/** glibc keeps what is freed apart for each thread, which fills up in the course of some hundred sessions. */
const ENVIRONMENT = { ...process.env, MALLOC_ARENA_MAX: "1" };
const PATIENCE = 300_000;

describe("memory of training through the C API", () => {
  it.each(["steps", "sessions"])(
    "does not grow: %s",
    (what) => {
      const run = spawnSync(process.execPath, [...FLAGS, SCRIPT, what], {
        encoding: "utf8",
        timeout: PATIENCE,
        env: ENVIRONMENT,
      });
      expect([run.status, run.signal], run.stderr).toEqual([0, null]);
      const [early = 0, late = Number.POSITIVE_INFINITY] = run.stdout.trim().split("\n").map(Number);
      expect(late / early).toBeLessThan(1.02);
    },
    PATIENCE,
  );

  it("is two tensors for what a step renews, and one for the rest", async () => {
    const { resources } = await reachNative();
    const before = resources.size;
    const session = await TrainingSession.create(await readTrainable(DIGITS), { runtime: "ort-node", stepsPerCall: 1 });
    const feeds = {
      input: new Tensor("float32", new Float32Array(512).fill(0.1), [2, 1, 16, 16]),
      labels: new Tensor("int64", BigInt64Array.of(1n, 2n), [2]),
    };
    const { tensors } = await session.getState();
    const counts: number[] = [];
    for (let step = 0; step < 4; step++) {
      await session.trainSteps([feeds]);
      counts.push(resources.size);
    }
    expect(new Set(counts).size).toBe(1);
    const trainable = 6;
    /** Two sessions of ONNX Runtime, and the options of the runs of one; the learning rate, the step, two inputs and the loss. */
    const others = 2 + 1 + 4 + 1;
    expect((counts[0] ?? 0) - before - others).toBe(2 * tensors.size + trainable);
    await session.release();
    expect(resources.size).toBe(before);
  });
});
