import { finished } from "node:stream/promises";
import { CsvError, type Info, parse } from "csv-parse";
import { DataError } from "../../../errors.ts";
import type { TableOptions } from "./format.ts";
import type { RangedFile } from "./stored.ts";
import { numberIn, type ReadTable, Table } from "./table.ts";

/** A line that is longer is a file of another kind. */
const MAX_LINE = 2 ** 20;
const PIECE_BYTES = 2 ** 20;

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

/**
 * @param delimiter what separates cells
 * @throws DataError `E_TABLE` with line and column; UsageError `E_OPTION` for columns that are not there
 */
export const csv =
  (delimiter: string): ReadTable =>
  async (file, options, flush) => {
    const rows = new Rows(options);
    for await (const _ of piecesRead(file, delimiter, (row) => rows.add(row)))
      if (rows.table !== null) await flush(rows.table);
    return rows.whole();
  };

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
    const table = new Table(names, this.#options, (row, column) => `${this.#lines[row]}:${column + 1}`);
    if (!hasNames) this.#put(table, head);
    return table;
  }

  #put(table: Table, { cells, line }: Row): void {
    this.#lines.push(line);
    table.add(cells);
  }
}

/** Names stand where the next row has numbers, and the first has none. */
const isHeader = (first: readonly string[], second: readonly string[] | null): boolean =>
  first.some((cell, column) => numberIn(cell) === null && (second === null || numberIn(second[column] ?? "") !== null));

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
  try {
    text.decode(piece, { stream: !isLast });
  } catch (cause) {
    throw new DataError("E_TABLE", "the text is not UTF-8", {
      hint: "Convert it: iconv -f latin1 -t utf-8.",
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
