import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { launchOf } from "../../src/distributed/launch.ts";
import { exchangeBytes, exchangeNumbers, joinRanks, requireAlike } from "../../src/entries/run.ts";
import { errorOf } from "../support/errors.ts";
import { MPIS, startRanks, whyNoMpi } from "../support/mpi.ts";
import { temporaryFolder } from "../support/temporary.ts";

const SCRIPT = fileURLToPath(new URL("../support/rank-check.mjs", import.meta.url));

interface RankReport {
  readonly rank: number;
  readonly size: number;
  readonly library: string;
  /** Hash of the sums. */
  readonly floats: string;
  readonly first: readonly number[];
  readonly doubles: readonly number[];
  readonly view: readonly number[];
  readonly isAroundKept: boolean;
  readonly bytes: readonly number[];
  readonly parts: readonly number[];
  readonly text: string;
  readonly long: string;
  readonly gathered: readonly (readonly number[])[];
}

const reports = (stdout: string): readonly RankReport[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as RankReport)
    .toSorted((a, b) => a.rank - b.rank);

const sumOf = (ranks: number, index: number): number =>
  Array.from({ length: ranks }, (_, rank) => Math.sin(rank * 1000 + index) * 10 ** (index % 7)).reduce((a, b) => a + b);

describe.skipIf(whyNoMpi !== null)(`ranks${whyNoMpi === null ? "" : ` (${whyNoMpi})`}`, () => {
  for (const mpi of MPIS) {
    it.each([1, 2, 3])(`of ${mpi.name} add up, broadcast and gather, the same bits on all: %i`, async (ranks) => {
      const { status, stdout, stderr } = await startRanks(mpi, ranks, [SCRIPT, "calls"]).ended;
      expect([status, stderr]).toEqual([0, ""]);
      const all = reports(stdout);
      expect(all.map(({ rank, size }) => [rank, size])).toEqual(
        Array.from({ length: ranks }, (_, rank) => [rank, ranks]),
      );
      const [first] = all;
      if (first === undefined) throw new Error("no rank said anything");
      for (const report of all) expect({ ...report, rank: 0 }).toEqual(first);
      const { library, doubles, floats: _, ...rest } = first;
      expect(library).toMatch(mpi.name === "MPICH" ? /^MPICH/ : /^Open MPI v/);
      /** A few roundings of the largest summand. */
      for (const [index, value] of doubles.entries())
        expect(Math.abs(value - sumOf(ranks, index))).toBeLessThan(2 ** -52 * ranks * 10 ** (index % 7));
      for (const [index, value] of rest.first.entries())
        expect(Math.abs(value - sumOf(ranks, index))).toBeLessThan(2 ** -23 * ranks * 10 ** (index % 7));
      const added = (ranks * (ranks + 1)) / 2;
      expect(rest).toMatchObject({
        ...{ view: [added, added, added], isAroundKept: true, bytes: [ranks - 1, ranks, ranks + 1] },
        parts: Array.from({ length: 3 * ranks + 1 }, (_, at) => Math.min(ranks - 1, Math.floor((at + 1) / 3))),
        ...{ text: "", long: `rank ${ranks - 1} says` },
        gathered: Array.from({ length: ranks }, (_, rank) => [rank, rank * rank]),
      });
    });

    it(`of ${mpi.name} that differ are named on all`, async () => {
      const { status, stdout } = await startRanks(mpi, 3, [SCRIPT, "differ"]).ended;
      expect(status).toBe(0);
      const message = "rank 1 differs from rank 0: lr is 0.1, on rank 0 0.2";
      for (const report of reports(stdout))
        expect(report).toMatchObject({ code: "E_RANKS_DIFFER", exitCode: 10, message });
    });

    it(`of ${mpi.name} end together where one gives up, with its exit code`, async () => {
      const began = performance.now();
      const { status } = await startRanks(mpi, 2, [SCRIPT, "abort"]).ended;
      expect(status).toBe(10);
      expect(performance.now() - began).toBeLessThan(30_000);
    });
  }
});

const whyNoLibrary =
  whyNoMpi ??
  (spawnSync("cc", ["--version"]).status === 0 ? null : "needs cc, with which a library is made that hangs");

describe.skipIf(whyNoLibrary !== null)(`MPICH's end${whyNoLibrary === null ? "" : ` (${whyNoLibrary})`}`, () => {
  it.each(["all", "1"])("is not waited for where it does not come: on %s of three ranks", async (which) => {
    const folder = temporaryFolder();
    const source = join(folder, "hang.c");
    const library = join(folder, "libhang.so");
    writeFileSync(
      source,
      `#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int MPI_Finalize(void) {
  const char *rank = getenv("PMI_RANK");
  if (strcmp("${which}", "all") == 0 || strcmp("${which}", rank) == 0) for (;;) pause();
  return ((int (*)(void))dlsym(RTLD_NEXT, "MPI_Finalize"))();
}
`,
    );
    const made = spawnSync(
      "cc",
      ["-shared", "-fPIC", "-o", library, source, "-Wl,--no-as-needed", "-l:libmpich.so.12"],
      {
        encoding: "utf8",
      },
    );
    expect([made.status, made.stderr]).toEqual([0, ""]);
    const mpich = MPIS.find(({ name }) => name === "MPICH");
    if (mpich === undefined) throw new Error("MPICH is not there");
    const { status, stdout, stderr } = await startRanks(mpich, 3, [SCRIPT, "end", library]).ended;
    expect([status, stderr]).toEqual([0, ""]);
    expect(reports(stdout).map(({ rank }) => rank)).toEqual([0, 1, 2]);
  });
});

describe("a process that was started by itself", () => {
  it("row 85: is the only rank, and loads no MPI", async () => {
    const communicator = await joinRanks();
    expect([communicator.rank, communicator.size, communicator.library]).toEqual([0, 1, "no MPI"]);
    const values = Float32Array.of(1, 2);
    await communicator.allReduceSum(values);
    await communicator.barrier();
    expect([...values]).toEqual([1, 2]);
    expect(await exchangeNumbers(communicator, [3, 4])).toEqual([[3, 4]]);
    expect(await exchangeBytes(communicator, Uint8Array.of(7))).toEqual(Uint8Array.of(7));
    await requireAlike(communicator, { anything: "goes" });
    await communicator.finalize();
  });
});

describe("what started the ranks", () => {
  it.each([
    [{ OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_LOCAL_SIZE: "2", PMIX_RANK: "1" }, "Open MPI", 4, 2],
    [{ PMI_SIZE: "3", PMI_RANK: "0", MPI_LOCALNRANKS: "3" }, "MPICH", 3, 3],
    [{ SLURM_STEP_NUM_TASKS: "8", PMIX_RANK: "1" }, null, 8, null],
  ] as const)("is seen in %o", (environment, family, ranks, localRanks) => {
    expect(launchOf(environment)).toMatchObject({ family, ranks, localRanks });
  });

  it("is nothing in the script of a job of Slurm, whose tasks srun has not started", () => {
    expect(launchOf({ SLURM_NTASKS: "4", SLURM_PROCID: "0" })).toBeNull();
    expect(launchOf({})).toBeNull();
  });

  it("row 85: is refused where srun started tasks that know nothing of each other", () => {
    const error = errorOf(() => launchOf({ SLURM_STEP_NUM_TASKS: "4", SLURM_PROCID: "0" }));
    expect([error.code, error.exitCode]).toEqual(["E_MPI_LAUNCH", 10]);
    expect(error.hint).toContain("srun --mpi=pmix");
  });
});
