import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

function data(): string {
  const path = join(temporaryFolder(), "digits.safetensors");
  writeFileSync(path, encodeSafetensors(drawDigits(40, 5)));
  return path;
}

/** Starts a training that takes hours, in a process group of its own, and waits for its first step. */
async function startTraining(...more: readonly string[]): Promise<{
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
}> {
  const args = ["train", DIGITS, "--data", data(), "--epochs", "100000", "--isolate", "--json", ...more];
  const child = spawn(process.execPath, [MAIN, ...args], { detached: true });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((done) =>
    child.on("close", (code) => done({ code, stderr })),
  );
  await Promise.race([new Promise((done) => child.stdout.once("data", done)), ended]);
  child.stdout.resume();
  return { child, ended };
}

describe("row 103: --isolate ends as without it:", () => {
  it.each([
    ["training", ["train", "--batch-size", "20"], 0, /^$/],
    ["evaluation", ["eval"], 0, /^$/],
    ["a loss that is NaN", ["train", "--lr", "1e30", "--epochs", "9"], 7, /E_NOT_FINITE/],
    ["data that do not fit", ["train", "--data", `${DIGITS}/checkpoint`], 5, /E_DATA_FORMAT/],
    ["a provider that is not there", ["train", "--ep", "cuda"], 9, /E_EXECUTION_PROVIDER/],
  ] as const)("%s", (_, [command, ...args], status, message) => {
    const result = cli([command, DIGITS, "--data", data(), "--isolate", "--json", ...args]);
    expect([result.status, result.stderr]).toEqual([status, expect.stringMatching(message)]);
  });

  /** A terminal sends Ctrl-C to the whole group, so also to the session's process. */
  it("an interrupt of the whole process group, which saves first", async () => {
    const run = join(temporaryFolder(), "run");
    const { child, ended } = await startTraining("--checkpoints", run);
    process.kill(-(child.pid ?? 0), "SIGINT");
    expect(await ended).toEqual({ code: 130, stderr: "" });
    expect(readdirSync(run).filter((name) => name.startsWith("step-"))).toHaveLength(1);
  });
});

it.skipIf(process.platform !== "linux")(
  "row 82: train --isolate reports a crash of the runtime with exit code 9 (needs /proc)",
  async () => {
    const { child, ended } = await startTraining();
    const [own] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    process.kill(Number(own), "SIGSEGV");
    const { code, stderr } = await ended;
    expect([code, stderr]).toEqual([9, expect.stringMatching(/E_CRASHED.*SIGSEGV/)]);
  },
);
