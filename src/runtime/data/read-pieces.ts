import type { FileHandle } from "node:fs/promises";
import { turn } from "../../event-loop.ts";
import { readInto, readIntoSync } from "../../graph/io/read-file.ts";

/** A part of a file, and what it is read into. */
export interface Piece {
  readonly offset: number;
  readonly into: Uint8Array;
}

/** Larger pieces are copied by other threads. */
const SMALL_BYTES = 2 ** 14;
/** How long the event loop waits for small ones. */
const TURN_MS = 2;
/** A file that takes longer for one is on a slow disk, or behind a network: others are to be read meanwhile. */
const SLOW_MS = 0.2;
const MOST_AT_ONCE = 64;

/**
 * Reads parts of a file. Small ones are read here, one after the other, with turns for others between them: what takes two millionths of a
 * second takes thirty to hand to a thread, and a batch of a table has thousands. Where they turn out to be slow, and of large ones, some are under way at once.
 * @throws FormatError `E_FILE_CHANGED` where the file is shorter; FileSystemError `E_FILE_SYSTEM`
 */
export async function readPieces(handle: FileHandle, path: string, pieces: readonly Piece[]): Promise<void> {
  await turn();
  let done = 0;
  for (let isQuick = true; isQuick && done < pieces.length; ) {
    const read = readSome(handle, path, pieces, done);
    done += read.count;
    isQuick = read.count > 0 && read.milliseconds < SLOW_MS * read.count;
    if (isQuick && done < pieces.length) await turn();
  }
  for (; done < pieces.length; done += MOST_AT_ONCE) {
    const some = pieces.slice(done, done + MOST_AT_ONCE);
    await Promise.all(some.map(({ offset, into }) => readInto(handle, path, offset, into)));
  }
}

/** Small pieces, until a turn is due or a large one comes. */
function readSome(
  handle: FileHandle,
  path: string,
  pieces: readonly Piece[],
  first: number,
): { readonly count: number; readonly milliseconds: number } {
  const began = performance.now();
  let [count, milliseconds] = [0, 0];
  for (let next = pieces[first]; next !== undefined; next = pieces[first + count]) {
    if (next.into.length > SMALL_BYTES || milliseconds >= TURN_MS) break;
    readIntoSync(handle, path, next.offset, next.into);
    count++;
    milliseconds = performance.now() - began;
  }
  return { count, milliseconds };
}
