import type { Replacement } from "../../edits/replace-node.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { constantOf } from "../../ops/constants.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { ELEMENTWISE } from "../../ops/elementwise.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import { shapeOf } from "../../ops/value-types.ts";

export type IsTurned = (value: Value | null) => boolean;

/** What an operator does with matrices that lie transposed. */
export interface Row {
  /** Groups of values of a node that may lie transposed; those of one group do so together. What is in none may not. */
  readonly groups: (node: Node) => readonly (readonly Value[])[];
  /** The node where some of its values lie transposed. @param f emits what goes before it */
  readonly turned: (node: Node, isTurned: IsTurned, f: Formula) => Replacement;
}

/** The sizes of a matrix; null for what is none, or of unknown sizes. */
export function matrixOf(value: Value): readonly [Dimension, Dimension] | null {
  const [rows = null, columns = null, ...more] = shapeOf(value) ?? [];
  return rows === null || columns === null || more.length > 0 ? null : [rows, columns];
}

const isOne = (value: Value): boolean => shapeOf(value)?.every((size) => size === 1) ?? false;

/** Whether a value stands in every row of a matrix of so many columns. */
function isRow(value: Value, columns: Dimension): boolean {
  const shape = shapeOf(value);
  return shape?.length === 1 && shape[0] === columns && columns !== 1;
}

const asColumn = (value: Value | null, f: Formula): Value | null =>
  value === null || shapeOf(value)?.length !== 1 || isOne(value) ? value : f.unsqueeze(value, [1]);

/** One element of the result is of one element of each operand, in the same place. */
const elementwise: Row = {
  groups({ inputs, outputs: [result = null] }) {
    const sizes = result && matrixOf(result);
    if (!sizes) return [];
    const [rows, columns] = sizes;
    const operands = inputs.filter((value) => value !== null);
    const isWhole = (value: Value): boolean => {
      const own = matrixOf(value);
      return own !== null && own[0] === rows && own[1] === columns;
    };
    const fits = operands.every((value) => isWhole(value) || isOne(value) || isRow(value, columns));
    return fits ? [[result, ...operands.filter(isWhole)]] : [];
  },
  turned: ({ inputs }, isTurned, f) => ({
    inputs: inputs.map((value) => (isTurned(value) ? value : asColumn(value, f))),
  }),
};

/** Gemm and MatMul take their operands either way; (A B + c)^T = B^T A^T + c^T. */
const product: Row = {
  groups({ inputs: [a = null, b = null, c = null], outputs: [result = null] }) {
    if (!a || !b || !result || [a, b].includes(c ?? result) || elementTypeOf(result) !== DataType.float) return [];
    const sizes = matrixOf(result);
    if (sizes === null || matrixOf(a) === null || matrixOf(b) === null) return [];
    const mayTurn = c === null || isOne(c) || isRow(c, sizes[1]);
    return [[a], [b], ...(mayTurn ? [[result]] : [])];
  },
  turned(node, isTurned, f) {
    const { first, second } = operandsOf(node, isTurned);
    const [, , c = null] = node.inputs;
    const added = c === null ? [] : [isTurned(node.outputs[0] ?? null) ? asColumn(c, f) : c];
    const kept = [...node.attributes.values()].filter(({ name }) => !name.startsWith("trans"));
    return {
      opType: "Gemm",
      inputs: [first.value, second.value, ...added],
      attributes: [
        ...kept,
        attribute.int("transA", first.isTransposed ? 1 : 0),
        attribute.int("transB", second.isTransposed ? 1 : 0),
      ],
    };
  },
};

interface Operand {
  readonly value: Value;
  readonly isTransposed: boolean;
}

/** The operands of a product in their order. */
export function operandsOf(node: Node, isTurned: IsTurned): { readonly first: Operand; readonly second: Operand } {
  const view = new NodeView(node);
  const isGemm = node.opType === "Gemm";
  const [a, b] = (["transA", "transB"] as const).map((name, index) => {
    const value = view.input(index);
    return { value, isTransposed: (isGemm && view.int(name) !== 0) !== isTurned(value) };
  });
  if (a === undefined || b === undefined) throw new RangeError("a product has two operands");
  const over = (operand: Operand): Operand => ({ ...operand, isTransposed: !operand.isTransposed });
  return isTurned(view.output(0)) ? { first: over(b), second: over(a) } : { first: a, second: b };
}

/** A sum over one axis that is taken away. */
const sum: Row = {
  groups(node) {
    const [x] = node.inputs;
    return x && matrixOf(x) && summedAxis(node) !== null ? [[x]] : [];
  },
  turned: (node, _, f) => ({ inputs: [node.inputs[0] ?? null, f.ints([1 - (summedAxis(node) ?? 0)])] }),
};

function summedAxis(node: Node): number | null {
  const [, axes] = node.inputs;
  const [axis, ...more] = [...((axes && constantOf(axes))?.values() ?? [])].map(Number);
  if (axis === undefined || more.length > 0 || new NodeView(node).int("keepdims") !== 0) return null;
  return axis < 0 ? axis + 2 : axis;
}

/** What is transposed lies so already. */
const transposition: Row = {
  groups: ({ inputs: [x] }) => (x && matrixOf(x) ? [[x]] : []),
  turned: () => ({ opType: "Identity", attributes: [] }),
};

/** By operator of ONNX's own domain. */
export const OPERATORS: ReadonlyMap<string, Row> = new Map<string, Row>([
  ...[...ELEMENTWISE].map((op) => [op, elementwise] as const),
  ["Gemm", product],
  ["MatMul", product],
  ["ReduceSum", sum],
  ["Transpose", transposition],
]);

export const rowOf = ({ domain, opType }: Node): Row | null => (domain === "" ? (OPERATORS.get(opType) ?? null) : null);

export const isProduct = (node: Node): boolean => rowOf(node) === product;
