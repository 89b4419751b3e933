import { finished } from "node:stream/promises";
import { CsvError, type Info, parse } from "csv-parse";
import { DataError } from "../../../errors.ts";
import { numberIn } from "./cell.ts";
import type { TableOptions } from "./format.ts";
import type { RangedFile } from "./stored.ts";
import { type ReadTable, Table } from "./table.ts";

/** What may stand between cells. */
const DELIMITERS = [",", ";", "\t", "|"] as const;
/** Of these the first row says which it is. */
const HEAD_BYTES = 2 ** 16;
/** Numbers that stand for themselves as names: fewer may well be a row of data. */
const FEWEST_COUNTED = 3;

/** Numbers as people write them: 1,5 and 1,234.5 and 5%. */
const LIKE_NUMBER = /^[-+]?\d[\d.,]*%?$/;
/** What stands where a number is missing. */
const GAP = /^(n\/?an?|null|none|\?|-|)$/i;

/** A line that is longer is a file of another kind. */
const MAX_LINE = 2 ** 20;
const PIECE_BYTES = 2 ** 20;

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

/**
 * @param usual what separates cells, where the first row does not say that it is something else
 * @throws DataError `E_TABLE` with line and column; UsageError `E_OPTION` for columns that are not there
 */
export const csv =
  (usual: string): ReadTable =>
  async (file, options, flush) => {
    const delimiter = delimiterIn(await file.read(0, Math.min(HEAD_BYTES, file.size)), usual);
    const rows = new Rows(options);
    for await (const _ of piecesRead(file, delimiter, (row) => rows.add(row)))
      if (rows.table !== null) await flush(rows.table);
    const table = rows.whole();
    if (delimiter !== usual) table.note(`cells are separated by ${JSON.stringify(delimiter)}`);
    return table;
  };

/** Another one, where the usual one is not in the first row, but for commas inside numbers. */
function delimiterIn(head: Uint8Array, usual: string): string {
  const [line = ""] = new TextDecoder().decode(head).split(/[\r\n]+/, 1);
  const bare = line.replace(/"[^"]*"/g, "").replace(/(\d),(?=\d+(;|\t|$))/g, "$1.");
  if (bare.includes(usual)) return usual;
  return DELIMITERS.find((each) => bare.includes(each)) ?? usual;
}

/** A table whose first row may be names, which the second tells. */
class Rows {
  readonly #options: TableOptions;
  readonly #lines: number[] = [];
  #first: Row | null = null;
  table: Table | null = null;

  constructor(options: TableOptions) {
    this.#options = options;
  }

  add(row: Row): void {
    if (this.#first === null) {
      this.#first = row;
      return;
    }
    this.table ??= this.#begin(this.#first, row);
    this.#put(this.table, row);
  }

  /** @throws DataError `E_TABLE` where there is no row */
  whole(): Table {
    if (this.#first === null) throw new DataError("E_TABLE", "the file has no rows");
    return this.table ?? this.#begin(this.#first, null);
  }

  #begin(head: Row, second: Row | null): Table {
    const hasNames = this.#options.header ?? isHeader(head.cells, second?.cells ?? null);
    const names = hasNames ? head.cells : head.cells.map((_, column) => `column ${column}`);
    const at = (row: number, column: number): string => `${this.#lines[row]}:${column + 1}`;
    const table = new Table({ names, areGiven: hasNames }, this.#options, at);
    if (!hasNames) this.#put(table, head);
    return table;
  }

  #put(table: Table, { cells, line }: Row): void {
    this.#lines.push(line);
    table.add(cells);
  }
}

/**
 * Names stand where the next row has numbers, and the first has none. Numbers among names are such as count, as those of pixels do;
 * the one that may be missing is that of row numbers, as pandas writes them.
 * @throws DataError `E_TABLE` where the row may be either
 */
function isHeader(first: readonly string[], second: readonly string[] | null): boolean {
  const numbers = first.map(numberIn);
  const counted = [...numbers.entries()].flatMap(([column, value]) => (value === null ? [] : [{ column, value }]));
  const areWords = numbers.some(
    (value, column) => value === null && (second === null || numberIn(second[column] ?? "") !== null),
  );
  const doCount = areWords
    ? counted.every(({ value }, at) => Number.isInteger(value) && value > (counted[at - 1]?.value ?? -1))
    : counted.length < FEWEST_COUNTED || counted.some(({ column, value }) => column !== value);
  if (first.some((cell) => LIKE_NUMBER.test(cell) && numberIn(cell) === null)) return false;
  const isGap = (cell: string, column: number): boolean =>
    GAP.test(cell) && !(column === 0 && cell === "" && (counted.length === 0 || second?.[0] === "0"));
  if (doCount && !(areWords && first.some(isGap))) return areWords;
  throw new DataError("E_TABLE", `1:1: the first row, ${first.slice(0, 8).join(", ")}, may be names or data`, {
    field: "header",
    hint: "Say which: --header for names, --no-header for data (header).",
  });
}

/** Parses a file piece by piece, and gives a turn after each. */
async function* piecesRead(file: RangedFile, delimiter: string, take: (row: Row) => void): AsyncGenerator<void> {
  const parser = parse({
    ...{ delimiter, bom: true, trim: true, skip_empty_lines: true, relax_column_count: true },
    max_record_size: MAX_LINE,
    on_record: (cells: readonly string[], { lines }: Info) => {
      take({ cells, line: lines });
      return null;
    },
  });
  parser.resume();
  const end = finished(parser);
  /** What went wrong is told by the write that it happened in, or at the end. */
  end.catch(() => undefined);
  const text = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let at = 0; at < file.size; at += PIECE_BYTES) {
      const piece = await file.read(at, Math.min(PIECE_BYTES, file.size - at));
      requireUtf8(text, piece, at + PIECE_BYTES >= file.size);
      await new Promise<void>((done, fail) => {
        parser.write(piece, (error) => (error ? fail(error) : done()));
      });
      yield;
    }
    parser.end();
    await end;
  } catch (cause) {
    parser.destroy();
    if (!(cause instanceof CsvError)) throw cause;
    const line = (cause as { readonly lines?: unknown }).lines;
    const place = typeof line === "number" ? `line ${line}: ` : "";
    throw new DataError("E_TABLE", `${place}${reasonOf(cause)}`, { cause });
  }
}

function requireUtf8(text: TextDecoder, piece: Uint8Array, isLast: boolean): void {
  if (piece.includes(0)) {
    throw new DataError("E_TABLE", "the file has zero bytes, which text has not", {
      hint: "Text of 16 bits has them: iconv -f utf-16 -t utf-8.",
    });
  }
  try {
    text.decode(piece, { stream: !isLast });
  } catch (cause) {
    throw new DataError("E_TABLE", "the text is not UTF-8", {
      hint: "Convert it: iconv -f latin1 -t utf-8, with the encoding that it has (utf-16, windows-1252, ...).",
      cause,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  CSV_MAX_RECORD_SIZE: `a row has more than ${MAX_LINE} characters; this is no table`,
  CSV_QUOTE_NOT_CLOSED: "a quote is opened and not closed",
  INVALID_OPENING_QUOTE: "a quote stands inside a cell",
  CSV_INVALID_CLOSING_QUOTE: "something follows a closing quote",
};

const reasonOf = ({ code, message }: CsvError): string => REASONS[code] ?? message;
