import { rmSync } from "node:fs";
import { mkdir, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { FileSystemError } from "../../errors.ts";
import { fileSystemError } from "../../graph/io/read-file.ts";
import { isRunning } from "./processes.ts";

const LOCK = ".lock";

/**
 * Keeps a folder of checkpoints for one process, until the returned function is called or the process ends. The lock of a
 * process that is gone does not count.
 * @throws FileSystemError `E_LOCKED`, naming the process that has the folder; `E_FILE_SYSTEM`
 */
export async function lockRuns(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK);
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw fileSystemError("make", folder, cause);
  }
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const handle = await open(path, "wx");
      await handle.write(`${process.pid}\n`);
      await handle.close();
      const removeOnExit = (): void => rmSync(path, { force: true });
      process.once("exit", removeOnExit);
      return async () => {
        process.off("exit", removeOnExit);
        await unlink(path).catch(() => undefined);
      };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw fileSystemError("lock", folder, cause);
      const owner = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
      if (Number.isSafeInteger(owner) && isRunning(owner)) {
        throw new FileSystemError("E_LOCKED", `process ${owner} is saving its run in ${folder}`, {
          file: folder,
          hint: "Give every run a folder of its own, or wait for the other one.",
        });
      }
      await unlink(path).catch(() => undefined);
    }
  }
  throw new FileSystemError("E_LOCKED", `${folder} was locked by another process meanwhile`, { file: folder });
}
