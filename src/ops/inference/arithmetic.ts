import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { areEqual, isPositive, minus, over, plus, times } from "./named-sizes.ts";

/** Arithmetic on single elements, as their type has it. Null: not known, or not a finite number that the type holds exactly. */

/** Whole numbers from minimum to maximum; int64 and uint64 as far as a number holds them exactly. */
const WHOLE: ReadonlyMap<number, readonly [min: number, max: number]> = new Map([
  [DataType.uint8, [0, 0xff]],
  [DataType.int8, [-0x80, 0x7f]],
  [DataType.uint16, [0, 0xffff]],
  [DataType.int16, [-0x8000, 0x7fff]],
  [DataType.uint32, [0, 0xffffffff]],
  [DataType.int32, [-0x80000000, 0x7fffffff]],
  [DataType.uint64, [0, Number.MAX_SAFE_INTEGER]],
  [DataType.int64, [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]],
]);
/** Up to here a type of few bits holds every whole number; its fractions are not followed. */
const HALF: ReadonlyMap<number, number> = new Map([
  [DataType.float16, 2 ** 11],
  [DataType.bfloat16, 2 ** 8],
]);
/** Types that hold the size of any axis. */
const HOLDS_SIZES: ReadonlySet<number> = new Set([
  ...[DataType.int32, DataType.int64, DataType.uint32, DataType.uint64],
  ...[DataType.float, DataType.double],
]);

const isWholeType = (dtype: number): boolean => WHOLE.has(dtype);

/** The number as the type has it; floats are rounded to the type. */
function represent(dtype: number, value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const exact = value === 0 ? 0 : value;
  if (dtype === DataType.bool) return exact === 0 ? 0 : 1;
  if (dtype === DataType.double) return exact;
  if (dtype === DataType.float) return represent(DataType.double, Math.fround(exact));
  if (!Number.isInteger(exact)) return null;
  const half = HALF.get(dtype);
  const [min, max] = WHOLE.get(dtype) ?? (half === undefined ? [1, 0] : [-half, half]);
  return exact >= min && exact <= max ? exact : null;
}

/** Cast: floats are cut to whole numbers, everything but zero is true. */
export function castElement(value: Dimension, from: number, to: number): Dimension {
  if (typeof value === "string") return HOLDS_SIZES.has(to) ? value : null;
  if (value === null) return null;
  return represent(to, isWholeType(to) && !isWholeType(from) ? Math.trunc(value) : value);
}

type Binary = (a: number, b: number, isWhole: boolean) => number;

/** The remainder with the sign of the divisor, as ONNX's Mod has it for whole numbers; that of C for others (fmod). */
const modulo: Binary = (a, b, isWhole) => (isWhole ? ((a % b) + b) % b : a % b);
const power: Binary = (a, b, isWhole) => {
  const result = a ** b;
  return isWhole ? Math.trunc(result) : Number.isSafeInteger(result) ? result : Number.NaN;
};

const ARITHMETIC: Readonly<Record<string, Binary>> = {
  Add: (a, b) => a + b,
  Sum: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b, isWhole) => (isWhole ? Math.trunc(a / b) : a / b),
  Mod: modulo,
  /** Mod with fmod = 1. */
  Fmod: (a, b) => a % b,
  Pow: power,
  Max: (a, b) => Math.max(a, b),
  Min: (a, b) => Math.min(a, b),
};

const PREDICATES: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  GreaterOrEqual: (a, b) => a >= b,
  Less: (a, b) => a < b,
  LessOrEqual: (a, b) => a <= b,
  And: (a, b) => a !== 0 && b !== 0,
  Or: (a, b) => a !== 0 || b !== 0,
  Xor: (a, b) => (a !== 0) !== (b !== 0),
};

/** To the nearest whole number, halves to the even one. */
const roundEven = (value: number): number => {
  const low = Math.floor(value);
  const rest = value - low;
  return rest === 0.5 ? low + (((low % 2) + 2) % 2) : Math.round(value);
};

const UNARY: Readonly<Record<string, (value: number) => number>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Floor: Math.floor,
  Identity: (value) => value,
  Neg: (value) => -value,
  Not: (value) => (value === 0 ? 1 : 0),
  Relu: (value) => Math.max(0, value),
  Round: roundEven,
  Sign: Math.sign,
};

/** Those that leave a whole number as it is. */
const KEEPS_WHOLE: ReadonlySet<string> = new Set(["Ceil", "Floor", "Identity", "Round"]);
/** Those that leave a positive number as it is. */
const KEEPS_POSITIVE: ReadonlySet<string> = new Set(["Abs", "Relu"]);

export const UNARY_ARITHMETIC: readonly string[] = Object.keys(UNARY);

export function calculateOne(op: string, dtype: number, value: Dimension): Dimension {
  if (typeof value === "string") {
    return KEEPS_WHOLE.has(op) || (KEEPS_POSITIVE.has(op) && isPositive(value)) ? value : null;
  }
  const of = UNARY[op];
  if (value === null || of === undefined || !isExact(dtype, value)) return null;
  return represent(dtype, of(value));
}

/** @param dtype of the operands */
export function calculate(op: string, dtype: number, a: Dimension, b: Dimension): Dimension {
  if (typeof a === "number" && typeof b === "number") {
    if (!isExact(dtype, a) || !isExact(dtype, b)) return null;
    const predicate = PREDICATES[op];
    if (predicate !== undefined) return predicate(a, b) ? 1 : 0;
    const arithmetic = ARITHMETIC[op];
    return arithmetic === undefined ? null : represent(dtype, arithmetic(a, b, isWholeType(dtype)));
  }
  return ofSymbols(op, isWholeType(dtype), a, b);
}

/** A large limit (the end of a slice is often the largest int64) is no longer exact as a number: nothing is made of it. */
const isExact = (dtype: number, value: number): boolean => !isWholeType(dtype) || Number.isSafeInteger(value);

/** What can be told of sizes that have names. */
function ofSymbols(op: string, isWhole: boolean, a: Dimension, b: Dimension): Dimension {
  if (a === null || b === null) return null;
  switch (op) {
    case "Add":
    case "Sum":
      return plus(a, b);
    case "Sub":
      return minus(a, b);
    case "Mul":
      return times(a, b);
    case "Div":
      return isWhole || b === 1 ? over(a, b) : null;
    case "Max":
    case "Min":
      return a === b ? a : null;
    case "Equal": {
      const isEqual = areEqual(a, b);
      return isEqual === null ? null : Number(isEqual);
    }
    default:
      return null;
  }
}
