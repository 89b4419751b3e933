import { DataError, UsageError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import { type Cell, isOther, numberIn, shown } from "./cell.ts";
import type { DataContent, DataFormat, TableOptions } from "./format.ts";
import { Labels } from "./labels.ts";
import type { RangedFile } from "./stored.ts";

const LABELS = /^(labels?|class(es)?|targets?|y)$/i;
/** What the column of row numbers is called that pandas writes where nobody says `index=False`. */
const ROW_NUMBERS = /^(Unnamed: 0)?$/;
const MOST_LISTED = 12;

/** Names in a sentence: the first few. */
export const listed = (names: readonly string[]): string =>
  `${names.slice(0, MOST_LISTED).join(", ")}${names.length > MOST_LISTED ? ", ..." : ""}`;

export interface ColumnNames {
  readonly names: readonly string[];
  /** Whether the file has them; else they are numbers. */
  readonly areGiven: boolean;
}

/** Makes of the rows of a table `features`, float32 [N, columns], and `labels` [N] of the label's column. */
export class Table {
  readonly #names: readonly string[];
  readonly #areNamesGiven: boolean;
  readonly #isNumbered: boolean;
  readonly #features: readonly number[];
  readonly #label: number | null;
  readonly #at: (row: number, column: number) => string;
  readonly #classes: readonly string[] | null;
  readonly #labels = new Labels();
  readonly #notes: string[] = [];
  #values = new Float32Array(1024);
  #rows = 0;
  /** Rows whose features were taken. */
  #taken = 0;

  /**
   * @param at where a cell stands, in the words of the file
   * @throws UsageError `E_OPTION` where an option names no column; DataError `E_TABLE` where two columns have one name
   */
  constructor({ names, areGiven }: ColumnNames, options: TableOptions, at: (row: number, column: number) => string) {
    this.#names = names;
    this.#areNamesGiven = areGiven;
    this.#at = at;
    this.#classes = options.classes ?? null;
    const twice = names.find((name, column) => names.indexOf(name) !== column);
    if (twice !== undefined) throw new DataError("E_TABLE", `two columns are named "${twice}"`, { field: twice });
    const usual = names.findIndex((name) => LABELS.test(name));
    const last = options.columns === undefined ? names.length - 1 : null;
    this.#label =
      options.label === null
        ? null
        : options.label !== undefined
          ? this.#columnOf(options.label)
          : usual < 0
            ? last
            : usual;
    this.#isNumbered =
      areGiven &&
      options.columns === undefined &&
      this.#label !== 0 &&
      names.length > 1 &&
      ROW_NUMBERS.test(names[0] ?? "");
    this.#features = (
      options.columns?.map((name) => this.#columnOf(name)) ?? [...names.keys()].slice(this.#isNumbered ? 1 : 0)
    ).filter((column) => column !== this.#label);
  }

  #columnOf(given: string): number {
    const column = this.#names.indexOf(given);
    if (column >= 0) return column;
    if (/^\d{1,6}$/.test(given) && Number(given) < this.#names.length) return Number(given);
    const known = this.#names.slice(0, 20).join(", ");
    throw new UsageError("E_OPTION", `the data have no column "${given}"`, {
      field: given,
      hint: `They have ${known}${this.#names.length > 20 ? ", ..." : ""}; or count from 0.`,
    });
  }

  /** @throws DataError `E_TABLE` for a cell of a feature that is no finite number, and for a row of another length */
  add(cells: readonly Cell[]): void {
    const row = this.#rows;
    if (cells.length !== this.#names.length) {
      const column = Math.min(cells.length, this.#names.length);
      throw this.#refused(row, column, `the row has ${cells.length} cells, the first has ${this.#names.length}`);
    }
    const width = this.#features.length;
    const begin = (row - this.#taken) * width;
    if (begin + width > this.#values.length) this.#values = grown(this.#values, begin + width);
    for (const [index, column] of this.#features.entries()) {
      const cell = cells[column] ?? null;
      const value = numberIn(cell);
      if (value === null) throw this.#refused(row, column, `${shown(cell)} is no finite number`);
      if (Number.isInteger(value) && (Math.fround(value) !== value || isOther(cell, value)))
        throw this.#refused(row, column, `float32, which features are, cannot hold the whole number ${shown(cell)}`);
      this.#values[begin + index] = value;
    }
    if (this.#label !== null) this.#labels.add(cells[this.#label] ?? null);
    this.#rows++;
  }

  #refused(row: number, column: number, reason: string): DataError {
    const name = this.#names[column];
    const field = name === undefined ? "" : `, column "${name}"`;
    return new DataError("E_TABLE", `${this.#at(row, column)}: ${reason}${field}`, {
      ...(name === undefined ? {} : { field: name }),
      hint: /^"[-+]?\d+,\d+"/.test(reason)
        ? "Numbers have points: sed 's/,/./g' <file> > <other>, where cells are separated by semicolons or tabs."
        : "Mend the row, or choose other columns: --columns, --label (columns, label).",
    });
  }

  /** Columns that are features. */
  get columns(): readonly string[] {
    return this.#features.map((column) => this.#names[column] ?? "");
  }

  /** The columns that are read, in the order of the file. */
  get used(): readonly number[] {
    return [...this.#names.keys()].filter((column) => column === this.#label || this.#features.includes(column));
  }

  /** Keeps what the reader chose, in words, to be told. */
  note(text: string): void {
    this.#notes.push(text);
  }

  get #chosen(): readonly string[] {
    const label = this.#label === null ? null : (this.#names[this.#label] ?? "");
    const names = this.#areNamesGiven ? "" : "no row of names; ";
    const features = `${this.#features.length} features, ${listed(this.columns)}`;
    const without = "the first column has no name and counts rows, as pandas writes it: it is left out";
    return [
      ...this.#notes,
      `${names}${features}; ${label === null ? "no label" : `the label is ${label}`}`,
      ...(this.#isNumbered ? [`${without} (--columns takes it)`] : []),
    ];
  }

  /** The features of the rows that were added since they were taken last, row by row. The table keeps them no longer. */
  take(): Float32Array<ArrayBuffer> {
    const values = this.#values.slice(0, (this.#rows - this.#taken) * this.#features.length);
    this.#taken = this.#rows;
    return values;
  }

  /**
   * @param kept makes the tensor of the features, [rows, columns]; default: of all that were added
   * @throws DataError `E_TABLE` where there are no rows, or a label is empty
   */
  content(kept?: (dims: readonly number[]) => Tensor): DataContent {
    if (this.#rows === 0) throw new DataError("E_TABLE", "the file has no rows");
    const width = this.#features.length;
    const dims = [this.#rows, width];
    const features = kept?.(dims) ?? Tensor.from(DataType.float, dims, this.take());
    const label = this.#label;
    const column =
      label === null ? null : this.#labels.content(this.#classes, (row, reason) => this.#refused(row, label, reason));
    return {
      tensors: [
        ...(width === 0 ? [] : [{ name: "features", tensor: features }]),
        ...(column === null ? [] : [{ name: "labels", tensor: column.tensor }]),
      ],
      ...(column?.classes === undefined ? {} : { classes: { labels: column.classes } }),
      ...(this.#areNamesGiven ? { columns: this.columns } : {}),
      notes: this.#chosen,
      where: (name, row) => this.#at(row, name === "labels" && label !== null ? label : (this.#features[0] ?? 0)),
    };
  }
}

/** Reads a file from its beginning, and gives the table to `flush` now and then, which may take what it has. */
export type ReadTable = (
  file: RangedFile,
  options: TableOptions,
  flush: (table: Table) => Promise<void>,
) => Promise<Table>;

/** Of a format that is a table: how it is read as a whole and row by row. */
export const tableFormat = (read: ReadTable): Pick<DataFormat, "decode" | "table"> => ({
  table: read,
  decode: async (bytes, options) => {
    const file: RangedFile = {
      size: bytes.length,
      read: async (offset, length) => bytes.subarray(offset, offset + length),
    };
    return (await read(file, options, async () => undefined)).content();
  },
});

function grown(values: Float32Array<ArrayBuffer>, size: number): Float32Array<ArrayBuffer> {
  const larger = new Float32Array(Math.max(size, 2 * values.length));
  larger.set(values);
  return larger;
}
