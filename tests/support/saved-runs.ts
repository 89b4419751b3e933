import { GraphTensor, sha256 } from "../../src/entries/graph.ts";
import type { TrainingState } from "../../src/entries/training.ts";
import { type RunManifest, saveRun } from "../../src/index.ts";

export const stateAt = (step: number): TrainingState => ({
  step,
  tensors: new Map([
    ["w", GraphTensor.floats([3], [step, 2, 3])],
    ["w/adamw/momentum0", GraphTensor.floats([3], [0, 0, step])],
  ]),
  nominal: false,
  initialLearningRate: 0.001,
  properties: new Map([["epoch", { kind: "int", value: 3n }]]),
});

export const manifestAt = (step: number): RunManifest => ({
  step,
  position: { epoch: 1, batch: step, lossSum: 0.5, samples: 4 * step },
  options: { batchSize: 4, seed: 1, agr: null },
  hashes: { data: sha256(Uint8Array.of(1)) },
});

export const save = (folder: string, step: number, keep = 2): Promise<string> =>
  saveRun(folder, stateAt(step), manifestAt(step), { keep });
