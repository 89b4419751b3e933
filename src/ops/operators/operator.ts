import type { AttributeKind } from "../../graph/attribute.ts";

interface Defaults {
  readonly int: number;
  readonly float: number;
  readonly string: string;
  readonly ints: readonly number[];
  readonly floats: readonly number[];
  readonly strings: readonly string[];
}

type DefaultOf<Kind extends AttributeKind> = Kind extends keyof Defaults ? Defaults[Kind] : never;

/** What an operator's schema says of one attribute. */
export interface AttributeSchema<Kind extends AttributeKind = AttributeKind> {
  readonly kind: Kind;
  /** What holds where a node does not give it; null: the operator decides by itself. */
  readonly default: DefaultOf<Kind> | null;
  /** Every node must give it. */
  readonly required?: true;
  /** The opset that brought it. Default: that of the operator. */
  readonly since?: number;
  /** The opset that took it away. */
  readonly until?: number;
  /** The default that nodes of opsets before this one have. */
  readonly before?: readonly [opset: number, was: DefaultOf<Kind>];
}

/**
 * What the elements of the outputs are made of. `elementwise`: of elements at the same place, with broadcasting. `linear`: of
 * those, and as a sum of multiples of them. `reduction`: sums, norms and extremes over axes.
 */
export type Family = "elementwise" | "linear" | "reduction";

/** One operator, as its newest version has it. */
export interface Operator {
  /** The opsets that brought it and changed it. */
  readonly since: readonly number[];
  /** The names of its inputs; `?` may be left out, `*` any number, `+` one or more. */
  readonly inputs: string;
  readonly outputs: string;
  readonly family?: Family;
  readonly attributes: Readonly<Record<string, AttributeSchema>>;
}

const attributeOf =
  <Kind extends AttributeKind>(kind: Kind) =>
  (fallback: DefaultOf<Kind> | null = null): AttributeSchema<Kind> => ({ kind, default: fallback });

export const int = attributeOf("int");
export const float = attributeOf("float");
export const string = attributeOf("string");
export const ints = attributeOf("ints");
export const floats = attributeOf("floats");
export const strings = attributeOf("strings");
export const tensor = attributeOf("tensor");
export const sparseTensor = attributeOf("sparse-tensor");
export const graph = attributeOf("graph");
export const type = attributeOf("type");

export const required = <Kind extends AttributeKind>(each: AttributeSchema<Kind>): AttributeSchema<Kind> => ({
  ...each,
  required: true,
});

/** An attribute that came with an opset later than the operator. */
export const since = <Kind extends AttributeKind>(
  opset: number,
  each: AttributeSchema<Kind>,
): AttributeSchema<Kind> => ({ ...each, since: opset });

/** An attribute that an opset took away. */
export const until = <Kind extends AttributeKind>(
  opset: number,
  each: AttributeSchema<Kind>,
): AttributeSchema<Kind> => ({ ...each, until: opset });

/** An attribute whose default was another before an opset. */
export const before = <Kind extends AttributeKind>(
  opset: number,
  was: DefaultOf<Kind>,
  each: AttributeSchema<Kind>,
): AttributeSchema<Kind> => ({ ...each, before: [opset, was] });
