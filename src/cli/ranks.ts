import { availableParallelism, cpus } from "node:os";
import { setTimeout } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import {
  type Communicator,
  DistributedError,
  exchangeBytes,
  exchangeNumbers,
  grantedProcessors,
  isOfAllRanks,
  type JoinOptions,
  joinRanks,
  ortNodeVersion,
  processorTime,
  ranksHere,
  ranksStarted,
  requireAlike,
} from "../entries/run.ts";
import { decodeState, encodeState, type TrainingState } from "../entries/training.ts";
import type { LoadedRun, TrainPosition } from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import { Console } from "./console.ts";
import { packageVersion } from "./package-files.ts";
import type { RuntimeOptions } from "./session-options.ts";
import { wholeNumber } from "./values.ts";

/** Options for a training that mpirun or srun starts. */
export interface RankFlags {
  readonly mpi?: string;
  readonly globalBatchSize?: number;
  readonly localSteps?: number;
  readonly averageMoments: boolean;
}

function library(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("Give a path, or a name as the system's linker finds it.");
}

/** Adds the option of every command that takes part under mpirun. */
export function withMpi(command: Command): Command {
  return command.option(
    "--mpi <library>",
    "under mpirun or srun: the MPI library to call (default: that of what started the ranks)",
    library,
  );
}

export function withRanks(command: Command): Command {
  return withMpi(command)
    .option(
      "--global-batch-size <n>",
      "samples per batch of all ranks together, in the place of --batch-size, which is of each",
      wholeNumber(1),
    )
    .option(
      "--local-steps <n>",
      "updates that each rank makes by itself before the parameters of all are averaged (default: average gradients)",
      wholeNumber(1),
    )
    .option("--no-average-moments", "with --local-steps: each rank keeps the optimizer's moments it has");
}

/** Says nothing but errors: what a rank says that rank 0 says too. */
class SilentConsole extends Console {
  override get isLive(): boolean {
    return false;
  }
  override result(): void {}
  override line(): void {}
  override note(): void {}
}

/** What goes wrong on several ranks is told by the first that comes to it, which ends the others. */
const TURN_MS = 100;
const LAST_TURN = 20;
/** The launcher passes on what a rank says, and ends all where one aborts: MPICH's may end before it has passed on the last words. */
const PASSING_ON_MS = 300;
/** What all know to have gone wrong is told by rank 0; should that be gone, the others end by themselves. */
const PATIENCE_MS = 4000;

/**
 * Runs a command on the ranks this process was started with. Rank 0 alone speaks. An error on any rank ends all, with its exit
 * code; signals give their exit code on rank 0 alone, since mpirun ends the ranks that are still at work where one says other than 0.
 */
export async function onRanks(
  { mpi }: Pick<RankFlags, "mpi">,
  console: Console,
  run: (communicator: Communicator, console: Console) => Promise<number>,
): Promise<number> {
  const options: JoinOptions = mpi === undefined ? {} : { library: mpi };
  const communicator = await joinRanks(options);
  const { rank, size } = communicator;
  if (size === 1) {
    if (mpi !== undefined) console.note("--mpi changes nothing on one rank: no mpirun or srun started this");
    const exitCode = await run(communicator, console);
    await communicator.finalize();
    return exitCode;
  }
  try {
    const exitCode = await run(communicator, rank === 0 ? console : new SilentConsole(console.io, console.options));
    await communicator.finalize();
    return rank === 0 ? exitCode : 0;
  } catch (error) {
    const isTold = isOfAllRanks(error) && rank > 0;
    const turn = rank === 0 ? 0 : PASSING_ON_MS + TURN_MS * Math.min(rank, LAST_TURN);
    await setTimeout(isTold ? PATIENCE_MS : turn);
    const exitCode = console.error(error, rank);
    await new Promise<void>((done) => console.io.stderr.write("", () => done()));
    await setTimeout(PASSING_ON_MS);
    return communicator.abort(exitCode);
  }
}

/** @throws DistributedError `E_MPI_LAUNCH` for a command that every rank would do whole, in the same place */
export function refuseRanks(command: string): void {
  const ranks = ranksStarted();
  if (ranks === 1) return;
  throw new DistributedError("E_MPI_LAUNCH", `${ranks} ranks were started, and ${command} is of one process`, {
    hint: "Start it without mpirun or srun. Of the commands, train and eval are for ranks.",
  });
}

/** Who takes part, and who speaks. */
export interface Ranks {
  readonly communicator: Communicator;
  readonly console: Console;
}

/** Why a training ended before its last step. */
export interface End {
  /** Of the signal that came; null: none. */
  readonly exitCode: number | null;
  /** Why the command itself ended it; null: it did not. */
  readonly reason: string | null;
}

/** What ended all ranks: the first that was told to end says it for all, whether by a signal or by its own clock. */
export async function sharedEnd(communicator: Communicator, own: End): Promise<End> {
  if (communicator.size === 1) return own;
  const isEnded = own.exitCode !== null || own.reason !== null;
  const first = (await exchangeNumbers(communicator, [isEnded ? 1 : 0])).findIndex(([each]) => each === 1);
  if (first < 0) return own;
  const told = await exchangeBytes(communicator, new TextEncoder().encode(JSON.stringify(own)), first);
  return JSON.parse(new TextDecoder().decode(told)) as End;
}

/** The options with threads per rank where they say nothing of it, the same on all: ranks of one machine share its cores. */
export async function withThreads<Options extends Pick<RuntimeOptions, "threads" | "runtime">>(
  options: Options,
  { communicator, console }: Ranks,
): Promise<Options> {
  if (options.threads !== undefined) return options;
  if (communicator.size === 1) {
    noteThreads(options, console);
    return options;
  }
  const here = ranksHere() ?? communicator.size;
  const own = Math.max(
    1,
    Math.min(availableParallelism(), Math.floor(Math.min(cpus().length, processorTime()) / here)),
  );
  const threads = Math.min(...(await exchangeNumbers(communicator, [own])).map(([each = 1]) => each));
  console.note(`${inWords(threads)} per rank (--threads)`);
  return { ...options, threads };
}

/** Says how many threads a session takes where that is not one per core. */
export function noteThreads({ threads, runtime }: Pick<RuntimeOptions, "threads" | "runtime">, console: Console): void {
  const granted = threads !== undefined || runtime === "ort-training" ? null : grantedProcessors();
  if (granted !== null) console.note(`${inWords(granted)}: this process may not use all processors (--threads)`);
}

const inWords = (threads: number): string => `${threads} thread${threads === 1 ? "" : "s"}`;

/**
 * Compares what the ranks are about to do.
 * @throws DistributedError `E_RANKS_DIFFER`
 */
export async function compareRanks(
  communicator: Communicator,
  { options, hashes }: Pick<RunIdentity, "options" | "hashes">,
): Promise<void> {
  const own = Object.entries({ ...options, ...hashes }).map(([item, value]) => [item, String(value)] as const);
  const versions = { "onnx-agr": packageVersion(), "onnxruntime-node": (await ortNodeVersion()) ?? "none" };
  await requireAlike(communicator, { ...Object.fromEntries(own), ...versions });
}

/** Where a run goes on. */
export interface Resumed {
  readonly state: TrainingState;
  readonly position: TrainPosition;
}

/** Rank 0 alone reads the checkpoint; the others get it from there. */
export async function shareResumed(communicator: Communicator, loaded: LoadedRun | null): Promise<Resumed | null> {
  const own = loaded === null ? null : { state: loaded.state, position: loaded.manifest.position };
  if (communicator.size === 1) return own;
  const text = await exchangeBytes(communicator, new TextEncoder().encode(JSON.stringify(own?.position ?? null)));
  const position = JSON.parse(new TextDecoder().decode(text)) as TrainPosition | null;
  if (position === null) return null;
  const bytes = await exchangeBytes(communicator, own === null ? new Uint8Array() : encodeState(own.state));
  return own ?? { position, state: decodeState(bytes) };
}
