import { constants, type Stats } from "node:fs";
import { access, lstat, mkdir, realpath, rmdir, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { whatIs } from "../entries/graph.ts";
import { readSetManifest } from "../entries/training.ts";
import { fileSystemError } from "../errors.ts";
import { openFolder, UsageError } from "../index.ts";

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
  /** What is written; a `stream` may go into a device or a named pipe too. Default `file`. */
  readonly kind?: "file" | "folder" | "stream";
}

/**
 * Refuses an output that would overwrite something it should not.
 * @throws UsageError `E_OUTPUT_IS_INPUT`, `E_OUTPUT_EXISTS`, `E_NOT_REGULAR`, `E_SET`; FileSystemError `E_FILE_SYSTEM` where
 *   its folder is not writable
 */
export async function checkTarget(
  input: string | null,
  output: string,
  { force, inPlace, kind = "file" }: TargetOptions,
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
  await checkKind(output, kind);
  if (from !== to && !force && (await isOccupied(output))) {
    throw new UsageError("E_OUTPUT_EXISTS", `${output} exists already`, {
      file: output,
      hint: "Give another output, or --force to replace it.",
    });
  }
  if (kind === "file") await refuseMember(output);
  const parent = (await kindOf(output)) === "folder" ? output : dirname(resolve(output));
  try {
    await access(parent, constants.W_OK);
  } catch (cause) {
    throw fileSystemError("write into", parent, cause);
  }
}

/** Devices, named pipes and sockets are never replaced, nor a folder by a file. */
async function checkKind(output: string, kind: "file" | "folder" | "stream"): Promise<void> {
  const found: Stats | null = await stat(output).catch(() => null);
  const fits = { file: found?.isFile(), folder: found?.isDirectory(), stream: found?.isDirectory() === false }[kind];
  if (found === null || fits === true) return;
  throw new UsageError(
    "E_NOT_REGULAR",
    `the output ${output} is ${whatIs(found)}; it must be a ${kind === "folder" ? "folder" : "file"}`,
    { file: output, hint: kind === "file" && !found.isDirectory() ? "For stdout give -." : "Give another output." },
  );
}

/** One file of a set is not changed without the others: what trains would no longer be what was written. */
async function refuseMember(output: string): Promise<void> {
  const folder = dirname(resolve(output));
  /** What an interrupted command has begun may make it one. What cannot be completed is told where the file is written. */
  await openFolder(folder).catch(() => null);
  const manifest = await readSetManifest(folder).catch(() => null);
  if (manifest?.files[basename(output)] === undefined) return;
  throw new UsageError("E_SET", `${output} is one of the files that were written together in ${folder}`, {
    file: output,
    hint: "Give the whole folder, or another output.",
  });
}

async function isOccupied(path: string): Promise<boolean> {
  if ((await kindOf(path)) !== "folder") return exists(path);
  return (await openFolder(path)).length > 0;
}

/** Runs `write` with the folder in place; a folder made for it goes away again if `write` fails. */
export async function withFolder<T>(path: string, write: () => Promise<T>): Promise<T> {
  const made = (await kindOf(path)) === "nothing";
  if (made) {
    await mkdir(path).catch((cause: unknown) => {
      throw fileSystemError("make the folder", path, cause);
    });
  }
  try {
    return await write();
  } catch (error) {
    if (made) await rmdir(path).catch(() => undefined);
    throw error;
  }
}
