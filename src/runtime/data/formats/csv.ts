import { isUtf8 } from "node:buffer";
import { CsvError, type Info, parse } from "csv-parse/sync";
import { DataError } from "../../../errors.ts";
import type { DataContent, TableOptions } from "./format.ts";
import { numberIn, Table } from "./table.ts";

/** A line that is longer is a file of another kind. */
const MAX_LINE = 2 ** 20;

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

/** @param delimiter what separates cells */
export const csv =
  (delimiter: string) =>
  (bytes: Uint8Array, options: TableOptions): DataContent =>
    decodeCsv(bytes, delimiter, options);

/** @throws DataError `E_TABLE` with line and column; UsageError `E_OPTION` for columns that are not there */
function decodeCsv(bytes: Uint8Array, delimiter: string, options: TableOptions): DataContent {
  if (!isUtf8(bytes)) {
    throw new DataError("E_TABLE", "the text is not UTF-8", { hint: "Convert it: iconv -f latin1 -t utf-8." });
  }
  const lines: number[] = [];
  const read: { first: Row | null; table: Table | null } = { first: null, table: null };
  const add = (table: Table, { cells, line }: Row): void => {
    lines.push(line);
    table.add(cells);
  };
  const begin = (head: Row, second: Row | null): Table => {
    const hasNames = options.header ?? isHeader(head.cells, second?.cells ?? null);
    const names = hasNames ? head.cells : head.cells.map((_, column) => `column ${column}`);
    const table = new Table(names, options, (row, column) => `${lines[row]}:${column + 1}`);
    if (!hasNames) add(table, head);
    return table;
  };
  eachRow(bytes, delimiter, (row) => {
    if (read.first === null) read.first = row;
    else {
      read.table ??= begin(read.first, row);
      add(read.table, row);
    }
  });
  if (read.first === null) throw new DataError("E_TABLE", "the file has no rows");
  return (read.table ?? begin(read.first, null)).content();
}

/** Names stand where the next row has numbers, and the first has none. */
const isHeader = (first: readonly string[], second: readonly string[] | null): boolean =>
  first.some((cell, column) => numberIn(cell) === null && (second === null || numberIn(second[column] ?? "") !== null));

function eachRow(bytes: Uint8Array, delimiter: string, take: (row: Row) => void): void {
  try {
    parse(bytes, {
      ...{ delimiter, bom: true, trim: true, skip_empty_lines: true, relax_column_count: true },
      max_record_size: MAX_LINE,
      on_record: (cells: readonly string[], { lines }: Info) => {
        take({ cells, line: lines });
        return null;
      },
    });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const line = (cause as { readonly lines?: unknown }).lines;
    const place = typeof line === "number" ? `line ${line}: ` : "";
    throw new DataError("E_TABLE", `${place}${reasonOf(cause)}`, { cause });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  CSV_MAX_RECORD_SIZE: `a row has more than ${MAX_LINE} characters; this is no table`,
  CSV_QUOTE_NOT_CLOSED: "a quote is opened and not closed",
  INVALID_OPENING_QUOTE: "a quote stands inside a cell",
  CSV_INVALID_CLOSING_QUOTE: "something follows a closing quote",
};

const reasonOf = ({ code, message }: CsvError): string => REASONS[code] ?? message;
