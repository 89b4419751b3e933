import { rmSync } from "node:fs";
import { mkdir, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { FileSystemError } from "../../errors.ts";
import { isRunning, type ProcessIdentity, thisProcess } from "../../graph/io/processes.ts";
import { fileSystemError } from "../../graph/io/read-file.ts";

const LOCK = ".lock";
/** A process that makes a lock writes its name into it at once; a lock that stays empty is nobody's. */
const WRITING_MS = 100;

/**
 * Keeps a folder of checkpoints for one process, until the returned function is called or the process ends. The lock of a
 * process that is gone does not count, also where another process has its number by now.
 * @throws FileSystemError `E_LOCKED`, naming the process that has the folder; `E_FILE_SYSTEM`
 */
export async function lockRuns(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK);
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw fileSystemError("make", folder, cause);
  }
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await makeLock(path);
      const removeOnExit = (): void => rmSync(path, { force: true });
      process.once("exit", removeOnExit);
      return async () => {
        process.off("exit", removeOnExit);
        await unlink(path).catch(() => unlink(path).catch(() => undefined));
      };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw fileSystemError("lock", folder, cause);
      const owner = await ownerOf(path);
      if (owner !== null && isRunning(owner)) {
        throw new FileSystemError("E_LOCKED", `process ${owner.pid} is saving its run in ${folder}`, {
          file: folder,
          hint: "Give every run a folder of its own, or wait for the other one.",
        });
      }
      await unlink(path).catch(() => undefined);
    }
  }
  throw new FileSystemError("E_LOCKED", `${folder} was locked by another process meanwhile`, { file: folder });
}

async function makeLock(path: string): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await handle.write(`${JSON.stringify(thisProcess())}\n`);
  } catch (cause) {
    await unlink(path).catch(() => undefined);
    throw cause;
  } finally {
    await handle.close();
  }
}

/** Null for a lock that does not say whose it is. */
async function ownerOf(path: string): Promise<ProcessIdentity | null> {
  const read = (): Promise<string> => readFile(path, "utf8").catch(() => "");
  let text = await read();
  if (text === "") {
    await setTimeout(WRITING_MS);
    text = await read();
  }
  try {
    const owner = JSON.parse(text) as ProcessIdentity | number;
    if (typeof owner === "object" && owner !== null) return Number.isSafeInteger(owner.pid) ? owner : null;
    /** A lock with a number alone: of an earlier version. */
    return Number.isSafeInteger(owner) && owner !== process.pid ? { ...thisProcess(), pid: owner, start: null } : null;
  } catch {
    return null;
  }
}
