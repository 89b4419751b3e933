import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { V8_FLAGS } from "./v8-flags.ts";

export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
export const DIGITS = fileURLToPath(new URL("../../fixtures/digits", import.meta.url));

/** What a command writes where nobody said where must not land in the repository. */
export const ELSEWHERE = mkdtempSync(join(tmpdir(), "onnx-agr-cwd-"));
process.once("exit", () => rmSync(ELSEWHERE, { recursive: true, force: true }));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as a process of its own. */
export function cli(
  args: readonly string[],
  options: {
    readonly input?: Uint8Array;
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    /** Milliseconds. Default 60,000. */
    readonly timeout?: number;
  } = {},
): Outcome {
  const result: SpawnSyncReturns<string> = spawnSync(process.execPath, [...V8_FLAGS, MAIN, ...args], {
    encoding: "utf8",
    timeout: 60_000,
    maxBuffer: 2 ** 26,
    cwd: ELSEWHERE,
    ...options,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** The same for binary output. */
export function cliBytes(
  args: readonly string[],
  input?: Uint8Array,
): { readonly status: number | null; readonly stdout: Buffer } {
  const { status, stdout } = spawnSync(process.execPath, [...V8_FLAGS, MAIN, ...args], {
    timeout: 60_000,
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout };
}
