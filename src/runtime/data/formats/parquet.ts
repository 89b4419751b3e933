import { parquetMetadata, parquetRead, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError } from "../../../errors.ts";
import type { DataContent, TableOptions } from "./format.ts";
import { type Cell, Table } from "./table.ts";

const WAY = "Write it as one column per number, or give the data as .npz or .safetensors.";

const isCell = (value: unknown): value is Cell =>
  value === null || ["string", "number", "bigint", "boolean"].includes(typeof value);

/** @throws DataError `E_PARQUET`, `E_TABLE`; UsageError `E_OPTION` for columns that are not there */
export async function decodeParquet(bytes: Uint8Array, options: TableOptions): Promise<DataContent> {
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const rows: unknown[][] = [];
  const names = await reading(async () => {
    const metadata = parquetMetadata(file);
    const { children } = parquetSchema(metadata);
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
    await parquetRead({
      ...{ file, metadata, compressors },
      onComplete: (read) => {
        for (const row of read as unknown[][]) rows.push(row);
      },
    });
    return children.map(({ element }) => element.name);
  });
  const table = new Table(names, options, (row, column) => `row ${row + 1}, column ${column + 1}`);
  for (const [index, row] of rows.entries())
    table.add(row.map((value, column) => cellOf(value ?? null, `row ${index + 1}, column "${names[column]}"`)));
  return table.content();
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
    if (cause instanceof DataError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError("E_PARQUET", `this is not a whole Parquet file: ${reason}`, { cause });
  }
}
