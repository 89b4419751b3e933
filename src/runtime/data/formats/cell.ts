/** A cell as a file has it: text of a CSV, a value of a Parquet column. */
export type Cell = string | number | bigint | boolean | null;

const NUMERAL = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** The number of a cell; null where it holds none. Words for what is not finite are no numbers. */
export function numberIn(cell: Cell): number | null {
  if (typeof cell === "boolean") return Number(cell);
  if (typeof cell === "string") return NUMERAL.test(cell) ? finite(Number(cell)) : null;
  return cell === null ? null : finite(Number(cell));
}

/** Whether a whole number is one of those that a number of JavaScript may not be: of CSV its digits, of Parquet an int64. */
export function isOther(cell: Cell, value: number): boolean {
  if (Number.isSafeInteger(value) || !Number.isInteger(value)) return false;
  if (typeof cell === "bigint") return cell !== BigInt(value);
  return typeof cell === "string" && /^[-+]?\d+$/.test(cell) && BigInt(cell.replace("+", "")) !== BigInt(value);
}

/** A cell in the words of an error. */
export const shown = (cell: Cell): string =>
  cell === null || cell === "" ? "an empty cell" : `"${String(cell).slice(0, 40)}"`;

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
