import type { Dimension } from "../../graph/value-type.ts";

/** The shape two operands broadcast to; null where a rank is not known. */
export function broadcastShapes(shapes: readonly (readonly Dimension[] | null)[]): readonly Dimension[] | null {
  if (shapes.some((shape) => shape === null)) return null;
  const known = shapes as readonly (readonly Dimension[])[];
  const rank = Math.max(0, ...known.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) =>
    known.map((shape) => dimAt(shape, shape.length - rank + axis)).reduce(broadcastDims, 1),
  );
}

/** Axes that a shape of lower rank does not have count as 1. */
function dimAt(shape: readonly Dimension[], axis: number): Dimension {
  const dim = shape[axis];
  return dim === undefined ? 1 : dim;
}

/** Known sizes other than 1 win; of two that differ only by name nothing can be said. */
function broadcastDims(a: Dimension, b: Dimension): Dimension {
  if (a === 1) return b;
  if (b === 1) return a;
  if (a === b) return a;
  if (typeof a === "number") return a;
  return typeof b === "number" ? b : null;
}

/** The product of sizes; null where one is not known, and there is more than it. */
export function product(dims: readonly Dimension[]): Dimension {
  const numbers = dims.filter((dim) => typeof dim === "number").reduce((all, dim) => all * dim, 1);
  const others = dims.filter((dim) => typeof dim !== "number");
  const [only] = others;
  if (others.length === 0) return numbers;
  return others.length === 1 && numbers === 1 && only !== undefined ? only : null;
}

/** The result of arithmetic on sizes, where it can be told. */
export function calculate(op: string, a: Dimension, b: Dimension): Dimension {
  if (typeof a === "number" && typeof b === "number") {
    const results: Readonly<Record<string, number>> = {
      ...{ Add: a + b, Sub: a - b, Mul: a * b, Div: Math.trunc(a / b), Mod: a % b },
      ...{
        Max: Math.max(a, b),
        Min: Math.min(a, b),
        Equal: Number(a === b),
        Greater: Number(a > b),
        Less: Number(a < b),
      },
    };
    const result = results[op];
    return result === undefined || !Number.isFinite(result) ? null : result;
  }
  if (op === "Mul" || op === "Div") return b === 1 ? a : op === "Mul" && a === 1 ? b : null;
  if ((op === "Add" || op === "Sub") && b === 0) return a;
  if (op === "Equal" && isSize(a) && isSize(b) && (a === -1 || b === -1 || a === 0 || b === 0)) return 0;
  return op === "Add" && a === 0 ? b : null;
}

/** A symbol stands for a size, which is positive. */
const isSize = (dim: Dimension): boolean => typeof dim === "string" || typeof dim === "number";
