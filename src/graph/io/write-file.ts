import type { Stats } from "node:fs";
import { type FileHandle, lstat, open, readlink, realpath, rename, unlink } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { type Kind, METHOD, requireArgument, withFields } from "../../arguments.ts";
import { errnoCode, FileSystemError, fileSystemError } from "../../errors.ts";
import { keepOnExit, removeOnExit, sweep, temporaryPath } from "./temporary.ts";

/** What a file is to hold, piece by piece. */
export type Parts = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

const STATS: Kind = withFields({ isDirectory: METHOD, isFIFO: METHOD }, "what stat of node:fs gives");

/** A file written in full under a temporary name beside its target, not yet visible under its own. */
export interface PendingFile {
  readonly path: string;
  /** Where `path` leads to. */
  readonly target: string;
  readonly temporary: string;
  /** Throws the file away; does nothing once it is in place. */
  discard(): Promise<void>;
}

/** Puts a file in place, whole. @throws FileSystemError `E_FILE_SYSTEM` */
export async function putInPlace({ path, target, temporary, discard }: PendingFile): Promise<void> {
  try {
    await rename(temporary, target);
    keepOnExit(temporary);
    await syncFolder(dirname(target));
  } catch (cause) {
    await discard();
    throw fileSystemError("write", path, cause);
  }
}

/**
 * Writes a file in full under a temporary name, every byte synced. A symbolic link at `path` is followed, also to a file that
 * does not exist yet. The file gets the mode and owner of the one it will replace; only regular files are replaced.
 * @throws FileSystemError `E_FILE_SYSTEM`, `E_NOT_REGULAR`; nothing is left behind
 */
export async function writePending(path: string, parts: Parts): Promise<PendingFile> {
  const target = await followLinks(path);
  const replaced = await replacedFile(path, target);
  const temporary = temporaryPath(target);
  await sweep(dirname(target), [basename(target)]);
  const discard = async (): Promise<void> => {
    if (!keepOnExit(temporary)) return;
    await unlink(temporary).catch(() => unlink(temporary).catch(() => undefined));
  };
  try {
    removeOnExit(temporary);
    const handle = await open(temporary, "wx", replaced === null ? 0o644 : 0o600);
    try {
      if (replaced !== null) await makeAlike(handle, replaced);
      for await (const part of parts) await writeFully(handle, part);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    await discard();
    if (cause instanceof Error && "exitCode" in cause) throw cause;
    throw fileSystemError("write", path, cause);
  }
  return { path, target, temporary, discard };
}

/** Where a path leads: through links, the last one also where it leads to nothing yet. */
export async function followLinks(path: string): Promise<string> {
  let target = resolve(path);
  for (let hops = 0; hops < 40; hops++) {
    const real = await realpath(target).catch(() => null);
    if (real !== null) return real;
    const link = await readlink(target).catch(() => null);
    if (link === null) return target;
    target = resolve(dirname(target), link);
  }
  throw new FileSystemError("E_FILE_SYSTEM", `cannot write ${path}: its links lead in a circle`, { file: path });
}

async function replacedFile(path: string, target: string): Promise<Stats | null> {
  const found = await lstat(target).catch((cause: unknown) => {
    if (errnoCode(cause) === "ENOENT") return null;
    throw fileSystemError("write", path, cause);
  });
  if (found === null || found.isFile()) return found;
  throw new FileSystemError("E_NOT_REGULAR", `cannot write ${path}: it is ${whatIs(found)}, not a regular file`, {
    file: path,
    hint: "Give the path of a file.",
  });
}

/** What is at a path, in words. */
export function whatIs(found: Stats): string {
  requireArgument("found", found, STATS);
  if (found.isDirectory()) return "a folder";
  if (found.isFIFO()) return "a named pipe";
  if (found.isSocket()) return "a socket";
  return found.isFile() ? "a file" : "a device";
}

/** Gives a new file the owner and mode of the one it will replace. */
async function makeAlike(handle: FileHandle, { mode, uid, gid }: Stats): Promise<void> {
  const own = await handle.stat();
  if (own.uid !== uid || own.gid !== gid) await handle.chown(uid, gid);
  await handle.chmod(mode & 0o7777);
}

/** A full disk can make `write` return having written less than asked, without an error: go on until it fails or all is out. */
async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, offset, Math.min(bytes.length - offset, 2 ** 30));
    offset += bytesWritten;
  }
}

export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
