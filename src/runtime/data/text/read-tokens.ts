import { DataError } from "../../../errors.ts";
import { textLines } from "./lines.ts";
import { TokenStore } from "./token-store.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** The tokens of several files, one after the other. */
export interface ReadTokens {
  readonly store: TokenStore;
  /** Lines of the files. */
  readonly lines: number;
  /** Where the lines that have tokens begin, and how many each has; null where lines are not told apart. */
  readonly spans: Spans | null;
  /** Lines that were cut off. */
  readonly cut: number;
}

/** What samples are made of: `counts` tokens of the store from `starts` on, each. */
export interface Spans {
  readonly starts: Uint32Array;
  readonly counts: Uint32Array;
}

/**
 * Each line is made tokens of by itself, so that files may be larger than what is read of them at once.
 * @param room what a line is cut off at; null: lines follow each other, with their breaks
 * @throws DataError `E_TEXT`, with file and line
 */
export async function readTokens(
  files: readonly string[],
  tokenizer: TextTokenizer,
  room: number | null,
): Promise<ReadTokens> {
  const store = new TokenStore(tokenizer.greatest);
  const [starts, counts]: [number[], number[]] = [[], []];
  let [lines, cut] = [0, 0];
  for (const path of files) {
    for await (const some of textLines(path)) {
      lines += some.length;
      for (const { number, text, isEnded } of some) {
        const tokens = encodeLine(tokenizer, room === null && isEnded ? `${text}\n` : text, path, number);
        if (room === null) store.add(tokens);
        else if (tokens.length > 0) {
          starts.push(store.length);
          counts.push(Math.min(room, tokens.length));
          if (tokens.length > room) cut++;
          store.add(tokens.slice(0, room));
        }
      }
    }
  }
  const spans = room === null ? null : { starts: Uint32Array.from(starts), counts: Uint32Array.from(counts) };
  return { store, lines, spans, cut };
}

function encodeLine(tokenizer: TextTokenizer, text: string, path: string, number: number): readonly number[] {
  try {
    return tokenizer.encode(text);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError("E_TEXT", `${path}:${number}: ${error.message}`, {
      file: path,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}
