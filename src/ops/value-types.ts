import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { intAttribute } from "./attributes.ts";

export function rankOf(value: Value): number | null {
  return value.type?.kind === "tensor" ? (value.type.shape?.length ?? null) : null;
}

/** The sizes of the axes that are known; null for the others, and as a whole where not even the rank is known. */
export function dimsOf(value: Value): readonly (number | null)[] | null {
  const shape = value.type?.kind === "tensor" ? value.type.shape : null;
  return shape?.map((dim) => (typeof dim === "number" ? dim : null)) ?? null;
}

/** The element type of a value: as declared, else as the nodes that make it take it over from their first input. */
export function elementTypeOf(value: Value): number {
  const seen = new Set<Value>();
  for (let at: Value | null = value; at !== null && !seen.has(at); ) {
    seen.add(at);
    if (at.tensor !== null) return at.tensor.dtype;
    if (at.type?.kind === "tensor") return at.type.dtype;
    const producer: Node | null = at.producer;
    if (producer === null) break;
    if (producer.opType === "Cast") return intAttribute(producer, "to", DataType.float);
    at = producer.inputs[producer.opType === "Where" ? 1 : 0] ?? null;
  }
  return DataType.float;
}

/** Axes `from`, `from` + 1, ... up to before `to`. */
export function axesFrom(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}

/** The sizes that are all known, or null. */
export function known(dims: readonly (number | null)[] | null): readonly number[] | null {
  return dims?.every((dim) => dim !== null) ? dims : null;
}
