import type { DataError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import { type Cell, isOther, numberIn, shown } from "./cell.ts";

/** Columns with more different cells have numbers, which are no classes. */
const MOST_DIFFERENT = 2 ** 16;

interface Seen {
  readonly cell: Cell;
  /** The first row that has it. */
  readonly row: number;
}

/** The cells of a label's column, four bytes each while few of them differ, and eight where they are numbers of many kinds. */
export class Labels {
  readonly #seen: Seen[] = [];
  readonly #codeOf = new Map<Cell, number>();
  #codes = new Uint32Array(1024);
  #numbers: Float64Array | null = null;
  /** Of numbers of many kinds: the first cell that is none, and the first that is another. */
  #odd: Seen | null = null;
  #large: Seen | null = null;
  #rows = 0;

  add(cell: Cell): void {
    const row = this.#rows++;
    const code = this.#numbers === null ? this.#codeFor(cell, row) : null;
    if (code !== null) {
      if (row >= this.#codes.length) this.#codes = grown(new Uint32Array(2 * this.#codes.length), this.#codes);
      this.#codes[row] = code;
      return;
    }
    this.#numbers ??= this.#asNumbers(row);
    if (row >= this.#numbers.length) this.#numbers = grown(new Float64Array(2 * this.#numbers.length), this.#numbers);
    this.#numbers[row] = this.#numberFor({ cell, row });
  }

  /** Null where there are too many different ones. */
  #codeFor(cell: Cell, row: number): number | null {
    const known = this.#codeOf.get(cell);
    if (known !== undefined) return known;
    if (this.#seen.length === MOST_DIFFERENT) return null;
    this.#codeOf.set(cell, this.#seen.length);
    return this.#seen.push({ cell, row }) - 1;
  }

  #asNumbers(rows: number): Float64Array {
    const values = this.#seen.map((each) => this.#numberFor(each));
    const numbers = new Float64Array(2 * this.#codes.length);
    for (let row = 0; row < rows; row++) numbers[row] = values[this.#codes[row] ?? 0] ?? 0;
    this.#codes = new Uint32Array();
    return numbers;
  }

  #numberFor(each: Seen): number {
    const value = numberIn(each.cell);
    if (value === null) this.#odd ??= each;
    else if (isOther(each.cell, value)) this.#large ??= each;
    return value ?? 0;
  }

  /**
   * Whole numbers are classes as they are, other numbers targets, text classes in the order of their words.
   * @param given the words of the classes; null: those that there are
   * @param refused makes the error for a row
   */
  content(
    given: readonly string[] | null,
    refused: (row: number, reason: string) => DataError,
  ): { readonly tensor: Tensor; readonly classes?: readonly string[] } {
    const empty = [...this.#seen, ...(this.#odd === null ? [] : [this.#odd])].find(isEmpty);
    if (empty !== undefined) throw refused(empty.row, "the label is empty");
    if (given !== null) {
      const other = this.#seen.find(({ cell }) => !given.includes(String(cell)));
      if (other !== undefined) throw refused(other.row, `${shown(other.cell)} is none of the classes given`);
      return this.#numbered(given);
    }
    const odd = this.#odd ?? this.#seen.find(({ cell }) => numberIn(cell) === null) ?? null;
    if (odd !== null) {
      if (this.#numbers !== null || this.#countOfNumbers() > this.#rows / 2)
        throw refused(odd.row, `${shown(odd.cell)} is no number, as most labels are`);
      return this.#numbered([...new Set(this.#seen.map(({ cell }) => String(cell)))].sort());
    }
    const large = this.#large ?? this.#seen.find(({ cell }) => isOther(cell, numberIn(cell) ?? 0)) ?? null;
    if (large !== null) throw refused(large.row, `${shown(large.cell)} is beyond 2^53`);
    return { tensor: this.#tensorOf(this.#numbers?.subarray(0, this.#rows) ?? this.#decoded(numberIn)) };
  }

  #tensorOf(numbers: Float64Array): Tensor {
    const isWhole = numbers.every(Number.isSafeInteger);
    const values = isWhole ? wholeNumbers(numbers) : Float32Array.from(numbers);
    return Tensor.from(isWhole ? DataType.int64 : DataType.float, [this.#rows], values);
  }

  /** Each cell as the number of its class. */
  #numbered(classes: readonly string[]): { readonly tensor: Tensor; readonly classes: readonly string[] } {
    const numberOf = new Map(classes.map((name, index) => [name, index]));
    const numbers = this.#decoded((cell) => numberOf.get(String(cell)) ?? 0);
    return { tensor: Tensor.from(DataType.int64, [this.#rows], wholeNumbers(numbers)), classes };
  }

  #decoded(numberOf: (cell: Cell) => number | null): Float64Array {
    const values = this.#seen.map(({ cell }) => numberOf(cell) ?? 0);
    const numbers = new Float64Array(this.#rows);
    for (let row = 0; row < numbers.length; row++) numbers[row] = values[this.#codes[row] ?? 0] ?? 0;
    return numbers;
  }

  #countOfNumbers(): number {
    const are = this.#seen.map(({ cell }) => numberIn(cell) !== null);
    return this.#codes.subarray(0, this.#rows).reduce((count, code) => count + (are[code] === true ? 1 : 0), 0);
  }
}

/** `BigInt64Array.from` would have all numbers as objects at once. */
function wholeNumbers(numbers: Float64Array): BigInt64Array {
  const whole = new BigInt64Array(numbers.length);
  for (let row = 0; row < whole.length; row++) whole[row] = BigInt(numbers[row] ?? 0);
  return whole;
}

const isEmpty = ({ cell }: Seen): boolean => cell === null || cell === "";

function grown<Values extends Uint32Array | Float64Array>(larger: Values, values: Values): Values {
  larger.set(values);
  return larger;
}
