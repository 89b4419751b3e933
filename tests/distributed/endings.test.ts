import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { loadRun } from "../../src/index.ts";
import { MAIN } from "../support/cli.ts";
import { MPIS, startRanks, whyNoMpi } from "../support/mpi.ts";
import { processesWith } from "../support/processes-of.ts";
import { lossesOf, MARK, makeTask, RANK, startJob, TRAIN } from "../support/rank-job.ts";

vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(whyNoMpi !== null)(
  `ranks that end before their last step${whyNoMpi === null ? "" : ` (${whyNoMpi})`}`,
  () => {
    for (const mpi of MPIS) {
      it.each(["SIGINT", "SIGTERM"] as const)(
        `of ${mpi.name} save together on %s of mpirun, and say how to go on`,
        async (signal) => {
          const folder = await makeTask();
          const job = await startJob(
            mpi,
            2,
            folder,
            ["--epochs", "100000", "--checkpoints", "run", "--log", "run.jsonl"],
            "run.jsonl",
          );
          job.child.kill(signal);
          const { stdout } = await job.ended;
          const { manifest } = await loadRun(join(folder, "run"));
          expect(manifest.step).toBe(lossesOf(folder, "run.jsonl").length);
          expect(stdout).toMatch(/^to go on: mpirun -n 2 onnx-agr train artifacts .*--resume run$/m);
        },
      );

      it(`of ${mpi.name}: a signal to one that is not the first ends all as if it had come to each, and rank 0 says so`, async () => {
        const folder = await makeTask();
        const outputs = ["--epochs", "100000", "--checkpoints", "run", "--log", "run.jsonl"];
        const job = await startJob(mpi, 2, folder, outputs, "run.jsonl");
        process.kill(job.pids.get(1) ?? Number.NaN, "SIGTERM");
        const { status, stdout } = await job.ended;
        const { manifest } = await loadRun(join(folder, "run"));
        expect([status, manifest.step]).toEqual([143, lossesOf(folder, "run.jsonl").length]);
        expect(stdout).toMatch(/steps \(interrupted\), .*run saved in run$/m);
        expect(stdout).toMatch(/^to go on: mpirun -n 2 onnx-agr train artifacts .*--resume run$/m);
      });
    }

    const [mpi] = MPIS;
    if (mpi === undefined) return;

    it("end early where one process would, and say what another rank's clock ended", async () => {
      const folder = await makeTask();
      /** A rate of 0: the loss of the validation is never better than after the first epoch. */
      const patience = ["--validation", "0.2", "--patience", "1", "--epochs", "9", "--lr", "0", "--batch-size", "16"];
      const outputs = ["--log", "log.jsonl", "--checkpoints", "run"];
      const { status, stdout } = await startRanks(mpi, 2, [MAIN, ...TRAIN, ...patience, ...outputs], { cwd: folder })
        .ended;
      expect([status, stdout]).toEqual([
        0,
        expect.stringMatching(/^12 of 54 steps \(no better validation loss in 1 epochs\)/m),
      ]);
      expect(lossesOf(folder, "log.jsonl")).toHaveLength(12);
      expect((await loadRun(join(folder, "run"))).manifest).toMatchObject({
        step: 12,
        position: { epoch: 2, batch: 0 },
      });
      const script = join(folder, "rank.mjs");
      writeFileSync(
        script,
        `const isSecond = (process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK) === "1";
      process.argv = [process.argv[0], ${JSON.stringify(MAIN)}, ...${JSON.stringify(TRAIN)}, "--epochs", "100000", ...(isSecond ? ["--max-seconds", "0.2"] : [])];
      await import(${JSON.stringify(MAIN)});`,
      );
      const timed = await startRanks(mpi, 2, [script], { cwd: folder }).ended;
      expect([timed.status, timed.stdout]).toEqual([
        0,
        expect.stringMatching(/^\d+ of 400000 steps \(--max-seconds 0\.2 are over\)/m),
      ]);
    });

    it("row 83: that wait for one which never joins end on a signal", async () => {
      const folder = await makeTask();
      for (const each of MPIS) {
        const mark = randomUUID();
        const flags = ["-n", "1", "sleep", "100", ":"];
        const options = { cwd: folder, env: { [MARK]: mark }, flags };
        const { child, ended } = startRanks(each, 1, [MAIN, ...TRAIN], options);
        const ours = () =>
          processesWith(MARK, mark).filter(({ environment }) => RANK.some((name) => environment[name] === "1"));
        while (ours().length === 0) await sleep(20);
        await sleep(1000);
        child.kill("SIGTERM");
        const killed = performance.now();
        expect((await ended).status).not.toBe(0);
        expect([performance.now() - killed < 5000, ours()]).toEqual([true, []]);
      }
    });
  },
);
