import type { Value } from "../graph/graph.ts";
import type { Dimension } from "../graph/value-type.ts";

/** The sizes of a value's axes as far as they are known; null where not even its rank is. */
export function shapeOf({ tensor, type }: Value): readonly Dimension[] | null {
  return tensor?.dims ?? (type?.kind === "tensor" ? type.shape : null);
}

export function rankOf(value: Value): number | null {
  return value.type?.kind === "tensor" ? (value.type.shape?.length ?? null) : null;
}

/** The sizes of the axes that are known; null for the others, and as a whole where not even the rank is known. */
export function dimsOf(value: Value): readonly (number | null)[] | null {
  const shape = value.type?.kind === "tensor" ? value.type.shape : null;
  return shape?.map((dim) => (typeof dim === "number" ? dim : null)) ?? null;
}

/** Axes `from`, `from` + 1, ... up to before `to`. */
export function axesFrom(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}

/** The sizes that are all known, or null. */
export function known(dims: readonly (number | null)[] | null): readonly number[] | null {
  return dims?.every((dim) => dim !== null) ? dims : null;
}
