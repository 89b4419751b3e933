import { type AsyncBuffer, cachedAsyncBuffer, parquetMetadataAsync, parquetRead, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError, OnnxAgrError } from "../../../errors.ts";
import type { RangedFile } from "./stored.ts";
import { type Cell, type ReadTable, Table } from "./table.ts";

const WAY = "Write it as one column per number, or give the data as .npz or .safetensors.";

const isCell = (value: unknown): value is Cell =>
  value === null || ["string", "number", "bigint", "boolean"].includes(typeof value);

/** Cells that are decoded at once, and bytes of a row group: they are in memory as JavaScript's values. */
const CELLS_AT_ONCE = 2 ** 19;
const MOST_GROUP_BYTES = 2 ** 30;

/**
 * Row group by row group, each in parts where it has many rows.
 * @throws DataError `E_PARQUET`, `E_TABLE`; UsageError `E_OPTION` for columns that are not there
 */
export const readParquet: ReadTable = async (file, options, flush) => {
  const whole = bufferOf(file);
  const metadata = await reading(() => parquetMetadataAsync(whole));
  const { children } = await reading(async () => parquetSchema(metadata));
  const nested = children.find((child) => child.children.length > 0 || child.element.repetition_type === "REPEATED");
  if (nested !== undefined)
    throw new DataError(
      "E_PARQUET",
      `column "${nested.element.name}" is a list or a structure; columns must be numbers or text`,
      {
        field: nested.element.name,
        hint: WAY,
      },
    );
  const names = children.map(({ element }) => element.name);
  const table = new Table(names, options, (row, column) => `row ${row + 1}, column ${column + 1}`);
  const part = Math.max(1, Math.floor(CELLS_AT_ONCE / names.length));
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
          ...{ file: own, metadata, compressors, rowStart, rowEnd },
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
      for (const [at, row] of rows.entries())
        table.add(
          row.map((value, column) => cellOf(value ?? null, `row ${rowStart + at + 1}, column "${names[column]}"`)),
        );
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

function cellOf(value: unknown, place: string): Cell {
  if (isCell(value)) return value;
  if (value instanceof Date) return value.getTime();
  throw new DataError("E_PARQUET", `${place} holds a list or a structure; columns must be numbers or text`, {
    hint: WAY,
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
