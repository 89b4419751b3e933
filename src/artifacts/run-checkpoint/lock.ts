import { closeSync, fstatSync, lstatSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from "node:fs";
import { mkdir, open, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { OPTIONS, PATH, requireArgument } from "../../arguments.ts";
import { errnoCode, FileSystemError, fileSystemError } from "../../errors.ts";
import { isRunning, isSeen, type ProcessIdentity, thisProcess } from "../../graph/io/processes.ts";
import { keepOnExit, removeOnExit, temporaryPath } from "../../graph/io/temporary.ts";
import { beat } from "./heartbeat.ts";

const LOCK = ".lock";
/** A process that makes a lock writes its name into it at once; a lock that stays empty is nobody's. */
const WRITING_MS = 100;
/** A lock that its holder has not written anew for so long is nobody's. */
const STALE_MS = 20_000;
const LOOK_MS = 500;

/** Inodes of the locks that this process has made and not removed, by their real paths. */
const held = new Map<string, number>();

export interface LockOptions {
  /** Told where it waits for a process that cannot be seen from here, and where it takes over that one's lock. */
  readonly warn?: (text: string) => void;
}

/**
 * Keeps a folder of checkpoints for one process, until the returned function is called or the process ends. The lock of a
 * process that is gone does not count, also where another process has its number by now. Whether a process of another
 * container or machine runs cannot be seen: its lock counts until it was not written anew for 20 seconds, which is waited for.
 * A process that was held up for so long finds its lock taken: its next `saveRun` refuses.
 * @throws FileSystemError `E_LOCKED`, naming the process that has the folder; `E_FILE_SYSTEM`
 */
export async function lockRuns(folder: string, options: LockOptions = {}): Promise<() => Promise<void>> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  const { warn = () => undefined } = options;
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw fileSystemError("make", folder, cause);
  }
  const path = realLock(folder);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      return makeLock(path);
    } catch (cause) {
      if (errnoCode(cause) !== "EEXIST") throw fileSystemError("lock", folder, cause);
    }
    const owner = await ownerOf(path);
    if (owner !== null && isRunning(owner)) {
      throw new FileSystemError("E_LOCKED", `process ${owner.pid} is saving its run in ${folder}`, {
        file: folder,
        hint: "Give every run a folder of its own, or wait for the other one.",
      });
    }
    if (owner !== null && !isSeen(owner)) await waitUntilStale(folder, path, owner, warn);
    await unlink(path).catch(() => undefined);
  }
  throw new FileSystemError("E_LOCKED", `${folder} was locked by another process meanwhile`, { file: folder });
}

/**
 * Does nothing for a folder that this process has not locked.
 * @throws FileSystemError `E_LOCKED` where the lock is not there any more, or another process's
 */
export function checkLock(folder: string): void {
  const path = realLock(folder);
  const ino = held.get(path);
  if (ino === undefined || inodeOf(path) === ino) return;
  const now = readOwner(path);
  throw new FileSystemError(
    "E_LOCKED",
    now === null
      ? `nothing was saved in ${folder}: the lock of this run, ${path}, was removed, so another run may have saved there`
      : `nothing was saved in ${folder}: process ${now.pid} has taken over the lock of this run, which was silent for too long`,
    { file: folder, hint: "Go on from the newest checkpoint that is there (--resume), once the other run has ended." },
  );
}

const realLock = (folder: string): string => {
  try {
    return join(realpathSync(folder), LOCK);
  } catch {
    return join(folder, LOCK);
  }
};

const inodeOf = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.ino;

function makeLock(path: string): () => Promise<void> {
  const file = openSync(path, "wx");
  const text = `${JSON.stringify(thisProcess())}\n`;
  const { ino } = fstatSync(file);
  held.set(path, ino);
  /** One that another process has taken over is that one's. */
  const remove = (): void => {
    if (held.get(path) === ino) held.delete(path);
    if (inodeOf(path) === ino) rmSync(path, { force: true });
  };
  try {
    writeSync(file, text);
  } catch (cause) {
    closeSync(file);
    remove();
    throw cause;
  }
  const stop = beat(file, text);
  const removeOnExit = (): void => {
    try {
      remove();
    } catch {
      /** A lock that stays is stale soon. */
    }
  };
  process.once("exit", removeOnExit);
  return async () => {
    process.off("exit", removeOnExit);
    await stop();
    removeOnExit();
    closeSync(file);
  };
}

/** @throws FileSystemError `E_LOCKED` where the lock is written anew meanwhile */
async function waitUntilStale(
  folder: string,
  path: string,
  { pid }: ProcessIdentity,
  warn: (text: string) => void,
): Promise<void> {
  const first = await writtenAt(path);
  let isTold = false;
  for (;;) {
    const now = await clockOf(folder);
    const written = await writtenAt(path);
    if (written === null || first === null) return;
    if (written !== first) {
      throw new FileSystemError(
        "E_LOCKED",
        `process ${pid} of another container or machine is saving its run in ${folder}`,
        { file: folder, hint: "Give every run a folder of its own, or wait for the other one." },
      );
    }
    const silent = now - written;
    if (silent >= STALE_MS) {
      warn(`took over ${path}: process ${pid} of another container or machine has been silent for 20 s`);
      return;
    }
    if (!isTold) {
      isTold = true;
      const seconds = Math.ceil((STALE_MS - silent) / 1000);
      warn(
        `waiting up to ${seconds} s: process ${pid} of another container or machine may still save its run in ${folder} (if you know that it has ended, remove ${path})`,
      );
    }
    await setTimeout(LOOK_MS);
  }
}

/** When a lock was written, in milliseconds; null where it is gone. Opened, so that a network's file system looks again. */
async function writtenAt(path: string): Promise<number | null> {
  try {
    const handle = await open(path);
    try {
      return (await handle.stat()).mtimeMs;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (errnoCode(cause) === "ENOENT") return null;
    throw fileSystemError("read", path, cause);
  }
}

/** What the time is for the file system that the folder is on; another machine's clock may differ from ours. */
async function clockOf(folder: string): Promise<number> {
  const probe = temporaryPath(join(folder, LOCK));
  removeOnExit(probe);
  try {
    await writeFile(probe, "?");
    return (await writtenAt(probe)) ?? 0;
  } catch (cause) {
    throw fileSystemError("lock", folder, cause);
  } finally {
    await unlink(probe).catch(() => undefined);
    keepOnExit(probe);
  }
}

/** Null for a lock that does not say whose it is. */
async function ownerOf(path: string): Promise<ProcessIdentity | null> {
  if (readText(path) === "") await setTimeout(WRITING_MS);
  return readOwner(path);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function readOwner(path: string): ProcessIdentity | null {
  try {
    const owner = JSON.parse(readText(path)) as ProcessIdentity | number;
    if (typeof owner === "object" && owner !== null) return Number.isSafeInteger(owner.pid) ? owner : null;
    /** A lock with a number alone: of an earlier version. */
    return Number.isSafeInteger(owner) && owner !== process.pid ? { ...thisProcess(), pid: owner, start: null } : null;
  } catch {
    return null;
  }
}
