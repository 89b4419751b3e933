import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { decodeCheckpoint, encodeSafetensors } from "../../src/entries/training.ts";
import { loadRun } from "../../src/index.ts";
import { DIGITS, MAIN } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Running {
  readonly child: ChildProcess;
  readonly folder: string;
  /** Exit code, and the last line of stdout. */
  readonly ended: Promise<{ readonly code: number | null; readonly last: string; readonly stderr: string }>;
}

/** Starts a training that takes hours, and waits for its first step. */
async function startTraining(...more: readonly string[]): Promise<Running> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(drawDigits(400, 5)));
  const args = ["train", DIGITS, "--data", "data.safetensors", "--epochs", "100000", "--json", ...more];
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder });
  let [last, stderr] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const first = new Promise((done) => child.stdout.once("data", done));
  child.stdout.on("data", (chunk: Buffer) => {
    last = `${last}${chunk.toString()}`.split("\n").slice(-2).join("\n");
  });
  const ended = new Promise<Awaited<Running["ended"]>>((done) =>
    child.on("close", (code) => done({ code, last, stderr })),
  );
  await Promise.race([first, ended]);
  return { child, folder, ended };
}

describe("row 76: a training that gets", () => {
  it.each([
    ["SIGINT", 130, 2],
    ["SIGTERM", 143, 1],
    ["SIGHUP", 129, 3],
  ] as const)(
    "%s ends with %d after the step, and saves, where the signal comes %d times at once too",
    async (signal, code, times) => {
      const { child, folder, ended } = await startTraining("-o", "trained", "--checkpoints", "run");
      for (let nth = 0; nth < times; nth++) {
        child.kill(signal);
        await sleep(30);
      }
      const { code: status, last, stderr } = await ended;
      expect([status, stderr]).toEqual([code, ""]);
      expect(JSON.parse(last)).toMatchObject({ type: "end", interrupted: true, output: "trained", checkpoints: "run" });
      expect(decodeCheckpoint(readFileSync(join(folder, "trained"))).trainable).toHaveLength(6);
      expect((await loadRun(join(folder, "run"))).incomplete).toEqual([]);
      expect(readdirSync(folder).sort()).toEqual(["data.safetensors", "run", "trained"]);
    },
  );

  it.skipIf(process.platform !== "linux")(
    "a second signal later, while the step does not end, ends at once and saves nothing (needs /proc)",
    async () => {
      const { child, folder } = await startTraining("--isolate", "-o", "trained");
      const [own] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
      process.kill(Number(own), "SIGSTOP");
      try {
        child.kill("SIGINT");
        await sleep(1000);
        expect(child.exitCode).toBe(null);
        // The stopped process keeps the pipes open, so there is no `close`.
        const exited = new Promise((done) => child.once("exit", done));
        child.kill("SIGTERM");
        expect(await exited).toBe(130);
        expect(existsSync(join(folder, "trained"))).toBe(false);
      } finally {
        if (existsSync(`/proc/${own}`)) process.kill(Number(own), "SIGKILL");
      }
    },
  );
});
