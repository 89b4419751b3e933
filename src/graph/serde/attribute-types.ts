import type { AttributeKind } from "../attribute.ts";

/** `AttributeProto.AttributeType` by kind. */
export const ATTRIBUTE_TYPES: Readonly<Record<Exclude<AttributeKind, "reference">, number>> = {
  undefined: 0,
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
  "sparse-tensor": 11,
  "sparse-tensors": 12,
  type: 13,
  types: 14,
};

const KINDS = new Map(
  Object.entries(ATTRIBUTE_TYPES).map(([kind, type]) => [type, kind as keyof typeof ATTRIBUTE_TYPES]),
);

export function attributeKind(type: number): keyof typeof ATTRIBUTE_TYPES | undefined {
  return KINDS.get(type);
}
