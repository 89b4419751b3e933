import type { Node, Value } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import { ELEMENTWISE } from "../../ops/elementwise.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { dimsOf } from "../../ops/value-types.ts";

/** Operators whose result has no other elements than their first input. */
const ARRANGING = opTypes(["Expand", "Flatten", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"]);

/** Whether all elements of a value are equal, whatever the model is given. */
export function isUniform(value: Value): boolean {
  const constant = constantOf(value);
  if (constant !== null) return areEqual(constant.values());
  const { producer } = value;
  if (dimsOf(value)?.every((dim) => dim === 1)) return true;
  if (producer === null || producer.domain !== "") return false;
  return filling(producer) !== null || (spread(producer)?.every(isUniform) ?? false);
}

/** Whether all elements of a value are zero. */
export function isZero(value: Value): boolean {
  const constant = constantOf(value);
  if (constant !== null) return constant.values().every((element) => Number(element) === 0);
  const { producer } = value;
  if (producer === null || producer.domain !== "") return false;
  return filling(producer) === 0 || (ARRANGING.has(producer.opType) && (spread(producer)?.every(isZero) ?? false));
}

/** The number that a node fills a tensor with; null where it does something else. */
function filling({ opType, attributes }: Node): number | null {
  if (opType !== "ConstantOfShape") return null;
  const value = attributes.get("value");
  return value?.kind === "tensor" ? Number(value.value.tensor.values()[0]) : 0;
}

/** Inputs of a node that give equal elements where they have equal elements; null where there are none. */
function spread({ opType, inputs }: Node): readonly Value[] | null {
  const given = inputs.filter((value) => value !== null);
  if (ARRANGING.has(opType)) return given.slice(0, 1);
  return ELEMENTWISE.has(opType) ? given : null;
}

const areEqual = (elements: ArrayLike<number | bigint>): boolean =>
  Array.prototype.every.call(elements, (element: number | bigint) => Object.is(element, elements[0]));
