import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, open, realpath, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileSystemError } from "./read-file.ts";

/** A file written under a temporary name beside its target, not yet visible under its own. */
export interface PendingFile {
  readonly path: string;
  /** Puts the file in place, whole. */
  publish(): Promise<void>;
  /** Throws the file away; does nothing once it is published. */
  discard(): Promise<void>;
}

const pending = new Set<string>();
let removesOnExit = false;

/** Remembers a temporary file, so that it goes away when the process is ended in the middle of writing it. */
function remember(temporary: string): void {
  pending.add(temporary);
  if (removesOnExit) return;
  removesOnExit = true;
  process.once("exit", () => {
    for (const path of pending) rmSync(path, { force: true });
  });
}

/**
 * Writes `parts` so that a crash at any moment leaves the old file or the new one, never a part of it: temporary file in the
 * same folder, every byte written and synced, then renamed, then the folder synced. A symbolic link at `path` is followed.
 * @throws FileSystemError `E_FILE_SYSTEM`; nothing is left behind.
 */
export async function writeFileAtomic(
  path: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await writePending(path, parts);
  await file.publish();
}

/** Puts several files in place one after another, after all of them were written; what cannot be written leaves none. */
export async function publishAll(files: readonly PendingFile[]): Promise<void> {
  try {
    for (const file of files) await file.publish();
  } finally {
    for (const file of files) await file.discard();
  }
}

export async function writePending(
  path: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<PendingFile> {
  const target = await realpath(path).catch(() => path);
  const temporary = join(dirname(target), `.${basename(target).slice(0, 200)}.${randomBytes(6).toString("hex")}.tmp`);
  const discard = async (): Promise<void> => {
    if (pending.delete(temporary)) await unlink(temporary).catch(() => undefined);
  };
  try {
    const handle = await open(temporary, "wx", 0o644);
    remember(temporary);
    try {
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
  const publish = async (): Promise<void> => {
    try {
      await rename(temporary, target);
      pending.delete(temporary);
      await syncFolder(dirname(target));
    } catch (cause) {
      await discard();
      throw fileSystemError("write", path, cause);
    }
  };
  return { path, publish, discard };
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
