import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { GraphTensor } from "../../src/entries/graph.ts";
import { batches, planTraining } from "../../src/entries/run.ts";
import type { TrainingState } from "../../src/entries/training.ts";
import {
  datasetFor,
  loadRun,
  type NamedTensors,
  readDataFile,
  readPortable,
  TrainingSession,
} from "../../src/index.ts";
import { cli, MAIN } from "../support/cli.ts";
import { MPIS, startRanks, whyNoMpi } from "../support/mpi.ts";
import { smallNet, writeTask } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

vi.setConfig({ testTimeout: 240_000 });

/** Seven batches of 32 samples in an epoch, the last of 11, of which two ranks have 5 and 6. */
const SAMPLES = 203;
const TRAIN = [
  "train",
  "artifacts",
  "--data",
  "data.safetensors",
  "--threads",
  "1",
  "--lr",
  "0.05",
  "--batch-size",
  "16",
];

async function onRanks(folder: string, ranks: number, name: string, more: readonly string[]) {
  const [mpi] = MPIS;
  if (mpi === undefined) throw new Error("there is no MPI");
  const args = [MAIN, ...TRAIN, "--checkpoints", name, "--log", `${name}.jsonl`, ...more];
  const { status, stderr } = await startRanks(mpi, ranks, args, { cwd: folder }).ended;
  expect([status, stderr]).toEqual([0, expect.anything()]);
  return { losses: lossesOf(folder, name), ...(await loadRun(join(folder, name))) };
}

const lossesOf = (folder: string, name: string): readonly number[] =>
  readFileSync(join(folder, `${name}.jsonl`), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly type: string; readonly loss: number })
    .filter(({ type }) => type === "step")
    .map(({ loss }) => loss);

function farthest(a: TrainingState, b: TrainingState): number {
  const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return Math.max(
    ...[...a.tensors].map(([name, tensor]) => {
      const x = Array.from(tensor.values(), Number);
      const y = Array.from(b.tensors.get(name)?.values() ?? [], Number);
      return norm(x.map((value, index) => value - (y[index] ?? Number.NaN))) / norm(x);
    }),
  );
}

/** The same by its definition: sessions side by side, whose states are averaged by hand. */
async function byHand(folder: string, ranks: number, steps: number, epochs: number, withMoments: boolean) {
  const source = await readPortable(join(folder, "artifacts"));
  const sessions: TrainingSession[] = [];
  for (let rank = 0; rank < ranks; rank++) {
    sessions.push(await TrainingSession.create(source, { learningRate: 0.05, threads: 1, stepsPerCall: 1 }));
  }
  const [first] = sessions;
  if (first === undefined) throw new Error("there is no session");
  const dataset = datasetFor(first.trainingInputs, await readDataFile(join(folder, "data.safetensors")));
  const plan = planTraining(first.trainingInputs, dataset, { batchSize: 16 * ranks, epochs });
  const parameters = new Set(Object.keys(await first.lendState("parameter")));
  for (let epoch = 0; epoch < epochs; epoch++) {
    const shards = sessions.map((_, rank) => [
      ...batches(dataset, epoch, { ...plan, shard: { rank, size: ranks, unit: 1 } }),
    ]);
    for (let from = 0; from < plan.stepsPerEpoch; from += steps) {
      const samples: number[] = [];
      const to = Math.min(from + steps, plan.stepsPerEpoch);
      for (const [rank, session] of sessions.entries()) {
        const own: readonly NamedTensors[] = shards[rank]?.slice(from, to) ?? [];
        for (const feeds of own) await session.trainSteps([feeds]);
        samples.push(own.reduce((sum, feeds) => sum + (feeds["labels"]?.size ?? 0), 0));
      }
      const states: TrainingState[] = [];
      for (const session of sessions) states.push(await session.getState());
      const total = samples.reduce((sum, each) => sum + each, 0);
      for (const [rank, session] of sessions.entries()) {
        const own = states[rank];
        if (own === undefined) throw new Error("a state is missing");
        const tensors = [...own.tensors].map(([name, tensor]) => {
          if (!withMoments && !parameters.has(name)) return [name, tensor] as const;
          const all = states.map((state) => Array.from(state.tensors.get(name)?.values() ?? [], Number));
          const mean = Float32Array.from({ length: tensor.size }, (_, index) =>
            all.reduce((sum, values, each) => sum + ((values[index] ?? Number.NaN) * (samples[each] ?? 0)) / total, 0),
          );
          return [name, GraphTensor.from(tensor.dtype, tensor.dims, mean)] as const;
        });
        await session.loadState({ ...own, tensors: new Map(tensors) });
      }
    }
  }
  const state = await first.getState();
  for (const session of sessions) await session.release();
  return state;
}

describe.skipIf(whyNoMpi !== null)(`local steps${whyNoMpi === null ? "" : ` (${whyNoMpi})`}`, () => {
  it.each([
    [2, 3, []],
    [3, 2, ["--no-average-moments"]],
  ] as const)("of %i ranks, averaged every %i, are what they are by hand", async (ranks, steps, flags) => {
    const folder = await writeTask(temporaryFolder(), smallNet(), { optimizer: { name: "adamw" }, agr: {} }, SAMPLES);
    const { state } = await onRanks(folder, ranks, "run", ["--epochs", "3", "--local-steps", String(steps), ...flags]);
    const expected = await byHand(folder, ranks, steps, 3, flags.length === 0);
    expect(state.step).toBe(expected.step);
    /** The means are rounded to float32 once more on either side; 21 updates of AdamW follow. */
    expect(farthest(expected, state)).toBeLessThan(1e-5);
  });

  it("of one, with plain gradient descent, are averaged gradients", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), { optimizer: { name: "sgd" } }, SAMPLES);
    const apart = await onRanks(folder, 2, "apart", ["--epochs", "3", "--local-steps", "1"]);
    const together = await onRanks(folder, 2, "together", ["--epochs", "3"]);
    for (const [step, loss] of apart.losses.entries())
      expect(Math.abs(loss - (together.losses[step] ?? Number.NaN))).toBeLessThan(1e-6 * loss);
    expect(farthest(together.state, apart.state)).toBeLessThan(1e-6);
  });

  it("save where ranks have met, and go on from there bit for bit", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), { optimizer: { name: "adamw" }, agr: {} }, SAMPLES);
    const steps = ["--local-steps", "3"];
    const whole = await onRanks(folder, 2, "whole", ["--epochs", "4", ...steps]);
    expect(whole.losses).toHaveLength(28);
    const half = await onRanks(folder, 2, "half", ["--epochs", "2", "--save-every", "2", "--keep", "20", ...steps]);
    expect(half.losses).toEqual(whole.losses.slice(0, 14));
    /** Within an epoch of seven: after three, six, seven. */
    for (const step of [3, 10]) {
      const from = join(folder, "half", `step-${String(step).padStart(10, "0")}`);
      const rest = await onRanks(folder, 2, `from-${step}`, ["--epochs", "4", "--resume", from, ...steps]);
      expect(rest.losses).toEqual(whole.losses.slice(step));
      expect(rest.state).toEqual(whole.state);
    }
    const other = cli(
      [...TRAIN, "--global-batch-size", "32", "--epochs", "4", "--resume", "half", "--checkpoints", "x"],
      { cwd: folder },
    );
    expect([other.status, other.stderr]).toEqual([
      2,
      expect.stringMatching(/globalBatchSize must be given without batchSize/),
    ]);
    const alone = cli(
      [
        "train",
        "artifacts",
        "--data",
        "data.safetensors",
        "--lr",
        "0.05",
        "--threads",
        "1",
        "--batch-size",
        "32",
        "--resume",
        "half",
        "--checkpoints",
        "x",
      ],
      { cwd: folder },
    );
    expect([alone.status, alone.stderr]).toEqual([
      8,
      expect.stringMatching(/ranks was 2, is nothing; localSteps was 3, is nothing/),
    ]);
  });

  it("are refused with accumulation", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), {}, SAMPLES);
    const { status, stderr } = cli([...TRAIN, "--local-steps", "2", "--accumulate", "2"], { cwd: folder });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/localSteps and accumulate cannot be given together/)]);
  });
});
