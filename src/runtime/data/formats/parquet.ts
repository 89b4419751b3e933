import {
  type AsyncBuffer,
  cachedAsyncBuffer,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError, OnnxAgrError } from "../../../errors.ts";
import type { Cell } from "./cell.ts";
import type { RangedFile } from "./stored.ts";
import { type ReadTable, Table } from "./table.ts";

const WAY = "Write it as one column per number, or give the data as .npz or .safetensors.";
const OTHERS = "Or read the other columns: --columns, --label (columns, label).";

const isCell = (value: unknown): value is Cell =>
  value === null || ["string", "number", "bigint", "boolean"].includes(typeof value);

/** Cells that are decoded at once, and bytes of a row group: they are in memory as JavaScript's values. */
const CELLS_AT_ONCE = 2 ** 19;
const MOST_GROUP_BYTES = 2 ** 30;

/**
 * Row group by row group, each in parts where it has many rows. Columns that nothing is made of are not read.
 * @throws DataError `E_PARQUET`, `E_TABLE`; UsageError `E_OPTION` for columns that are not there
 */
export const readParquet: ReadTable = async (file, options, flush) => {
  const whole = bufferOf(file);
  const metadata = await reading(() => parquetMetadataAsync(whole));
  const { children } = await reading(async () => parquetSchema(metadata));
  const names = children.map(({ element }) => element.name);
  const at = (row: number, column: number): string => `row ${row + 1}, column ${column + 1}`;
  const table = new Table({ names, areGiven: true }, options, at);
  const used = table.used;
  for (const column of used) requirePlain(children[column]);
  const columns = used.map((column) => names[column] ?? "");
  const part = Math.max(1, Math.floor(CELLS_AT_ONCE / columns.length));
  let begin = 0;
  for (const [index, group] of metadata.row_groups.entries()) {
    requireSmall(index, Number(group.total_compressed_size ?? group.total_byte_size));
    const end = begin + Number(group.num_rows);
    const own = cachedAsyncBuffer(whole);
    for (let rowStart = begin; rowStart < end; rowStart += part) {
      const rowEnd = Math.min(end, rowStart + part);
      let rows: readonly unknown[][] = [];
      await reading(() =>
        parquetRead({
          ...{ file: own, metadata, compressors, rowStart, rowEnd, columns },
          onComplete: (read) => {
            rows = read as unknown[][];
          },
        }),
      );
      if (rows.length !== rowEnd - rowStart)
        throw new DataError(
          "E_PARQUET",
          `this is not a whole Parquet file: row group ${index} lacks rows that it is said to have`,
        );
      for (const [number, row] of rows.entries()) {
        const cells: Cell[] = new Array(names.length).fill(null);
        for (const [index, column] of used.entries())
          cells[column] = cellOf(row[index] ?? null, rowStart + number, columns[index]);
        table.add(cells);
      }
      await flush(table);
    }
    begin = end;
  }
  return table;
};

const bufferOf = (file: RangedFile): AsyncBuffer => ({
  byteLength: file.size,
  slice: async (begin, end = file.size) => {
    const bytes = await file.read(begin, Math.min(end, file.size) - begin);
    return bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer
      ? bytes.buffer
      : new Uint8Array(bytes).buffer;
  },
});

function requireSmall(group: number, bytes: number): void {
  if (bytes <= MOST_GROUP_BYTES) return;
  const size = (bytes / 2 ** 30).toFixed(1);
  throw new DataError("E_PARQUET", `row group ${group} has ${size} GiB, and a row group of 1 GiB is read at once`, {
    hint: "Write the file with smaller row groups; of pyarrow: write_table(..., row_group_size=100000).",
  });
}

/** @throws DataError `E_PARQUET` for a column that is not one cell per row */
function requirePlain(column: SchemaTree | undefined): void {
  if (column === undefined || (column.children.length === 0 && column.element.repetition_type !== "REPEATED")) return;
  const { name } = column.element;
  throw new DataError("E_PARQUET", `column "${name}" is a list or a structure; columns must be numbers or text`, {
    field: name,
    hint: `${WAY} ${OTHERS}`,
  });
}

/** @throws DataError `E_PARQUET` for what is neither a number nor text */
function cellOf(value: unknown, row: number, name = ""): Cell {
  if (isCell(value)) return value;
  const isTime = value instanceof Date;
  const what = isTime ? "a time" : "a list or a structure";
  throw new DataError("E_PARQUET", `row ${row + 1}, column "${name}" holds ${what}; columns must be numbers or text`, {
    field: name,
    hint: isTime
      ? `Write it as numbers that mean something to the model: the hour, the day of the week. ${OTHERS}`
      : `${WAY} ${OTHERS}`,
  });
}

/** Errors of the library as ours. */
async function reading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof OnnxAgrError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError("E_PARQUET", `this is not a whole Parquet file: ${reason}`, { cause });
  }
}
