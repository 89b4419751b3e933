import type { Dimension } from "../../graph/value-type.ts";
import { times } from "./named-sizes.ts";

/** The shape two operands broadcast to; null where a rank is not known. */
export function broadcastShapes(shapes: readonly (readonly Dimension[] | null)[]): readonly Dimension[] | null {
  if (shapes.some((shape) => shape === null)) return null;
  const known = shapes as readonly (readonly Dimension[])[];
  const rank = known.reduce((most, { length }) => Math.max(most, length), 0);
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

/** The product of sizes; null where one is not known. */
export function product(dims: readonly Dimension[]): Dimension {
  return dims.reduce(times, 1);
}

/** An axis counted from the front. */
export const normalizeAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
