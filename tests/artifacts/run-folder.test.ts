import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lockRuns, newRun } from "../../src/entries/run.ts";
import { thisProcess } from "../../src/graph/io/processes.ts";
import { loadRun, saveRun } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";
import { manifestAt, save, stateAt } from "../support/saved-runs.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe("runs in one folder", () => {
  it("row 95: a second, shorter run stays beside the first, and is the one that is loaded", async () => {
    const folder = temporaryFolder();
    for (const step of [100, 200, 300]) await save(folder, step);
    const run = await newRun(folder);
    await saveRun(folder, stateAt(5), manifestAt(5), { keep: 2, run });
    await saveRun(folder, stateAt(7), manifestAt(7), { keep: 2, run });
    expect(readdirSync(folder).sort()).toEqual(
      ["5", "7", "200", "300"].map((step) => `step-${step.padStart(10, "0")}`),
    );
    expect([(await loadRun(folder)).state.step, (await loadRun(folder)).run]).toEqual([7, 2]);
    expect((await loadRun(join(folder, "step-0000000300"))).isNewest).toBe(false);
  });
});

describe("the folder of a run", () => {
  it("belongs to one process at a time", async () => {
    const folder = temporaryFolder();
    const unlock = await lockRuns(folder);
    const error = await rejectionOf(lockRuns(folder));
    expect([error.code, error.exitCode]).toEqual(["E_LOCKED", 6]);
    expect(error.message).toContain(`process ${process.pid} `);
    await unlock();
    await (await lockRuns(folder))();
    writeFileSync(join(folder, ".lock"), `${spawnSync(process.execPath, ["-e", ""]).pid}\n`);
    await (await lockRuns(folder))();
  });

  it.each([
    ["an empty lock", () => ""],
    ["the lock of a process whose number this one has now", () => JSON.stringify({ ...thisProcess(), start: "1" })],
    ["a bare number that is this process's own", () => String(process.pid)],
  ])("row 93: %s is nobody's", async (_, content) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, ".lock"), content());
    await (await lockRuns(folder))();
    expect(existsSync(join(folder, ".lock"))).toBe(false);
  });

  /** As if the holder had not written for a minute. */
  const silence = (folder: string): void => {
    const then = Date.now() / 1000 - 61;
    utimesSync(join(folder, ".lock"), then, then);
  };

  it("row 93: the lock of another boot or machine is taken over once it is silent for long, which is said", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, ".lock"), JSON.stringify({ ...thisProcess(), boot: "another" }));
    silence(folder);
    const said: string[] = [];
    await (await lockRuns(folder, { warn: (text) => said.push(text) }))();
    expect(said).toEqual([expect.stringMatching(/^took over .*\.lock: process \d+ of another container or machine/)]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("row 93: whose lock was taken over, or is gone, saves nothing more", async () => {
    const folder = temporaryFolder();
    const unlock = await lockRuns(folder);
    await save(folder, 1);
    const lock = join(folder, ".lock");
    rmSync(lock);
    const gone = await rejectionOf(save(folder, 2));
    expect([gone.code, gone.exitCode, gone.message]).toEqual(["E_LOCKED", 6, expect.stringContaining("was removed")]);
    writeFileSync(lock, JSON.stringify({ ...thisProcess(), pid: 12, boot: "another" }));
    const taken = await rejectionOf(save(folder, 2));
    expect(taken.message).toMatch(/^nothing was saved in .*: process 12 has taken over the lock of this run/);
    await unlock();
    expect(readdirSync(folder).sort()).toEqual([".lock", "step-0000000001"]);
  });

  const inContainer = (script: string): { readonly status: number | null; readonly stdout: string } =>
    spawnSync("unshare", ["-pf", "--mount-proc", "bash", "-c", `${script}; true`], { encoding: "utf8" });
  const hasNamespaces = inContainer("exit 0").status === 0;

  it.skipIf(!hasNamespaces)("row 93: a container that was killed goes on when it is started again (unshare -p)", () => {
    const folder = temporaryFolder();
    const locker = `import { lockRuns } from "${new URL("../../dist/entries/run.js", import.meta.url).href}";
      try { await lockRuns(process.argv[2]); console.log("locked by", process.pid); } catch (e) { console.log(e.code); }
      process.kill(process.pid, "SIGKILL");`;
    const program = join(folder, "lock.mjs");
    writeFileSync(program, locker);
    const run = (): string => inContainer(`"${process.execPath}" "${program}" "${folder}"`).stdout;
    const first = run();
    expect([first, existsSync(join(folder, ".lock"))]).toEqual([expect.stringMatching(/^locked by \d+\n$/), true]);
    silence(folder);
    expect(run()).toBe(first);
  });

  it.skipIf(!hasNamespaces)(
    "row 93: two containers that live share it: the second does not take the lock of the first (unshare -p)",
    async () => {
      const folder = temporaryFolder();
      const index = new URL("../../dist/entries/run.js", import.meta.url).href;
      const program = join(folder, "lock.mjs");
      writeFileSync(
        program,
        `import { lockRuns } from "${index}";
        try { await lockRuns(process.argv[2], { warn: console.log }); console.log("locked"); }
        catch (error) { console.log(error.code, error.message); process.exit(error.exitCode); }
        for (const end = Date.now() + 30_000; Date.now() < end; ); // a step that blocks the thread`,
      );
      const container = ["-pf", "--kill-child", "--mount-proc", process.execPath, program, folder];
      const first = spawn("unshare", container);
      try {
        await new Promise((done) => first.stdout.once("data", done));
        const { status, stdout } = spawnSync("unshare", container, { encoding: "utf8" });
        expect([status, stdout]).toEqual([
          6,
          expect.stringMatching(/^waiting up to \d+ s: process \d+ .*\nE_LOCKED process \d+ of another container/),
        ]);
      } finally {
        first.kill("SIGKILL");
        await new Promise((done) => first.once("exit", done));
      }
    },
  );
});
