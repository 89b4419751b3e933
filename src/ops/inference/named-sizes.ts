import type { Dimension } from "../../graph/value-type.ts";

/**
 * Arithmetic on sizes of axes that have names. A size is a sum of products, written in one way alone: `2*batch + 1`. What is no
 * such sum has a name made of how it is computed, `div(height - 1,2)`, so that what is computed in the same way is the same
 * size. Null: nothing is known.
 */

/** Factors joined by a mark, `""` for the number alone, with how often each product is taken. */
type Terms = ReadonlyMap<string, number>;

const MARK = "\u0000";
/** Longer texts help nobody, and repeated squaring would double them. */
const LONGEST = 120;
const NAME = /[A-Za-z_][\w.:]*/y;

function parse(dim: Dimension): Terms | null {
  if (typeof dim === "number") return Number.isSafeInteger(dim) ? new Map([["", dim]]) : null;
  if (dim === null || dim.length > LONGEST) return null;
  const terms = new Map<string, number>();
  let at = 0;
  for (let isFirst = true; isFirst || at < dim.length; isFirst = false) {
    const joint = isFirst ? "" : dim.slice(at, at + 3);
    if (!isFirst && joint !== " + " && joint !== " - ") return null;
    at += joint.length;
    const product = parseProduct(dim, at);
    if (product === null) return null;
    at = product.end;
    const count = joint === " - " ? -product.count : product.count;
    terms.set(product.key, (terms.get(product.key) ?? 0) + count);
  }
  return terms.size === 1 && terms.has("") ? null : terms;
}

/** `3*a*b`, `-a`, `7` or a name with what it was made of in parentheses. */
function parseProduct(
  text: string,
  start: number,
): { readonly key: string; readonly count: number; readonly end: number } | null {
  let at = start;
  let count = 1;
  const number = /-?\d+/y;
  number.lastIndex = at;
  const digits = number.exec(text)?.[0];
  if (digits !== undefined) {
    count = Number(digits);
    at += digits.length;
    if (!Number.isSafeInteger(count)) return null;
    if (text[at] !== "*") return { key: "", count, end: at };
    at++;
  } else if (text[at] === "-") {
    count = -1;
    at++;
  }
  const factors: string[] = [];
  for (;;) {
    const factor = atomAt(text, at);
    if (factor === null) return null;
    factors.push(factor);
    at += factor.length;
    if (text[at] !== "*") break;
    at++;
  }
  return { key: factors.sort().join(MARK), count, end: at };
}

function atomAt(text: string, at: number): string | null {
  NAME.lastIndex = at;
  const name = NAME.exec(text)?.[0];
  if (name === undefined) return null;
  if (text[at + name.length] !== "(") return name;
  let depth = 0;
  for (let end = at + name.length; end < text.length; end++) {
    if (text[end] === "(") depth++;
    if (text[end] === ")") depth--;
    if (depth === 0) return text.slice(at, end + 1);
  }
  return null;
}

function print(terms: Terms): Dimension {
  const used = [...terms].filter(([, count]) => count !== 0);
  if (!used.every(([, count]) => Number.isSafeInteger(count))) return null;
  const [only] = used;
  if (only === undefined) return 0;
  if (used.length === 1 && only[0] === "") return only[1];
  const order = ([key]: readonly [string, number]): string => (key === "" ? "\uffff" : key);
  const sorted = used.toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
  const text = sorted
    .map(([key, count], index) => {
      const sign = index === 0 ? (count < 0 ? "-" : "") : count < 0 ? " - " : " + ";
      const size = Math.abs(count);
      const factors = key.split(MARK).filter((factor) => factor !== "");
      return sign + [...(size === 1 && factors.length > 0 ? [] : [String(size)]), ...factors].join("*");
    })
    .join("");
  return text.length > LONGEST ? null : text;
}

export function plus(a: Dimension, b: Dimension): Dimension {
  return linear(a, b, 1);
}

export function minus(a: Dimension, b: Dimension): Dimension {
  return a === b && a !== null ? 0 : linear(a, b, -1);
}

function linear(a: Dimension, b: Dimension, sign: number): Dimension {
  if (b === 0) return a;
  const [left, right] = [parse(a), parse(b)];
  if (left === null || right === null) return null;
  const sum = new Map(left);
  for (const [key, count] of right) sum.set(key, (sum.get(key) ?? 0) + sign * count);
  return print(sum);
}

export function times(a: Dimension, b: Dimension): Dimension {
  if (a === 1) return b;
  if (b === 1) return a;
  const [left, right] = [parse(a), parse(b)];
  if (left === null || right === null) return null;
  const product = new Map<string, number>();
  for (const [one, times] of left) {
    for (const [other, count] of right) {
      const key = [...factorsOf(one), ...factorsOf(other)].sort().join(MARK);
      product.set(key, (product.get(key) ?? 0) + times * count);
    }
  }
  return print(product);
}

const factorsOf = (key: string): readonly string[] => (key === "" ? [] : key.split(MARK));

/** The quotient cut to a whole number, as ONNX divides. */
export function over(a: Dimension, b: Dimension): Dimension {
  if (b === 1) return a;
  const [above, below] = [parse(a), parse(b)];
  if (above === null || below === null || b === 0) return null;
  const exact = divided(above, below);
  if (exact !== null) return print(exact);
  if (typeof a === "number" && typeof b === "number") return Math.trunc(a / b);
  return made("div", a, b);
}

/** The quotient where every product of the sum can be divided. */
function divided(above: Terms, below: Terms): Terms | null {
  const [divisor, ...others] = below;
  if (divisor === undefined || others.length > 0) return null;
  const [key, count] = divisor;
  const quotient = new Map<string, number>();
  for (const [term, times] of above) {
    if (times % count !== 0) return null;
    const left = [...factorsOf(term)];
    for (const factor of factorsOf(key)) {
      const at = left.indexOf(factor);
      if (at < 0) return null;
      left.splice(at, 1);
    }
    quotient.set(left.join(MARK), times / count);
  }
  return quotient;
}

/** A size that follows from others in a way of its own; null where one is not known. */
export function made(how: string, ...from: readonly Dimension[]): Dimension {
  if (from.some((dim) => parse(dim) === null)) return null;
  const text = `${how}(${from.join(",")})`;
  return text.length > LONGEST ? null : text;
}

/** Whether a size is 1 or more: one that has a name is, and so are sums and products of names. */
export function isPositive(dim: Dimension): boolean {
  if (typeof dim !== "string") return dim !== null && dim > 0;
  const terms = parse(dim);
  if (terms === null) return true;
  return [...terms].every(([key, count]) => count >= 0 && factorsOf(key).every((factor) => !factor.endsWith(")")));
}

/** Whether two sizes are the same; null where that cannot be told. */
export function areEqual(a: Dimension, b: Dimension): boolean | null {
  const difference = minus(a, b);
  if (typeof difference === "number") return difference === 0;
  return isPositive(difference) || isPositive(minus(b, a)) ? false : null;
}

/** What a size is where those that have names are known; null where one that is made in a way of its own is not. */
export function evaluate(dim: Dimension, sizeOf: (name: string) => number): number | null {
  const terms = parse(dim);
  if (terms === null) return typeof dim === "string" ? sizeOf(dim) : null;
  const values = [...terms].map(([key, count]) =>
    factorsOf(key).reduce<number | null>((all, factor) => {
      const value = factor.endsWith(")") ? quotientOf(factor, sizeOf) : sizeOf(factor);
      return all === null || value === null ? null : all * value;
    }, count),
  );
  return values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}

/** `div(above,below)`, of which the last comma parts the two. */
function quotientOf(text: string, sizeOf: (name: string) => number): number | null {
  const [, above, below] = /^div\((.*),([^,()]+)\)$/s.exec(text) ?? [];
  if (above === undefined || below === undefined) return null;
  const [top, bottom] = [numeral(above), numeral(below)].map((part) => evaluate(part, sizeOf));
  return typeof top !== "number" || typeof bottom !== "number" ? null : Math.trunc(top / bottom);
}

const numeral = (text: string): Dimension => (/^-?\d+$/.test(text) ? Number(text) : text);
