import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "../../src/entries/graph.ts";

/** All points of all loops, not only a sample: `ONNX_AGR_FAULTS=all npx vitest run tests/cli/faults.test.ts`. */
export const isFull = process.env["ONNX_AGR_FAULTS"] === "all";

/** What is failed: calls on files and folders. */
export const CALLS = [
  ...(["open", "write", "fsync", "close", "rename", "link"] as const),
  ...(["unlink", "mkdir", "rmdir", "fchmod", "readdir"] as const),
];

/** Linux numbers of errors; a signal has none. */
const ERRNO = { SIGKILL: 0, EIO: 5, EMFILE: 24 } as const;

/** The n-th call of a kind, counted from 1, fails with an error, or the program is killed there. */
export interface Fault {
  readonly call: (typeof CALLS)[number];
  readonly nth: number;
  readonly how: keyof typeof ERRNO;
}

const SOURCE = fileURLToPath(new URL("failing-calls.c", import.meta.url));

/** The library that makes calls fail; null where there is no compiler for it. */
const library = ((): string | null => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-faults-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "failing-calls.so");
  const { status } = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", path, SOURCE, "-ldl"]);
  return process.platform === "linux" && status === 0 ? path : null;
})();

export const hasFaults = library !== null;

export interface Faulted {
  readonly status: number | null;
  readonly output: string;
  /** Whether there was an n-th call to fail. */
  readonly injected: boolean;
  /** How many calls of each kind there were. */
  readonly counts: ReadonlyMap<string, number>;
}

/**
 * Runs a program in which one call on what is below `folder` fails or ends it. One thread does the file system's work, so
 * that the same call is the n-th every time.
 * @param fault null: calls are only counted
 */
export async function withFault(args: readonly string[], folder: string, fault: Fault | null): Promise<Faulted> {
  const log = join(mkdtempSync(join(tmpdir(), "onnx-agr-fault-")), "log");
  const environment = {
    ...{ LD_PRELOAD: library ?? "", FAULT_FOLDER: realpathSync(folder), FAULT_LOG: log, UV_THREADPOOL_SIZE: "1" },
    ...(fault === null
      ? {}
      : {
          FAULT_CALL: fault.call,
          FAULT_NTH: String(fault.nth),
          FAULT_ERRNO: String(ERRNO[fault.how]),
        }),
  };
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const status = await new Promise<number | null>((done) => child.on("close", done));
  const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  rmSync(join(log, ".."), { recursive: true });
  const names = lines.map((line) => line.slice(0, line.indexOf(" ")));
  const counts = new Map(CALLS.map((call) => [call, names.filter((name) => name === call).length]));
  return { status, output, injected: names.includes("INJECTED"), counts };
}

/** Every call that a program makes below a folder, failing and killed at. */
export function allFaults(counts: Faulted["counts"]): readonly Fault[] {
  return CALLS.flatMap((call) =>
    Array.from({ length: counts.get(call) ?? 0 }, (_, index) =>
      (["EIO", "SIGKILL"] as const).map((how) => ({ call, nth: index + 1, how })),
    ).flat(),
  );
}

/** A folder's files and what is in them. */
export function contentOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((path) => [path.slice(folder.length + 1), sha256(readFileSync(path))]));
}
