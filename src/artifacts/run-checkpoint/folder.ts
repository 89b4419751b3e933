import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../../errors.ts";
import { fileSystemError, readRegularFile } from "../../graph/io/read-file.ts";
import { syncFolder, writeFileAtomic } from "../../graph/io/write-file.ts";
import { decodeState, encodeState, type TrainingState } from "../portable/state.ts";
import { damaged, decodeManifest, encodeManifest, type RunManifest, sha256 } from "./manifest.ts";
import { isRunning } from "./processes.ts";

const STATE = "state.safetensors";
const MANIFEST = "manifest.json";
/** Digits enough that names sort as numbers do. */
const DIGITS = 10;
const NAME = /^step-(\d{10,})(\.\d+)?$/;
const TEMPORARY = /^\.step-.*\.(\d+)\.[0-9a-f]+\.tmp$/;

export interface SaveRunOptions {
  /** How many checkpoints to keep, the new one included. Default 2. */
  readonly keep?: number;
}

export interface LoadedRun {
  readonly folder: string;
  readonly state: TrainingState;
  readonly manifest: RunManifest;
  /** Folders that look like checkpoints and are not whole: a process was ended while it wrote them. */
  readonly incomplete: readonly string[];
}

/**
 * Saves a run as a folder of its own below `folder`. A crash at any moment leaves the checkpoints there were, or those and
 * the new one, whole: everything is written and synced under a temporary name, which is then renamed, and the folder synced.
 * @returns the new checkpoint's folder
 * @throws FileSystemError `E_FILE_SYSTEM`; nothing is left behind
 */
export async function saveRun(
  folder: string,
  state: TrainingState,
  manifest: RunManifest,
  { keep = 2 }: SaveRunOptions = {},
): Promise<string> {
  const bytes = encodeState(state);
  const name = `step-${String(manifest.step).padStart(DIGITS, "0")}`;
  const temporary = join(folder, `.${name}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    await sweep(folder);
    await mkdir(temporary);
    await writeFileAtomic(join(temporary, STATE), [bytes]);
    await writeFileAtomic(join(temporary, MANIFEST), [encodeManifest(manifest, { [STATE]: sha256(bytes) })]);
    const target = join(folder, freeName(name, await readdir(folder)));
    await rename(temporary, target);
    await syncFolder(folder);
    await prune(folder, keep);
    return target;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (cause instanceof Error && "exitCode" in cause) throw cause;
    throw fileSystemError("save a checkpoint in", folder, cause);
  }
}

/** The same step may be saved twice: after a run was resumed with other options, say. */
function freeName(name: string, taken: readonly string[]): string {
  for (let suffix = 0; ; suffix++) {
    const free = suffix === 0 ? name : `${name}.${suffix}`;
    if (!taken.includes(free)) return free;
  }
}

/** Newest first: by step, then by how often the step was saved. */
async function list(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter((name) => NAME.test(name));
  const key = (name: string): readonly [number, number] => {
    const [, step = "0", suffix = ".0"] = NAME.exec(name) ?? [];
    return [Number(step), Number(suffix.slice(1))];
  };
  return names.toSorted((a, b) => {
    const [[stepA, timesA], [stepB, timesB]] = [key(a), key(b)];
    return stepB - stepA || timesB - timesA;
  });
}

async function isWhole(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return names.includes(STATE) && names.includes(MANIFEST);
}

/** Removes the oldest checkpoints. What is not whole is not ours to remove. */
async function prune(folder: string, keep: number): Promise<void> {
  const whole = [];
  for (const name of await list(folder)) if (await isWhole(join(folder, name))) whole.push(name);
  for (const name of whole.slice(keep)) await rm(join(folder, name), { recursive: true, force: true });
}

/** Removes what processes that are gone have left. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = TEMPORARY.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Loads a checkpoint: `path` itself, or the newest whole one below it. One that is not whole is passed over and named.
 * @throws CheckpointError `E_NO_CHECKPOINT`; `E_CHECKPOINT_HASH` where a file was changed, naming it;
 *   `E_CHECKPOINT_VERSION`
 */
export async function loadRun(path: string): Promise<LoadedRun> {
  if (await isWhole(path)) return { ...(await loadOne(path)), incomplete: [] };
  const names = await list(path).catch((cause: unknown) => {
    throw new CheckpointError("E_NO_CHECKPOINT", `${path}: no such folder of checkpoints`, { file: path, cause });
  });
  const unfinished = (await readdir(path)).filter((name) => TEMPORARY.test(name)).map((name) => join(path, name));
  const incomplete: string[] = [...unfinished];
  for (const name of names) {
    const folder = join(path, name);
    if (await isWhole(folder)) return { ...(await loadOne(folder)), incomplete };
    incomplete.push(folder);
  }
  throw new CheckpointError("E_NO_CHECKPOINT", `${path} has no whole checkpoint`, {
    file: path,
    hint: incomplete.length > 0 ? `Not whole: ${incomplete.join(", ")}.` : "Give the folder that --checkpoints named.",
  });
}

async function loadOne(folder: string): Promise<Omit<LoadedRun, "incomplete">> {
  const manifestFile = join(folder, MANIFEST);
  const manifest = decodeManifest(await readRegularFile(manifestFile), manifestFile);
  const stateFile = join(folder, STATE);
  const bytes = await readRegularFile(stateFile);
  if (sha256(bytes) !== manifest.files[STATE]) throw damaged(stateFile);
  return { folder, manifest, state: decodeState(bytes) };
}
