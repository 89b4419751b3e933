import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { loadRun } from "../../src/index.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { MPIS, startRanks, whyNoMpi } from "../support/mpi.ts";
import { lossesOf, makeTask, SAMPLES, startJob, TRAIN } from "../support/rank-job.ts";
import { writeData } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

vi.setConfig({ testTimeout: 240_000 });

/** In an epoch of batches of 8. */
const UPDATES = 26;

/** Roundings of float32 (6e-8), grown over some hundred updates. */
const GROWN = 1e-4;

function apart(a: readonly number[], b: readonly number[]): number {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((loss, step) => Math.abs(loss - (b[step] ?? Number.NaN)) / Math.abs(loss)));
}

describe.skipIf(whyNoMpi !== null)(`ranks${whyNoMpi === null ? "" : ` (${whyNoMpi})`}`, () => {
  for (const mpi of MPIS) {
    it(`row 83, row 87: of ${mpi.name}: SIGKILL of any ends all within 5 s; the run goes on as if it had not been, with as many ranks or others`, async () => {
      const folder = await makeTask();
      const batch = ["--global-batch-size", "8"];
      const outputs = [...batch, "--checkpoints", "run", "--log", "run.jsonl"];
      const job = await startJob(mpi, 2, folder, ["--epochs", "100000", "--save-every", "1", ...outputs], "run.jsonl");
      /** A step is told before it is saved. */
      while ((await loadRun(join(folder, "run")).catch(() => null)) === null) await sleep(20);
      await sleep(400 * Math.random());
      const victim = Math.floor(2 * Math.random());
      expect([...job.pids.keys()].toSorted()).toEqual([0, 1]);
      const pid = job.pids.get(victim);
      if (pid === undefined) throw new Error(`rank ${victim} is not to be found`);
      process.kill(pid, "SIGKILL");
      const killed = performance.now();
      const { status } = await job.ended;
      while (job.left() > 0 && performance.now() - killed < 10_000) await sleep(50);
      expect([job.left(), performance.now() - killed < 5000, status === 0]).toEqual([0, true, false]);
      const { manifest } = await loadRun(join(folder, "run"));
      expect(manifest.step).toBeGreaterThan(0);
      /** To the end of the epoch after the one that was broken off. */
      const epochs = ["--epochs", String(Math.floor(manifest.step / UPDATES) + 2), "--save-every", "10"];
      const whole = [MAIN, ...TRAIN, ...epochs, ...batch, "--checkpoints", "whole", "--log", "whole.jsonl"];
      expect((await startRanks(mpi, 2, whole, { cwd: folder }).ended).status).toBe(0);
      const losses = lossesOf(folder, "whole.jsonl");
      expect(losses.length).toBeGreaterThanOrEqual(manifest.step + UPDATES);
      const resume = (name: string) => [
        ...[...TRAIN, ...epochs, ...batch],
        ...["--resume", "run", "--checkpoints", name, "--log", `${name}.jsonl`],
      ];
      expect((await startRanks(mpi, 2, [MAIN, ...resume("same")], { cwd: folder }).ended).status).toBe(0);
      expect(lossesOf(folder, "same.jsonl")).toEqual(losses.slice(manifest.step));
      const [same, unbroken] = [await loadRun(join(folder, "same")), await loadRun(join(folder, "whole"))];
      expect(same.state).toEqual(unbroken.state);
      expect((await startRanks(mpi, 3, [MAIN, ...resume("three")], { cwd: folder }).ended).status).toBe(0);
      expect(apart(lossesOf(folder, "three.jsonl"), losses.slice(manifest.step))).toBeLessThan(GROWN);
      const one = resume("one").map((arg) => (arg === "--global-batch-size" ? "--batch-size" : arg));
      expect(cli(one, { cwd: folder }).status).toBe(0);
      expect(apart(lossesOf(folder, "one.jsonl"), losses.slice(manifest.step))).toBeLessThan(GROWN);
    });

    it(`row 84: of ${mpi.name} with other data, options or models are named before the first step`, async () => {
      const folder = await makeTask();
      writeData(join(folder, "other.safetensors"), SAMPLES, 8);
      const script = join(folder, "rank.mjs");
      writeFileSync(
        script,
        `const isSecond = (process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK) === "1";
        process.argv = [process.argv[0], ${JSON.stringify(MAIN)}, ...${JSON.stringify(TRAIN)}.map((arg) =>
          isSecond && arg === "data.safetensors" ? "other.safetensors" : isSecond && arg === "0.01" ? "0.02" : arg)
          .concat("--epochs", isSecond ? "2" : "1")];
        await import(${JSON.stringify(MAIN)});`,
      );
      const { status, stderr } = await startRanks(mpi, 2, [script], { cwd: folder }).ended;
      expect([status, stderr]).toEqual([
        10,
        expect.stringMatching(
          /\[E_RANKS_DIFFER\] rank 0: rank 1 differs from rank 0: lr is 0\.02, on rank 0 0\.01; epochs is 2, on rank 0 1; data is [0-9a-f]{12}\.\.\., on rank 0 [0-9a-f]{12}/,
        ),
      ]);
      expect(stderr.match(/E_RANKS_DIFFER/g)).toHaveLength(1);
      expect(readdirSync(folder)).not.toContain("runs");
    });

    it(`row 83: of ${mpi.name}: an error on one ends all with its exit code, and is told once, with the rank`, async () => {
      const folder = await makeTask();
      const script = join(folder, "rank.mjs");
      writeFileSync(
        script,
        `const isSecond = (process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK) === "1";
        process.argv = [process.argv[0], ${JSON.stringify(MAIN)}, ...${JSON.stringify(TRAIN)}.map((arg) => isSecond && arg === "data.safetensors" ? "none.npz" : arg)];
        await import(${JSON.stringify(MAIN)});`,
      );
      const began = performance.now();
      const { status, stderr } = await startRanks(mpi, 2, [script], { cwd: folder }).ended;
      expect([status, stderr]).toEqual([3, expect.stringMatching(/error \[E_NO_FILE\] rank 1: none\.npz/)]);
      expect(performance.now() - began).toBeLessThan(60_000);
    });

    it(`of ${mpi.name}: a loss that is not finite ends all with 7, with step and rank`, async () => {
      const folder = await makeTask();
      const args = [MAIN, ...TRAIN, "--lr", "1e38", "--batch-size", "8"];
      const { status, stderr } = await startRanks(mpi, 2, args, { cwd: folder }).ended;
      expect([status, stderr]).toEqual([
        7,
        expect.stringMatching(/\[E_NOT_FINITE\] rank 0: the loss is \S+ at step \d+ .*, on rank \d/),
      ]);
      expect(stderr.match(/E_NOT_FINITE/g)).toHaveLength(1);
    });
  }

  const [mpi] = MPIS;
  if (mpi === undefined) return;

  it("row 84: of a command that is for one process are refused by name", () => {
    const args = ["compare", "model.onnx", "--loss", "mse", "--data", "d.npz", "--validation", "0.1", "-o", "runs"];
    const { status, stderr } = cli(args, { env: { OMPI_COMM_WORLD_SIZE: "2" } });
    expect([status, stderr]).toEqual([
      10,
      expect.stringMatching(/\[E_MPI_LAUNCH\] 2 ranks were started, and compare is of one process/),
    ]);
  });

  it("row 85: without the library, and with one that is none, are told what was tried", async () => {
    const folder = await makeTask();
    for (const [library, reason] of [
      ["libnothing.so.1", /cannot open shared object/],
      ["libm.so.6", /MPI_Get_library_version/],
    ] as const) {
      const { status, stderr } = await startRanks(mpi, 2, [MAIN, ...TRAIN, "--mpi", library], { cwd: folder }).ended;
      expect([status, stderr]).toEqual([
        10,
        expect.stringMatching(/\[E_MPI_LIBRARY\] the library of Open MPI is not there/),
      ]);
      expect(stderr).toMatch(reason);
      expect(stderr).toContain("--mpi <path of libmpi.so>");
    }
    const other = await startRanks(mpi, 2, [MAIN, ...TRAIN, "--mpi", "libmpich.so.12"], { cwd: folder }).ended;
    expect([other.status, other.stderr]).toEqual([10, expect.stringMatching(/libmpich\.so\.12 is MPICH Version: 4/)]);
  });

  it("row 85: without koffi, are told to install it", async () => {
    const folder = await makeTask();
    /** The package without its optional dependency. */
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const copy = temporaryFolder();
    for (const name of ["dist", "package.json"]) cpSync(join(root, name), join(copy, name), { recursive: true });
    mkdirSync(join(copy, "node_modules"));
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (name !== "koffi") symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
    }
    const { status, stderr } = await startRanks(mpi, 2, [join(copy, "dist/cli/main.js"), ...TRAIN], { cwd: folder })
      .ended;
    expect([status, stderr]).toEqual([10, expect.stringMatching(/\[E_KOFFI_MISSING\] .*npm install koffi/)]);
  });

  it("of a runtime that gives out no gradients are refused", async () => {
    const args = [MAIN, "train", DIGITS, "--data", "data.safetensors", "--runtime", "ort-training"];
    const folder = temporaryFolder();
    writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(drawDigits(64, 1)));
    const { status, stderr } = await startRanks(mpi, 2, args, { cwd: folder }).ended;
    expect([status, stderr]).toEqual([9, expect.stringMatching(/\[E_UNSUPPORTED\] rank \d: ort-training cannot/)]);
  });

  it("row 87: with another batch over all are refused by name, with what to give", async () => {
    const folder = await makeTask();
    const save = ["--epochs", "1", "--checkpoints", "run"];
    expect(cli([...TRAIN, ...save, "--batch-size", "32"], { cwd: folder }).status).toBe(0);
    const args = [MAIN, ...TRAIN, "--epochs", "2", "--resume", "run", "--checkpoints", "run", "--batch-size", "32"];
    const { status, stderr } = await startRanks(mpi, 2, args, { cwd: folder }).ended;
    expect([status, stderr]).toEqual([
      8,
      expect.stringMatching(/\[E_RESUME_MISMATCH\] rank 0: .*batchSize was 32, is 64.* give --global-batch-size 32\./),
    ]);
  });
});
