import { stat } from "node:fs/promises";
import { differences, type RunSettings } from "../entries/run.ts";
import { isCheckpointFile } from "../entries/training.ts";
import {
  CheckpointError,
  type LoadedRun,
  loadRun,
  type SaveRunOptions,
  saveRun,
  type TrainingSession,
  type TrainPosition,
} from "../index.ts";

/** What a run is made of: what it must be to go on from its checkpoints. */
export interface RunIdentity {
  readonly options: RunSettings;
  readonly hashes: Readonly<Record<string, string>>;
  /** Where its models lie. */
  readonly models: string;
}

/**
 * Loads the checkpoint a run goes on from.
 * @param allowed items that may differ
 * @param ranks how many go on together; a batch is of all of them
 * @throws CheckpointError `E_NO_OPTIMIZER_STATE` for weights alone; `E_RESUME_MISMATCH`, listing what differs; and what
 *   `loadRun` throws
 */
export async function resumeFrom(
  path: string,
  now: Pick<RunIdentity, "options" | "hashes">,
  allowed: readonly string[],
  ranks = 1,
): Promise<LoadedRun> {
  await refuseWeights(path);
  const run = await loadRun(path);
  const found = differences(run.manifest, now).filter(({ item }) => !allowed.includes(item));
  if (found.length === 0) return run;
  const list = found.slice(0, 10).map(({ item, was, is }) => `${item} was ${short(was)}, is ${short(is)}`);
  const batch = found.find(({ item }) => item === "batchSize");
  const isOfRanks = ranks > 1 && batch !== undefined;
  throw new CheckpointError("E_RESUME_MISMATCH", `the checkpoint ${run.folder} is of another run: ${list.join("; ")}`, {
    file: run.folder,
    field: found[0]?.item ?? "",
    hint: `${isOfRanks ? `A batch is of all ${ranks} ranks: give --global-batch-size ${batch.was}. ` : ""}Give the same data and options, or --allow-mismatch ${found.map(({ item }) => item).join(",")}.`,
  });
}

const short = (value: string): string => (/^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}...` : value);

async function refuseWeights(path: string): Promise<void> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  if (!isFile) return;
  const what = (await isCheckpointFile(path)) ? "a checkpoint of ONNX Runtime" : "a file";
  throw new CheckpointError(
    "E_NO_OPTIMIZER_STATE",
    `${path} is ${what}: it does not say where a run stood, so no run can go on from it`,
    { file: path, hint: "Use --init-from to begin a new run with its weights, or give a folder of --checkpoints." },
  );
}

/** Saves where a run stands, as `train` asks for it. */
export function saver(
  folder: string,
  session: TrainingSession,
  identity: RunIdentity,
  options: SaveRunOptions,
): (position: TrainPosition) => Promise<void> {
  return async (position) => {
    const state = await session.getState();
    await saveRun(folder, state, { step: session.steps, position, ...identity }, options);
  };
}
