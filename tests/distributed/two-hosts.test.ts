import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadRun } from "../../src/index.ts";
import { MAIN } from "../support/cli.ts";
import { MPIS, startRanks, whyNoMpi } from "../support/mpi.ts";
import { processesWith } from "../support/processes-of.ts";
import { smallNet, writeTask } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";
import { makeHosts, type TwoHosts, whyNoHosts } from "../support/two-hosts.ts";

vi.setConfig({ testTimeout: 240_000 });

const TRAIN = [
  "train",
  "artifacts",
  "--data",
  "data.safetensors",
  "--threads",
  "1",
  "--lr",
  "0.01",
  "--batch-size",
  "16",
];
const RANK = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"] as const;
const why = whyNoMpi ?? whyNoHosts();

describe.skipIf(why !== null)(`two hosts${why === null ? "" : ` (${why})`}`, () => {
  let hosts: TwoHosts | null = null;
  let folder = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
    hosts = makeHosts(folder);
  });
  afterAll(() => {
    hosts?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const made = (): TwoHosts => {
    if (hosts === null) throw new Error("there are no hosts");
    return hosts;
  };
  const task = (): Promise<string> =>
    writeTask(temporaryFolder(), smallNet(), { optimizer: { name: "adamw" }, agr: {} }, 203);
  const lossesOf = (cwd: string, log: string): readonly string[] => {
    try {
      return readFileSync(join(cwd, log), "utf8").match(/"loss":[^,]+/g) ?? [];
    } catch {
      return [];
    }
  };

  for (const mpi of MPIS) {
    it(`over ${mpi.name} train the numbers of one`, async () => {
      const cwd = await task();
      const args = (name: string) => [MAIN, ...TRAIN, "--epochs", "5", "--checkpoints", name, "--log", `${name}.jsonl`];
      const before = made().received();
      const two = await startRanks(made().on(mpi), 2, args("two"), { cwd }).ended;
      expect([two.status, two.stderr]).toEqual([0, expect.stringContaining("2 ranks, ")]);
      const one = await startRanks(mpi, 2, args("one"), { cwd }).ended;
      expect(one.status).toBe(0);
      expect(lossesOf(cwd, "two.jsonl")).toEqual(lossesOf(cwd, "one.jsonl"));
      const { state } = await loadRun(join(cwd, "two"));
      expect(state).toEqual((await loadRun(join(cwd, "one"))).state);
      /** What they summed up went over the cable: 35 times 276 parameters. */
      expect(made().received() - before).toBeGreaterThan(35 * 276 * 4);
    });

    it(`row 83: over ${mpi.name} end within 5 s where the other host's rank is killed`, async () => {
      const cwd = await task();
      const args = [
        MAIN,
        ...TRAIN,
        "--epochs",
        "100000",
        "--checkpoints",
        "run",
        "--save-every",
        "5",
        "--log",
        "log.jsonl",
      ];
      const { ended } = startRanks(made().on(mpi), 2, args, { cwd });
      const ranks = () =>
        RANK.flatMap((name) => processesWith(name, "1")).filter(({ environment }) => environment["PWD"] === cwd);
      while (lossesOf(cwd, "log.jsonl").length < 10) await sleep(50);
      const [victim, ...others] = ranks();
      expect(others).toEqual([]);
      if (victim === undefined) throw new Error("the other host's rank is not to be found");
      process.kill(victim.pid, "SIGKILL");
      const killed = performance.now();
      const { status } = await ended;
      expect([status === 0, performance.now() - killed < 5000, ranks()]).toEqual([false, true, []]);
      expect((await loadRun(join(cwd, "run"))).manifest.step % 5).toBe(0);
    });
  }
});
