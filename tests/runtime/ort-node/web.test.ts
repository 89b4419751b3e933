import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { makeMlpArtifacts } from "../../../fixtures/mlp.ts";
import { Tensor, TrainingSession } from "../../../src/index.ts";
import { testBackend } from "../session.case.ts";

/** An alias has no types of its own; the two modules have the same surface. */
const ort = createRequire(import.meta.url)("onnxruntime-web-current") as typeof import("onnxruntime-node");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

/** The module a browser has, in Node: its WebAssembly does not write into the outputs it is given (onnxruntime #25786). */
testBackend({
  name: "row 102: ort-node through onnxruntime-web",
  open: (artifacts, options) => TrainingSession.create(artifacts, { ...options, runtime: "ort-node", ort }),
  /** WebAssembly sums in another order. */
  tolerance: 1e-6,
  skip: [],
});

describe("row 102: onnxruntime-web", () => {
  it("trains to the losses of onnxruntime-node, one step or four per call", async () => {
    const artifacts = makeMlpArtifacts([8, 16, 4]);
    const batch = (step: number): Record<string, Tensor> => ({
      input: new Tensor(
        "float32",
        Float32Array.from({ length: 32 }, (_, index) => Math.sin(index + (step % 2))),
        [4, 8],
      ),
      labels: new Tensor("int64", BigInt64Array.of(0n, 1n, 2n, 3n), [4]),
    });
    const all = Array.from({ length: 8 }, (_, step) => batch(step));
    const losses = async (options: object): Promise<readonly number[]> => {
      const session = await TrainingSession.create(artifacts, { runtime: "ort-node", learningRate: 0.2, ...options });
      const made = [...(await session.trainSteps(all.slice(0, 4))), ...(await session.trainSteps(all.slice(4)))];
      await session.release();
      return made;
    };
    const expected = await losses({});
    expect(expected.at(-1)).toBeLessThan((expected[0] ?? 0) - 0.1);
    for (const stepsPerCall of [1, 4]) {
      const actual = await losses({ ort, stepsPerCall });
      for (const [index, loss] of actual.entries()) expect(loss).toBeCloseTo(expected[index] ?? Number.NaN, 4);
    }
  });
});
