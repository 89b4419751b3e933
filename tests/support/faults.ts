import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../../src/index.ts";

export const hasStrace = spawnSync("strace", ["-V"]).status === 0;

/** All points of all loops, not only a sample: `ONNX_AGR_FAULTS=all npx vitest run tests/cli/faults.test.ts`. */
export const isFull = process.env["ONNX_AGR_FAULTS"] === "all";

export interface Faulted {
  readonly status: number | null;
  readonly output: string;
  /** Whether there was an n-th call to fail. */
  readonly injected: boolean;
}

/**
 * Runs a program in which the n-th of a system call fails or ends it. One thread does the file system's work, so that the
 * same call is the n-th every time.
 * @param fault as strace takes it, `rename:error=EIO:when=2`
 */
export async function withFault(args: readonly string[], cwd: string, fault: string): Promise<Faulted> {
  const log = join(cwd, `${fault.replaceAll(/\W/g, "_")}-${Math.random()}.strace`);
  const child = spawn("strace", ["-f", "-qq", "-o", log, "-e", `inject=${fault}`, process.execPath, ...args], {
    cwd,
    env: { ...process.env, UV_THREADPOOL_SIZE: "1", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const status = await new Promise<number | null>((done) => child.on("close", done));
  const injected = existsSync(log) && /INJECTED|killed by SIGKILL/.test(readFileSync(log, "utf8"));
  rmSync(log, { force: true });
  return { status, output, injected };
}

/** A folder's files and what is in them. */
export function contentOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((path) => [path.slice(folder.length + 1), sha256(readFileSync(path))]));
}
