import { describe, expect, it, vi } from "vitest";
import { decodeState, encodeState } from "../../../src/entries/training.ts";
import {
  insertAgr,
  readArtifacts,
  Tensor,
  TrainingSession,
  type TrainingSessionOptions,
  trainableParameters,
} from "../../../src/index.ts";
import { cli, DIGITS } from "../../support/cli.ts";
import { softwareDriver, whyNoWebGpu } from "../../support/webgpu.ts";
import { OF_THE_OPTIMIZER, testBackend } from "../session.case.ts";

/** A software driver compiles each shader on the CPU. */
vi.setConfig({ testTimeout: 240_000 });

const reason = await whyNoWebGpu();
const WEBGPU = { runtime: "ort-node", executionProviders: ["webgpu"] } as const;

if (reason !== null) it.skip(`ort-node, webgpu (${reason})`);
else {
  testBackend({
    name: "ort-node, webgpu",
    open: (artifacts, options) => TrainingSession.create(artifacts, { ...options, ...WEBGPU }),
    /** Divisions and sums in shaders are a few units in the last place off. */
    tolerance: 1e-6,
    skip: [
      {
        reason: "it is lowered to the operators of the form 'function'",
        tests: OF_THE_OPTIMIZER.filter((title) => /: (inline|map), scope/.test(title)),
      },
      {
        reason: "the class is the CPU's, which these try; each would make shaders for the whole net again",
        tests: [
          "gives every eval output under its own name",
          "takes fetches and run options as onnxruntime-common did",
          "takes feeds in any order",
          "learns",
        ],
      },
    ],
  });

  const feeds = (step: number): Record<string, Tensor> => ({
    input: new Tensor(
      "float32",
      Float32Array.from({ length: 2048 }, (_, index) => Math.sin(index + step)),
      [8, 1, 16, 16],
    ),
    labels: new Tensor(
      "int64",
      BigInt64Array.from({ length: 8 }, (_, index) => BigInt((index + step) % 10)),
      [8],
    ),
  });

  const open = async (options: TrainingSessionOptions): Promise<TrainingSession> => {
    const artifacts = await readArtifacts(DIGITS);
    const { optimizerModel } = artifacts;
    if (optimizerModel !== null) insertAgr(optimizerModel, { parameters: trainableParameters(artifacts) ?? [] });
    return TrainingSession.create(artifacts, { learningRate: 0.01, ...options });
  };

  /** The step before which the state is given out. */
  const SAVED = 2;

  describe("training on the GPU", () => {
    it("has the losses of the CPU over ten steps, with AGR; goes on from its state, and on the CPU from the GPU's", async () => {
      const [cpu, gpu] = [await open({ runtime: "ort-node" }), await open(WEBGPU)];
      const losses: number[] = [];
      let saved: Uint8Array = new Uint8Array();
      for (let step = 0; step < 10; step++) {
        if (step === SAVED) saved = encodeState(await gpu.getState());
        const [[expected = 0], [actual = 0]] = [
          await cpu.trainSteps([feeds(step)]),
          await gpu.trainSteps([feeds(step)]),
        ];
        expect(Math.abs(actual / expected - 1), `step ${step}`).toBeLessThan(1e-4);
        losses.push(actual);
      }
      await cpu.release();
      await gpu.release();
      for (const options of [WEBGPU, { runtime: "ort-node" } as const]) {
        const session = await open(options);
        await session.loadState(decodeState(saved));
        const [actual = 0] = await session.trainSteps([feeds(SAVED)]);
        expect(Math.abs(actual / (losses[SAVED] ?? 0) - 1)).toBeLessThan(1e-5);
        expect(session.steps).toBe(SAVED + 1);
        await session.release();
      }
    });

    it("inspect --ep says which nodes ran there", () => {
      const { status, stdout } = cli(["inspect", DIGITS, "--ep", "cuda,webgpu,cpu", "--json"], {
        env: softwareDriver(),
      });
      expect(status).toBe(0);
      const { executionProvider, passedOver, nodes } = JSON.parse(stdout) as {
        executionProvider: string;
        passedOver: [string, string][];
        nodes: Record<string, Record<string, number>>;
      };
      expect([executionProvider, passedOver[0]?.[0]]).toEqual(["webgpu", "cuda"]);
      for (const op of ["Conv", "Gemm", "MatMul"]) expect(nodes["WebGpuExecutionProvider"]).toHaveProperty(op);
    });
  });
}
