import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { V8_FLAGS } from "./v8-flags.ts";

/** One of the MPIs that Debian has. */
export interface Mpi {
  readonly name: "Open MPI" | "MPICH";
  readonly command: string;
  readonly flags: readonly string[];
}

const CANDIDATES: readonly Mpi[] = [
  { name: "Open MPI", command: "mpirun.openmpi", flags: ["--allow-run-as-root", "--oversubscribe"] },
  { name: "MPICH", command: "mpirun.mpich", flags: [] },
];

/** Those that are installed: Debian's packages openmpi-bin and mpich. */
export const MPIS: readonly Mpi[] = CANDIDATES.filter(
  ({ command }) => spawnSync(command, ["--version"], { encoding: "utf8" }).status === 0,
);

/** Why tests that need an MPI are skipped here; null where there are all. */
export const whyNoMpi = MPIS.length === CANDIDATES.length ? null : "needs Debian's openmpi-bin and mpich";

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Launched {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface LaunchOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds. Default 120,000. */
  readonly timeout?: number;
  /** Flags of mpirun. */
  readonly flags?: readonly string[];
}

/** Starts a Node.js script on several ranks. */
export function startRanks(
  { command, flags }: Mpi,
  ranks: number,
  script: readonly string[],
  { cwd = "/", env = {}, timeout = 120_000, flags: more = [] }: LaunchOptions = {},
): Launched {
  const all = [...flags, ...more, "-n", String(ranks), process.execPath, ...V8_FLAGS, ...script];
  const child = spawn(command, all, { cwd, env: { ...process.env, NO_COLOR: "1", ...env }, timeout });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Ended>((done) => child.on("close", (status) => done({ status, stdout, stderr })));
  return { child, ended };
}
