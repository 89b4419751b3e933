import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { DataError, OnnxAgrError } from "../../../errors.ts";
import { filePieces } from "../../../graph/io/read-file.ts";
import { mistaken } from "../../../graph/sniff.ts";

const PIECE_BYTES = 2 ** 20;
const MAX_LINE_BYTES = 2 ** 24;
const BREAK = 0x0a;

export interface TextLine {
  /** Counted from 1. */
  readonly number: number;
  /** Without the break at its end. */
  readonly text: string;
  /** Whether a break is at its end. */
  readonly isEnded: boolean;
}

/**
 * The lines of a file of UTF-8, gzipped or not, some at a time. A line ends with LF or CRLF; a byte order mark is left out.
 * @throws DataError `E_TEXT`, with the line, for what is no UTF-8, for zero bytes and for a line above 16 MiB; `E_DATA_FORMAT`
 *   for files of other kinds
 */
export async function* textLines(path: string): AsyncGenerator<readonly TextLine[]> {
  let rest: Uint8Array = new Uint8Array();
  let [number, isFirst] = [1, true];
  for await (const piece of unpackedPieces(path)) {
    if (isFirst) requireText(piece, path);
    const end = piece.lastIndexOf(BREAK) + 1;
    if (end === 0) rest = Buffer.concat([rest, piece]);
    else {
      const lines = decoded(Buffer.concat([rest, piece.subarray(0, end)]), number, isFirst, path);
      rest = piece.slice(end);
      [number, isFirst] = [number + lines.length, false];
      yield lines;
    }
    if (rest.length > MAX_LINE_BYTES) {
      throw new DataError("E_TEXT", `${path}:${number}: the line has more than 16 MiB`, {
        file: path,
        hint: "Break it into lines between words: fold -s -w 10000.",
      });
    }
  }
  if (rest.length > 0) yield decoded(rest, number, isFirst, path);
}

/** Of what stands for files that were not fetched, a page may well be text to learn. */
function requireText(piece: Uint8Array, path: string): void {
  const other = mistaken(piece.subarray(0, 4096));
  if (other === null || /HTML/.test(other.what)) return;
  throw new DataError("E_DATA_FORMAT", `this is ${other.what}`, { file: path, hint: other.hint });
}

async function* unpackedPieces(path: string): AsyncGenerator<Uint8Array> {
  const pieces = filePieces(path, PIECE_BYTES);
  if (!/\.gz$/i.test(path)) {
    yield* pieces;
    return;
  }
  const unpacked = createGunzip();
  const from = Readable.from(pieces);
  from.on("error", (error) => unpacked.destroy(error)).pipe(unpacked);
  try {
    yield* unpacked as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (cause instanceof OnnxAgrError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError("E_DATA_FORMAT", `${path} is no whole gzip file: ${reason}`, {
      file: path,
      hint: "Fetch it again.",
      cause,
    });
  } finally {
    from.destroy();
  }
}

function decoded(bytes: Uint8Array, first: number, isBeginning: boolean, path: string): readonly TextLine[] {
  const text = utf8(bytes);
  if (text === null || text.includes("\0")) throw notText(bytes, first, path);
  const lines = (isBeginning ? text.replace(/^\uFEFF/, "") : text).split("\n");
  const isEnded = lines.at(-1) === "";
  if (isEnded) lines.pop();
  return lines.map((line, index) => ({
    number: first + index,
    text: line.endsWith("\r") ? line.slice(0, -1) : line,
    isEnded: isEnded || index < lines.length - 1,
  }));
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function notText(bytes: Uint8Array, first: number, path: string): DataError {
  let [line, start] = [first, 0];
  for (;;) {
    const end = bytes.indexOf(BREAK, start);
    const own = bytes.subarray(start, end < 0 ? bytes.length : end);
    const isOdd = utf8(own) === null || own.includes(0);
    if (isOdd || end < 0) {
      const reason = own.includes(0) ? "the line has a zero byte, which text has not" : "the text is not UTF-8";
      return new DataError("E_TEXT", `${path}:${line}: ${reason}`, {
        file: path,
        hint: "Convert it: iconv -f latin1 -t utf-8, with the encoding that it has (utf-16, windows-1252, ...).",
      });
    }
    [line, start] = [line + 1, end + 1];
  }
}
