import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import { elementTypeOf } from "./element-type.ts";
import { NodeView } from "./node-view.ts";
import { rankOf } from "./value-types.ts";

/** The least and the largest number of the integer types that reals are quantized to. */
const RANGES = new Map<number, readonly [least: number, most: number]>([
  [DataType.int8, [-128, 127]],
  [DataType.uint8, [0, 255]],
  [DataType.int16, [-32768, 32767]],
  [DataType.uint16, [0, 65535]],
  [DataType.int4, [-8, 7]],
  [DataType.uint4, [0, 15]],
]);

/** The range of what a QuantizeLinear gives, by its zero point; null for types that are no integers. */
export function quantizedRange(node: Node): readonly [least: number, most: number] | null {
  const zero = new NodeView(node).optional(2);
  return RANGES.get(zero === null ? DataType.uint8 : elementTypeOf(zero)) ?? null;
}

/** What a scale or zero point per element of one axis is reshaped to; null where there is one for all, or the rank is not known. */
export function alongAxis(scale: Value, rank: number, axis: number): readonly number[] | null {
  if (rankOf(scale) !== 1 || isOne(scale)) return null;
  const at = axis < 0 ? axis + rank : axis;
  return Array.from({ length: rank }, (_, each) => (each === at ? -1 : 1));
}

const isOne = ({ type }: Value): boolean => type?.kind === "tensor" && type.shape?.[0] === 1;
