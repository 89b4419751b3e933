import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { TrainingState } from "../../src/entries/training.ts";
import { type BuildOptions, loadRun, readTrainable } from "../../src/index.ts";
import { cli, MAIN } from "../support/cli.ts";
import { isFull } from "../support/counts.ts";
import { MPIS, type Mpi, startRanks, whyNoMpi } from "../support/mpi.ts";
import { normalizedNet, smallNet, writeTask } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** Two or three processes each, on a machine that has other things to do. */
vi.setConfig({ testTimeout: 240_000 });

/** 203 samples in batches of 32: the last has 11, which 2, 3 and 4 ranks share unevenly. */
const SAMPLES = 203;
const TRAIN = ["train", "artifacts", "--data", "data.safetensors", "--epochs", "8", "--lr", "0.01"];
const SCHEDULE = ["--schedule", "cosine", "--warmup-steps", "3", "--threads", "1"];

interface Trained {
  readonly losses: readonly number[];
  readonly state: TrainingState;
  readonly status: number | null;
  readonly stderr: string;
  readonly log: readonly Readonly<Record<string, unknown>>[];
}

async function outcomeOf(folder: string, name: string, status: number | null, stderr: string): Promise<Trained> {
  expect([status, stderr]).toEqual([0, expect.anything()]);
  const lines = readFileSync(join(folder, `${name}.jsonl`), "utf8")
    .trim()
    .split("\n");
  const log = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const losses = log.filter(({ type }) => type === "step").map(({ loss }) => Number(loss));
  const { state } = await loadRun(join(folder, name));
  return { losses, state, status, stderr, log };
}

const outputs = (name: string): readonly string[] => ["--log", `${name}.jsonl`, "--checkpoints", name, "--force"];

async function alone(folder: string, name: string, more: readonly string[]): Promise<Trained> {
  const { status, stderr } = cli([...TRAIN, ...SCHEDULE, ...more, ...outputs(name)], { cwd: folder });
  return outcomeOf(folder, name, status, stderr);
}

async function onRanks(
  mpi: Mpi,
  ranks: number,
  folder: string,
  name: string,
  more: readonly string[],
): Promise<Trained> {
  const args = [MAIN, ...TRAIN, ...SCHEDULE, ...more, ...outputs(name)];
  const { status, stderr } = await startRanks(mpi, ranks, args, { cwd: folder }).ended;
  return outcomeOf(folder, name, status, stderr);
}

/** The largest difference of two runs' losses, relative to the loss. */
function lossesApart(a: Trained, b: Trained): number {
  expect(a.losses).toHaveLength(b.losses.length);
  return Math.max(...a.losses.map((loss, step) => Math.abs(loss - (b.losses[step] ?? Number.NaN)) / Math.abs(loss)));
}

/** The largest difference of a tensor, as Euclidean norms, relative to the tensor. */
function stateApart(a: TrainingState, b: TrainingState): number {
  const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return Math.max(
    ...[...a.tensors].map(([name, tensor]) => {
      const [x, y] = [tensor, b.tensors.get(name)].map((each) => Array.from(each?.values() ?? [], Number));
      if (x === undefined || y === undefined || x.length !== y.length) throw new Error(`${name} is not the same`);
      return norm(x.map((value, index) => value - (y[index] ?? Number.NaN))) / norm(x);
    }),
  );
}

const OPTIMIZERS: readonly Partial<BuildOptions>[] = [
  { optimizer: { name: "adamw" }, agr: {} },
  { optimizer: { name: "adan", clipNorm: 0.5 }, agr: {} },
];

/** How many ranks of which MPI train with which optimizer: each with each other, or as many as each meets each other in. */
const RANKS: Readonly<Record<string, Readonly<Record<Mpi["name"], readonly number[]>>>> = {
  adamw: { "Open MPI": [2, 4], MPICH: [3] },
  adan: { "Open MPI": [3], MPICH: [2, 4] },
};

describe.skipIf(whyNoMpi !== null)(`ranks that train together${whyNoMpi === null ? "" : ` (${whyNoMpi})`}`, () => {
  for (const optimizer of OPTIMIZERS) {
    const { name = "" } = optimizer.optimizer ?? {};
    describe(`with ${name} and AGR`, () => {
      const task: { folder: string; whole?: Trained } = { folder: "" };
      beforeAll(async () => {
        const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
        task.folder = await writeTask(folder, smallNet(), optimizer, SAMPLES);
      });
      afterAll(() => rmSync(task.folder, { recursive: true, force: true }));

      for (const [index, mpi] of MPIS.entries()) {
        it.each(isFull ? [2, 3, 4] : (RANKS[name]?.[mpi.name] ?? []))(
          `row 86: %i of ${mpi.name} are one with all samples`,
          async (ranks) => {
            task.whole ??= await alone(task.folder, "whole", ["--batch-size", "32"]);
            const each = 32 % ranks === 0 ? ["--batch-size", String(32 / ranks)] : ["--global-batch-size", "32"];
            const together = await onRanks(mpi, ranks, task.folder, `${mpi.command}-${ranks}`, each);
            expect(together.losses).toHaveLength(56);
            /** Sums in another order: a few roundings of float32 (6e-8), of which Adan makes the most where gradients cancel. */
            expect(lossesApart(together, task.whole)).toBeLessThan(1e-6);
            expect(stateApart(task.whole.state, together.state)).toBeLessThan(1e-4);
          },
        );

        if (index > 0) continue;
        it("accumulating too", async () => {
          const together = await onRanks(mpi, 2, task.folder, "accumulated-2", [
            "--batch-size",
            "8",
            "--accumulate",
            "2",
          ]);
          const whole = await alone(task.folder, "accumulated", ["--batch-size", "16", "--accumulate", "2"]);
          expect(together.losses).toHaveLength(56);
          expect(lossesApart(together, whole)).toBeLessThan(1e-6);
        });
      }
    });
  }

  for (const mpi of MPIS) {
    it(`of ${mpi.name}: one is no MPI, and three are three again, bit for bit`, async () => {
      const folder = await writeTask(temporaryFolder(), smallNet(), OPTIMIZERS[0] ?? {}, SAMPLES);
      const plain = await alone(folder, "plain", ["--batch-size", "32"]);
      const one = await onRanks(mpi, 1, folder, "one", ["--batch-size", "32"]);
      expect(one.losses).toEqual(plain.losses);
      expect(one.state).toEqual(plain.state);
      /** More than a hundred steps: the ranks compare their parameters, and are the same bit for bit. Once, whatever the MPI. */
      const [epochs, steps] = isFull || mpi === MPIS[0] ? ["8", 112] : ["2", 28];
      const [first, second] = [
        await onRanks(mpi, 3, folder, "first", ["--batch-size", "5", "--epochs", epochs]),
        await onRanks(mpi, 3, folder, "second", ["--batch-size", "5", "--epochs", epochs]),
      ];
      expect(second.losses).toEqual(first.losses);
      expect(second.state).toEqual(first.state);
      expect(first.losses).toHaveLength(steps);
    });
  }

  const [mpi] = MPIS;
  if (mpi === undefined) return;

  it("row 86: fewer samples than ranks, and batches that some have no part of", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), OPTIMIZERS[0] ?? {}, 3);
    const whole = await alone(folder, "whole", ["--batch-size", "4"]);
    const together = await onRanks(mpi, 4, folder, "together", ["--batch-size", "1"]);
    expect(together.losses).toHaveLength(8);
    expect(lossesApart(together, whole)).toBeLessThan(1e-6);
  });

  it("row 86: whole batches alone for a model that takes no others, and a rest is refused", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(8), OPTIMIZERS[0] ?? {}, 40);
    const together = await onRanks(mpi, 2, folder, "together", []);
    expect(together.log.filter(({ epoch }) => epoch === 0).map(({ samples }) => samples)).toEqual([
      16,
      16,
      8,
      undefined,
    ]);
    const data = await writeTask(temporaryFolder(), smallNet(), {}, 41);
    const args = [MAIN, "train", join(folder, "artifacts"), "--data", join(data, "data.safetensors")];
    const { status, stderr } = await startRanks(mpi, 2, args, { cwd: folder }).ended;
    expect([status, stderr]).toEqual([5, expect.stringMatching(/\[E_BATCH\].*last batch of 1/)]);
  });

  it("average running statistics, and say so; with ONNX Runtime in processes of their own, to the same bits", async () => {
    const folder = await writeTask(temporaryFolder(), normalizedNet(), OPTIMIZERS[0] ?? {}, SAMPLES);
    const together = await onRanks(mpi, 2, folder, "together", ["--batch-size", "16", "--epochs", "2"]);
    expect(together.stderr).toMatch(/2 running statistics are averaged over the ranks/);
    const apart = await onRanks(mpi, 2, folder, "apart", ["--batch-size", "16", "--epochs", "2", "--isolate"]);
    expect(apart.losses).toEqual(together.losses);
    expect(apart.state).toEqual(together.state);
    const before = (await readTrainable(join(folder, "artifacts"))) as { readonly state: TrainingState };
    const moved = [...before.state.tensors].filter(
      ([name, tensor]) =>
        JSON.stringify([...tensor.values()]) !==
        JSON.stringify([...(together.state.tensors.get(name)?.values() ?? [])]),
    );
    expect(moved.map(([name]) => name)).toEqual(expect.arrayContaining(["bn.mean", "bn.var"]));
  });

  it("skip an update together where the gradients of one overflow float16, and keep one scale", async () => {
    const mixed: Partial<BuildOptions> = {
      ...{ optimizer: { name: "adamw" }, agr: {}, targets: ["portable"] },
      ...{ precision: "float16", lossScale: { initial: 2 ** 24 } },
    };
    const folder = await writeTask(temporaryFolder(), smallNet(), mixed, SAMPLES);
    const together = await onRanks(mpi, 2, folder, "together", ["--batch-size", "8"]);
    const steps = together.log.filter(({ type }) => type === "step");
    const skipped = steps.map((each) => Number(each["skipped"]));
    const count = skipped.reduce((sum, each) => sum + each, 0);
    /** At first, in a row; the ranks compare their parameters after 100 of the 104 steps, and these are finite. */
    expect([steps.length, count]).toEqual([104, expect.toSatisfy((number: number) => number >= 3 && number < 20)]);
    expect(skipped.slice(0, 3)).toEqual([1, 1, 1]);
    expect(steps.at(-1)?.["lossScale"]).toBe(2 ** (24 - count));
    expect(Number(together.losses.at(-1))).toBeLessThan(Number(together.losses[0]));
    const apart = startRanks(mpi, 2, [MAIN, ...TRAIN, "--local-steps", "4"], { cwd: folder });
    expect(await apart.ended).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("localSteps must be left out where the loss's scale is dynamic"),
    });
  });

  it("evaluate together", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), {}, SAMPLES);
    const evaluate = ["eval", "artifacts", "--data", "data.safetensors", "--batch-size", "16", "--json"];
    const whole = JSON.parse(cli(evaluate, { cwd: folder }).stdout) as { readonly loss: number };
    const { status, stdout } = await startRanks(mpi, 3, [MAIN, ...evaluate], { cwd: folder }).ended;
    expect(status).toBe(0);
    const together = JSON.parse(stdout) as { readonly loss: number };
    /** Sums in float64 of losses in float32, in another order. */
    expect(Math.abs(together.loss - whole.loss)).toBeLessThan(1e-12);
    expect(together).toEqual({ ...whole, loss: together.loss });
  });

  it("say in the log and at the end what the exchange took", async () => {
    const folder = await writeTask(temporaryFolder(), smallNet(), OPTIMIZERS[0] ?? {}, SAMPLES);
    const args = [MAIN, ...TRAIN, "--log", "run.jsonl", "--checkpoints", "run"];
    const { stdout, stderr } = await startRanks(mpi, 2, args, { cwd: folder }).ended;
    expect(stderr).toMatch(/^2 ranks, Open MPI v[\d.]+; batches of 64 \(32 each\)$/m);
    expect(stderr).toMatch(/^\d+ threads? per rank \(--threads\)$/m);
    expect(stdout).toMatch(/^of the time: packing [\d.]+ %, all-reduce [\d.]+ %, of that waited for [\d.]+ %$/m);
    const [step] = readFileSync(join(folder, "run.jsonl"), "utf8").split("\n");
    expect(JSON.parse(step ?? "")).toMatchObject({
      exchange: {
        pack: expect.any(Number),
        reduce: expect.any(Number),
        wait: expect.any(Number),
        bytes: expect.any(Number),
      },
    });
  });
});
