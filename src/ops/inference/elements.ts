import { DataType } from "../../graph/data-type.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { MOST_ELEMENTS } from "./content.ts";

/** The elements of a constant, where it is a small one of numbers. */
export function elementsOf(tensor: Tensor | null): readonly Dimension[] | null {
  if (tensor === null || tensor.data.kind === "external" || tensor.size > MOST_ELEMENTS) return null;
  if (!FOLLOWED.has(tensor.dtype)) return null;
  return Array.from(tensor.values() as ArrayLike<number | bigint>, Number).map((each) =>
    Number.isFinite(each) ? each : null,
  );
}

/** Types whose elements are numbers as they stand in the file. */
const FOLLOWED: ReadonlySet<number> = new Set([
  ...[DataType.bool, DataType.float, DataType.double],
  ...[DataType.int8, DataType.int16, DataType.int32, DataType.int64],
  ...[DataType.uint8, DataType.uint16, DataType.uint32, DataType.uint64],
]);
