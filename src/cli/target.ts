import { constants } from "node:fs";
import { access, lstat, mkdir, readdir, realpath, rmdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FileSystemError, UsageError } from "../index.ts";

/** What a path is: a folder, a file, or nothing. */
export async function kindOf(path: string): Promise<"folder" | "file" | "nothing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch {
    return (await exists(path)) ? "file" : "nothing";
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

export interface TargetOptions {
  readonly force: boolean;
  readonly inPlace: boolean;
}

/**
 * Refuses an output that would overwrite something it should not.
 * @throws UsageError `E_OUTPUT_IS_INPUT`, `E_OUTPUT_EXISTS`; FileSystemError `E_FILE_SYSTEM` where its folder is not writable
 */
export async function checkTarget(
  input: string | null,
  output: string,
  { force, inPlace }: TargetOptions,
): Promise<void> {
  const [from, to] = await Promise.all(
    [input, output].map(async (path) => (path === null ? null : realpath(path).catch(() => resolve(path)))),
  );
  if (from === to && !inPlace) {
    throw new UsageError("E_OUTPUT_IS_INPUT", `the output ${output} is the input`, {
      file: output,
      hint: "Give another output, or --in-place to change the input itself.",
    });
  }
  if (from !== to && !force && (await isOccupied(output))) {
    throw new UsageError("E_OUTPUT_EXISTS", `${output} exists already`, {
      file: output,
      hint: "Give another output, or --force to replace it.",
    });
  }
  const parent = dirname(resolve(output));
  try {
    await access(parent, constants.W_OK);
  } catch (cause) {
    throw new FileSystemError(
      "E_FILE_SYSTEM",
      `cannot write ${output}: its folder ${parent} does not exist or is not writable`,
      { file: output, cause },
    );
  }
}

async function isOccupied(path: string): Promise<boolean> {
  if ((await kindOf(path)) !== "folder") return exists(path);
  return (await readdir(path)).length > 0;
}

/** Runs `write` with the folder in place; a folder made for it goes away again if `write` fails. */
export async function withFolder(path: string, write: () => Promise<void>): Promise<void> {
  const made = (await kindOf(path)) === "nothing";
  if (made) {
    await mkdir(path).catch((cause: unknown) => {
      throw new FileSystemError("E_FILE_SYSTEM", `cannot make the folder ${path}`, { file: path, cause });
    });
  }
  try {
    await write();
  } catch (error) {
    if (made) await rmdir(path).catch(() => undefined);
    throw error;
  }
}
