import { constants, readSync, type Stats } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { errnoCode, FormatError, fileSystemError, systemReason } from "../../errors.ts";

/** What one call reads. */
const MOST_READ = 2 ** 30;
const MISSING = new Set(["ENOENT", "ENOTDIR", "EISDIR", "ENXIO"]);

/**
 * The names in a folder, sorted.
 * @throws FormatError `E_NO_FILE` where there is no such folder; FileSystemError `E_FILE_SYSTEM` where it cannot be read: a
 *   folder that cannot be read is not an empty one.
 */
export async function listFolder(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    if (!MISSING.has(errnoCode(cause))) throw fileSystemError("read", path, cause);
    throw new FormatError("E_NO_FILE", `${path}: no such folder`, { file: path, cause });
  }
}

/** Whether there is a folder at a path. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * Opens a regular file for reading and hands it to `use`. Never blocks on a FIFO or a device.
 * @throws FormatError `E_NO_FILE` where there is no such regular file; FileSystemError where reading it fails.
 */
export async function withFile<T>(path: string, use: (handle: FileHandle, size: number) => Promise<T>): Promise<T> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (!MISSING.has(errnoCode(cause))) throw fileSystemError("read", path, cause);
    throw new FormatError("E_NO_FILE", `${path}: ${systemReason(cause)}`, { file: path, cause });
  }
  try {
    const stat = await statOf(handle, path);
    if (!stat.isFile()) {
      const what = stat.isDirectory() ? "is a folder, not a file" : "is not a regular file";
      throw new FormatError("E_NO_FILE", `${path} ${what}`, { file: path });
    }
    return await use(handle, stat.size);
  } finally {
    await closeRead(handle, path);
  }
}

/** The system's errors of these two do not say which file it was. @throws FileSystemError `E_FILE_SYSTEM` */
export async function statOf(handle: FileHandle, path: string): Promise<Stats> {
  return handle.stat().catch((cause: unknown) => {
    throw fileSystemError("read", path, cause);
  });
}

/** Closes a file that was read. @throws FileSystemError `E_FILE_SYSTEM` */
export async function closeRead(handle: FileHandle, path: string): Promise<void> {
  await handle.close().catch((cause: unknown) => {
    throw fileSystemError("read", path, cause);
  });
}

/** Reads a whole regular file. @param limit bytes; a larger file is refused by `refuse` before anything is read. */
export async function readRegularFile(
  path: string,
  limit = Number.MAX_SAFE_INTEGER,
  refuse: (size: number) => Error = (size) =>
    new FormatError("E_FILE_TOO_LARGE", `${path} has ${size} bytes, more than the ${limit} allowed here`, {
      file: path,
    }),
): Promise<Uint8Array> {
  return withFile(path, async (handle, size) => {
    if (size > limit) throw refuse(size);
    return readRange(handle, path, 0, size);
  });
}

export async function readRange(handle: FileHandle, path: string, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  await readInto(handle, path, offset, bytes);
  return bytes;
}

/** Fills the bytes. @throws FormatError `E_FILE_CHANGED` where the file is shorter; FileSystemError `E_FILE_SYSTEM` */
export async function readInto(handle: FileHandle, path: string, offset: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await handle
      .read(bytes, done, Math.min(bytes.length - done, MOST_READ), offset + done)
      .catch((cause: unknown) => {
        throw fileSystemError("read", path, cause);
      });
    if (bytesRead === 0) throw shortened(path, offset + done);
    done += bytesRead;
  }
}

/** The same at once. @throws as `readInto` */
export function readIntoSync(handle: FileHandle, path: string, offset: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const read = readNow(handle, path, offset + done, bytes.subarray(done));
    if (read === 0) throw shortened(path, offset + done);
    done += read;
  }
}

function readNow(handle: FileHandle, path: string, offset: number, bytes: Uint8Array): number {
  try {
    return readSync(handle.fd, bytes, 0, Math.min(bytes.length, MOST_READ), offset);
  } catch (cause) {
    throw fileSystemError("read", path, cause);
  }
}

const shortened = (path: string, end: number): FormatError =>
  new FormatError("E_FILE_CHANGED", `${path} ended at byte ${end} while it was read`, { file: path });

/** A file's content in pieces, for copying what is too large for memory. */
export async function* filePieces(path: string, pieceBytes = 64 * 2 ** 20): AsyncGenerator<Uint8Array> {
  for (let offset = 0; ; offset += pieceBytes) {
    const piece = await withFile(path, async (handle, size) =>
      offset < size ? readRange(handle, path, offset, Math.min(pieceBytes, size - offset)) : null,
    );
    if (piece === null) return;
    yield piece;
  }
}
