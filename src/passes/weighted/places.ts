import type { Value } from "../../graph/graph.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { shapeOf } from "../../ops/value-types.ts";

/** Which of a tensor's numbers, in the order in which they lie, a weight belongs to: number i has weight floor(i / span) mod count. */
export interface Places {
  readonly count: number;
  readonly span: number;
}

/** Whether both have a shape, and the same. */
export function sameShape(a: Value, b: Value | null | undefined): boolean {
  const [left, right] = [shapeOf(a), b ? shapeOf(b) : null];
  return (
    left !== null && left.length === right?.length && left.every((size, axis) => size !== null && size === right[axis])
  );
}

/** Where weights of a shape belong in a tensor that they are broadcast to without changing its shape; null where their axes do not lie beside each other. */
export function placesOf(weights: readonly Dimension[] | null, whole: readonly Dimension[] | null): Places | null {
  if (weights === null || whole === null || weights.length > whole.length) return null;
  const first = whole.length - weights.length;
  const axes = weights.flatMap((size, axis) => (size === 1 ? [] : [first + axis]));
  if (axes.some((axis) => typeof whole[axis] !== "number" || whole[axis] !== weights[axis - first])) return null;
  const [from, to] = [axes[0], axes.at(-1)];
  if (from === undefined || to === undefined) return { count: 1, span: 1 };
  const between = whole.slice(from, to + 1).filter((size) => size !== 1);
  const inner = whole.slice(to + 1);
  if (between.length !== axes.length || !inner.every((size) => typeof size === "number")) return null;
  return { count: product(between.map(Number)), span: product(inner) };
}

export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
