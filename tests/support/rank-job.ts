import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MAIN } from "./cli.ts";
import { type Launched, type Mpi, startRanks } from "./mpi.ts";
import { processesWith } from "./processes-of.ts";
import { smallNet, writeTask } from "./small-net.ts";
import { temporaryFolder } from "./temporary.ts";

export const MARK = "ONNX_AGR_TEST";
export const RANK = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"] as const;

export const TRAIN = ["train", "artifacts", "--data", "data.safetensors", "--threads", "1", "--lr", "0.01"];
export const SAMPLES = 203;

export const makeTask = (): Promise<string> =>
  writeTask(temporaryFolder(), smallNet(), { optimizer: { name: "adamw" }, agr: {} }, SAMPLES);

export interface Job extends Launched {
  /** The process of each rank. */
  readonly pids: ReadonlyMap<number, number>;
  /** What is left of it. */
  readonly left: () => number;
}

/** Starts a training, and waits until it has written something where it is told to. */
export async function startJob(
  mpi: Mpi,
  ranks: number,
  folder: string,
  args: readonly string[],
  log: string,
): Promise<Job> {
  const mark = randomUUID();
  const launched = startRanks(mpi, ranks, [MAIN, ...TRAIN, ...args], { cwd: folder, env: { [MARK]: mark } });
  const hasBegun = (): boolean => {
    try {
      return readFileSync(join(folder, log)).length > 0;
    } catch {
      return false;
    }
  };
  let isOver = false;
  void launched.ended.then(() => {
    isOver = true;
  });
  while (!hasBegun() && !isOver) await sleep(20);
  const found = processesWith(MARK, mark).flatMap(({ pid, environment }): (readonly [number, number])[] => {
    const rank = environment[RANK[0]] ?? environment[RANK[1]];
    return rank === undefined ? [] : [[Number(rank), pid]];
  });
  return { ...launched, pids: new Map(found), left: () => processesWith(MARK, mark).length };
}

export const lossesOf = (folder: string, log: string): readonly number[] =>
  readFileSync(join(folder, log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly type: string; readonly loss: number })
    .filter(({ type }) => type === "step")
    .map(({ loss }) => loss);
