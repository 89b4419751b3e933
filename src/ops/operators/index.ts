import type { AttributeKind } from "../../graph/attribute.ts";
import type { Node } from "../../graph/graph.ts";
import { uniqueRows } from "../unique-rows.ts";
import { ONNX_OPERATORS } from "./onnx.ts";
import type { AttributeSchema, Family, Operator } from "./operator.ts";
import { RUNTIME_OPERATORS } from "./runtime.ts";
import { TRAINING_OPERATORS } from "./training.ts";

type Rows = typeof ONNX_OPERATORS & typeof RUNTIME_OPERATORS & typeof TRAINING_OPERATORS;

/** An operator of ONNX's own domain. */
export type StandardOperator = keyof typeof ONNX_OPERATORS;

/** An operator that has a row: those of ONNX's domain by their name, others as `domain.operator`. */
export type OperatorName = keyof Rows;

/** The type of a node of an operator that has a row: its name without the domain. */
export type OpType = OperatorName extends infer Name
  ? Name extends `com.microsoft.${infer Op}` | `ai.onnx.ml.${infer Op}` | `ai.onnx.preview.training.${infer Op}`
    ? Op
    : Name
  : never;

/** A set of types of nodes, none mistyped. */
export const opTypes = (...lists: readonly (readonly OpType[])[]): ReadonlySet<string> => new Set<string>(lists.flat());

type NamesIn<Attributes, Kind extends AttributeKind> = {
  [Name in keyof Attributes]: Attributes[Name] extends AttributeSchema<Kind> ? Name : never;
}[keyof Attributes];

/** The attributes of a kind that some operator has. */
export type AttributeName<Kind extends AttributeKind> = {
  [Op in OperatorName]: NamesIn<Rows[Op]["attributes"], Kind>;
}[OperatorName];

const OPERATORS: ReadonlyMap<string, Operator> = uniqueRows<string, Operator>(
  "operators",
  Object.entries(ONNX_OPERATORS),
  Object.entries(RUNTIME_OPERATORS),
  Object.entries(TRAINING_OPERATORS),
);

export const isOperator = (name: string): name is OperatorName => OPERATORS.has(name);

/** Every operator that has a row. */
export const OPERATOR_NAMES: readonly OperatorName[] = [...OPERATORS.keys()].filter(isOperator);

/** As the tables name the operator of a node: those of other domains as `domain.operator`. */
export const operatorOf = ({ domain, opType }: Pick<Node, "domain" | "opType">): string =>
  domain === "" ? opType : `${domain}.${opType}`;

/** The row of an operator; undefined where there is none. */
export const schemaOf = (operator: string): Operator | undefined => OPERATORS.get(operator);

/** The opsets that brought and changed an operator of ONNX's domain; undefined for others. */
export const versionsOf = (operator: string): readonly number[] | undefined =>
  Object.hasOwn(ONNX_OPERATORS, operator) ? OPERATORS.get(operator)?.since : undefined;

const ofFamilies = (...families: readonly Family[]): readonly OperatorName[] =>
  OPERATOR_NAMES.filter((name) => families.some((family) => OPERATORS.get(name)?.family === family));

/** Sums, norms and extremes over axes. */
export const REDUCTIONS: readonly OperatorName[] = ofFamilies("reduction");

const NAMES = {
  linear: new Set<string>(ofFamilies("linear")),
  elementwise: new Set<string>(ofFamilies("linear", "elementwise")),
  reduction: new Set<string>(REDUCTIONS),
};

/**
 * Whether a node is of one of ONNX's operators of a family. `linear`: each output element is a sum of multiples of elements at
 * the same place; `elementwise`: it depends on those elements only, with broadcasting; `reduction`: it sums, norms or picks over
 * axes.
 */
export const isOfFamily = (family: Family, { domain, opType }: Node): boolean =>
  domain === "" && NAMES[family].has(opType);
