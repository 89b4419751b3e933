import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { OPTIONS, PATH, requireArgument } from "../../arguments.ts";
import { CheckpointError, FormatError, fileSystemError, namingFile } from "../../errors.ts";
import { sha256 } from "../../graph/io/digest.ts";
import { isFolder, listFolder, readRegularFile } from "../../graph/io/read-file.ts";
import { isTemporary, keepOnExit, removeOnExit, sweep, temporaryPath } from "../../graph/io/temporary.ts";
import { writeFileAtomic } from "../../graph/io/write-atomic.ts";
import { syncFolder } from "../../graph/io/write-file.ts";
import { A_STATE, decodeState, stateParts, type TrainingState } from "../portable/state.ts";
import { checkLock } from "./lock.ts";
import { damaged, decodeManifest, encodeManifest, RUN_MANIFEST, type RunManifest, type Written } from "./manifest.ts";

const STATE = "state.safetensors";
const MANIFEST = "manifest.json";
/** Digits enough that names sort as numbers do. */
const DIGITS = 10;
const NAME = /^step-(\d{10,})(\.\d+)?$/;
/** What an old checkpoint is called while it is removed. */
const REMOVED = "removed";

export interface SaveRunOptions {
  /** How many checkpoints of the run to keep, the new one included. Default 2. */
  readonly keep?: number;
  /** Number of the run in the folder; see `newRun`. Default: the run that saved last. */
  readonly run?: number;
  /** Told of old checkpoints that could not be removed. The new one is saved all the same. */
  readonly warn?: (text: string) => void;
}

export interface LoadedRun {
  readonly folder: string;
  readonly state: TrainingState;
  readonly manifest: RunManifest;
  /** Number of the run in its folder. */
  readonly run: number;
  /** Whether nothing was saved in its folder later. */
  readonly isNewest: boolean;
  /** Folders that look like checkpoints and are not whole: a process was ended while it wrote them. */
  readonly incomplete: readonly string[];
}

/**
 * Saves a run as a folder of its own below `folder`. A crash at any moment leaves the checkpoints there were, or those and
 * the new one, whole: everything is written and synced under a temporary name, which is then renamed, and the folder synced.
 * Checkpoints of other runs stay.
 * @returns the new checkpoint's folder
 * @throws FileSystemError `E_FILE_SYSTEM`; `E_LOCKED` where this process had locked the folder (`lockRuns`) and another one has
 *   it now; nothing is left behind
 */
export async function saveRun(
  folder: string,
  state: TrainingState,
  manifest: RunManifest,
  options: SaveRunOptions = {},
): Promise<string> {
  requireArgument("folder", folder, PATH);
  requireArgument("state", state, A_STATE);
  requireArgument("manifest", manifest, RUN_MANIFEST);
  requireArgument("options", options, OPTIONS);
  const { keep = 2, run, warn = () => undefined } = options;
  checkLock(folder);
  const parts = stateParts(state);
  const name = `step-${String(manifest.step).padStart(DIGITS, "0")}`;
  const temporary = temporaryPath(join(folder, name));
  try {
    await mkdir(folder, { recursive: true });
    await sweep(folder);
    const [newest] = await list(folder);
    const order = { run: run ?? newest?.manifest.run ?? 1, saved: (newest?.manifest.saved ?? 0) + 1 };
    removeOnExit(temporary);
    await mkdir(temporary);
    await writeFileAtomic(join(temporary, STATE), parts);
    const files = { [STATE]: sha256(...parts) };
    const target = join(folder, freeName(name, await readdir(folder)));
    const { models } = manifest;
    const own = models === undefined ? manifest : { ...manifest, models: pathFrom(target, models) };
    await writeFileAtomic(join(temporary, MANIFEST), [encodeManifest(own, files, order)]);
    await rename(temporary, target);
    keepOnExit(temporary);
    await syncFolder(folder);
    await prune(folder, keep, order.run, warn);
    return target;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (cause instanceof Error && "exitCode" in cause) throw cause;
    throw fileSystemError("save a checkpoint in", folder, cause);
  }
}

/** The same for every place that both are moved to. */
const pathFrom = (folder: string, path: string): string =>
  relative(resolve(folder), resolve(path)).split(sep).join("/");

/** The number of a run that begins in a folder: its checkpoints are kept apart from those of earlier runs. */
export async function newRun(folder: string): Promise<number> {
  requireArgument("folder", folder, PATH);
  const runs = (await list(folder).catch(() => [])).map(({ manifest }) => manifest.run);
  return Math.max(0, ...runs) + 1;
}

/** The same step may be saved twice: after a run was resumed with other options, say. */
function freeName(name: string, taken: readonly string[]): string {
  for (let suffix = 0; ; suffix++) {
    const free = suffix === 0 ? name : `${name}.${suffix}`;
    if (!taken.includes(free)) return free;
  }
}

const checkpointNames = async (folder: string): Promise<readonly string[]> =>
  (await listFolder(folder)).filter((name) => NAME.test(name));

interface Listed {
  readonly name: string;
  readonly manifest: Written;
}

/** The whole checkpoints, the one that was saved last first. A damaged one is left out, or refused. */
async function list(folder: string, refusesDamaged = false): Promise<readonly Listed[]> {
  const listed: Listed[] = [];
  for (const name of await checkpointNames(folder)) {
    if (!(await isWhole(join(folder, name)))) continue;
    try {
      listed.push({ name, manifest: await readManifest(join(folder, name)) });
    } catch (error) {
      if (refusesDamaged || !(error instanceof CheckpointError)) throw error;
    }
  }
  return listed.toSorted(
    (a, b) => b.manifest.saved - a.manifest.saved || b.manifest.step - a.manifest.step || compare(b.name, a.name),
  );
}

const compare = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);

/** Whether a folder is a checkpoint of a run, or has some. */
export async function isRunFolder(path: string): Promise<boolean> {
  return (await isWhole(path)) || (await checkpointNames(path)).length > 0;
}

async function isWhole(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return names.includes(STATE) && names.includes(MANIFEST);
}

async function readManifest(folder: string): Promise<Written> {
  const file = join(folder, MANIFEST);
  return decodeManifest(await readRegularFile(file), file);
}

/**
 * Removes the oldest checkpoints of a run. What is not whole is not ours to remove. Each is renamed first: one that is removed
 * in part does not look like a checkpoint, and the next save removes the rest.
 */
async function prune(folder: string, keep: number, run: number, warn: (text: string) => void): Promise<void> {
  try {
    const own = (await list(folder)).filter(({ manifest }) => manifest.run === run);
    for (const { name } of own.slice(keep)) {
      const removed = temporaryPath(join(folder, `${REMOVED}-${name}`));
      await rename(join(folder, name), removed);
      removeOnExit(removed);
      await rm(removed, { recursive: true, force: true });
      keepOnExit(removed);
    }
  } catch (cause) {
    const { message } = fileSystemError("remove an old checkpoint in", folder, cause);
    warn(`${message}; the new one is saved`);
  }
}

/**
 * Loads a checkpoint: `path` itself, or of those below it the one that was saved last. One that is not whole is passed over
 * and named.
 * @throws CheckpointError `E_NO_CHECKPOINT`; `E_CHECKPOINT_HASH` where a file was changed, naming it;
 *   `E_CHECKPOINT_VERSION`
 */
export async function loadRun(path: string): Promise<LoadedRun> {
  requireArgument("path", path, PATH);
  if (await isWhole(path)) {
    const one = await loadOne(path);
    const [newest] = await list(join(path, "..")).catch((): readonly Listed[] => []);
    return { ...one, isNewest: newest === undefined || newest.manifest.saved <= one.saved, incomplete: [] };
  }
  const names = await listFolder(path).catch((cause: unknown) => {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("E_NO_CHECKPOINT", `${path}: no such folder of checkpoints`, { file: path, cause });
  });
  const unfinished = names.filter((name) => isTemporary(name) && name.startsWith(".step-"));
  const whole = await list(path, true);
  const incomplete = [...unfinished, ...names.filter((name) => NAME.test(name))]
    .filter((name) => whole.every((each) => each.name !== name))
    .map((name) => join(path, name));
  const [newest] = whole;
  if (newest !== undefined) return { ...(await loadOne(join(path, newest.name))), isNewest: true, incomplete };
  throw new CheckpointError("E_NO_CHECKPOINT", `${path} has no whole checkpoint`, {
    file: path,
    hint: incomplete.length > 0 ? `Not whole: ${incomplete.join(", ")}.` : "Give the folder that --checkpoints named.",
  });
}

/**
 * What a run was saved with, without its state: of the checkpoint at `path`, or of those below it the one that was saved last.
 * @returns null where there is none
 * @throws CheckpointError `E_CHECKPOINT_HASH`, `E_CHECKPOINT_VERSION` where `path` itself is a checkpoint
 */
export async function readRunManifest(path: string): Promise<RunManifest | null> {
  requireArgument("path", path, PATH);
  if (await isWhole(path)) return readManifest(path);
  const [newest] = (await isFolder(path)) ? await list(path) : [];
  return newest?.manifest ?? null;
}

async function loadOne(folder: string): Promise<Omit<LoadedRun, "incomplete" | "isNewest"> & { saved: number }> {
  const { models, ...own } = await readManifest(folder);
  const manifest = models === undefined ? own : { ...own, models: resolve(folder, models) };
  const stateFile = join(folder, STATE);
  const bytes = await readRegularFile(stateFile);
  if (sha256(bytes) !== manifest.files[STATE]) throw damaged(stateFile);
  const { run, saved } = manifest;
  return { folder, manifest, run, saved, state: namingFile(stateFile, () => decodeState(bytes)) };
}
