import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { axesFrom, dimsOf, known, rankOf } from "../../ops/value-types.ts";
import { isElementwise } from "../joined/operators.ts";

/** What a node reads: as a step does, and as a node does that computes the same for all steps. */
export interface Operand {
  readonly each: Value;
  /** The constant itself, or the values of all steps along a new first axis. */
  readonly all: Value;
  readonly isStacked: boolean;
}

/** Computes for all steps what a node computes for one; null where it cannot, or not to the same bits. */
type Stacking = (node: Node, operands: readonly (Operand | null)[], f: Formula) => Value | null;

/** Results of more numbers stay in the step: they take longer than it takes to begin a node, and lie in the caches there. */
export const MOST_NUMBERS = 2 ** 14;

/** Of which operators only the first input may differ from step to step. */
const FIRST_ONLY = opTypes(["Clip"]);

/** Operands are broadcast from their last axes on: those of lower rank get axes behind that of the steps. */
const elementwise: Stacking = (node, operands, f) => {
  const [result] = node.outputs;
  const sizes = result ? known(dimsOf(result)) : null;
  if (sizes === null || sizes.reduce((product, size) => product * size, 1) > MOST_NUMBERS) return null;
  if (FIRST_ONLY.has(node.opType) && operands.slice(1).some((operand) => operand?.isStacked)) return null;
  const inputs: (Value | null)[] = [];
  for (const operand of operands) {
    if (operand?.isStacked !== true) {
      inputs.push(operand?.all ?? null);
      continue;
    }
    const rank = rankOf(operand.each);
    if (rank === null) return null;
    inputs.push(rank < sizes.length ? f.unsqueeze(operand.all, axesFrom(1, 1 + sizes.length - rank)) : operand.all);
  }
  return f.build.again(node, inputs);
};

const isOne = (value: Value): boolean => known(dimsOf(value))?.every((size) => size === 1) ?? false;

/** ONNX Runtime squares and cubes where the exponent is one number for all of a tensor, and raises one number to each of many otherwise. */
const power: Stacking = (node, operands, f) => {
  const [base, exponent] = operands;
  const isAlike = base?.isStacked === false && isOne(base.each) && exponent?.isStacked === true && isOne(exponent.each);
  return isAlike ? elementwise(node, operands, f) : null;
};

/** The axes of a node as numbers from 0 on; null where they are not known. */
function axesOf(node: Node, rank: number | null): readonly number[] | null {
  const view = new NodeView(node);
  const axes = view.ints("axes") ?? view.constant(1)?.values() ?? null;
  if (axes === null || rank === null) return null;
  return [...axes].map((axis) => (Number(axis) + rank) % rank);
}

const onAxes =
  (write: "squeeze" | "unsqueeze"): Stacking =>
  (node, [operand], f) => {
    const [result] = node.outputs;
    const rank = operand && result ? rankOf(write === "squeeze" ? operand.each : result) : null;
    const axes = axesOf(node, rank);
    if (!operand?.isStacked || axes === null) return null;
    return f[write](
      operand.all,
      axes.map((axis) => axis + 1),
    );
  };

/** A size of 0 stands for the one in the same place. */
const reshape: Stacking = (node, [operand, shape], f) => {
  const sizes = shape?.isStacked === false ? new NodeView(node).constant(1)?.values() : undefined;
  if (!operand?.isStacked || sizes === undefined || new NodeView(node).int("allowzero") !== 0) return null;
  return f.reshape(operand.all, [0, ...[...sizes].map(Number)]);
};

const transpose: Stacking = (node, [operand], f) => {
  const perm = new NodeView(node).ints("perm");
  if (!operand || perm === null) return null;
  return f.emit("Transpose", [operand.all], {
    attributes: [attribute.ints("perm", [0, ...perm.map((axis) => axis + 1)])],
  });
};

/** Both say places on the same axes. */
const gatherElements: Stacking = (node, [operand, indices], f) => {
  const rank = operand ? rankOf(operand.each) : null;
  if (!operand?.isStacked || !indices?.isStacked || rank === null) return null;
  const axis = (new NodeView(node).int("axis") + rank) % rank;
  return f.gatherElements(operand.all, indices.all, 1 + axis);
};

/** As many float32 numbers at a time fill a line of a cache, and whole vectors of any processor. */
const IN_A_LINE = 16;

/**
 * A sum of all of a tensor, or its mean. ONNX Runtime adds up each row as it does a tensor, in vectors that begin where its memory is
 * aligned: so rows must lie as tensors do.
 */
const reduction: Stacking = (node, [operand, ...axes], f) => {
  const view = new NodeView(node);
  const sizes = operand ? known(dimsOf(operand.each)) : null;
  const count = sizes?.reduce((product, size) => product * size, 1) ?? 0;
  const isWhole = axes.length === 0 && !view.gives("axes") && view.intOrNull("noop_with_empty_axes") !== 1;
  if (!operand?.isStacked || sizes === null || !isWhole || elementTypeOf(operand.each) !== DataType.float) return null;
  if (count === 0 || count % IN_A_LINE !== 0 || count > MOST_NUMBERS) return null;
  const inner = axesFrom(1, 1 + sizes.length);
  const keepsAxes = view.int("keepdims") === 1;
  return node.opType === "ReduceSum" ? f.sum(operand.all, inner, keepsAxes) : f.mean(operand.all, inner, keepsAxes);
};

const given: Stacking = (_, [operand]) => operand?.all ?? null;

const STACKINGS: ReadonlyMap<string, Stacking> = new Map<string, Stacking>([
  ["GatherElements", gatherElements],
  ["Identity", given],
  ["Pow", power],
  ["ReduceMean", reduction],
  ["ReduceSum", reduction],
  ["Reshape", reshape],
  ["Squeeze", onAxes("squeeze")],
  ["Transpose", transpose],
  ["Unsqueeze", onAxes("unsqueeze")],
]);

/** How a node is computed for all steps at once; undefined where there is no way that is known to give the same bits. */
export function stackingOf(node: Node): Stacking | undefined {
  return isElementwise(node) ? elementwise : node.domain === "" ? STACKINGS.get(node.opType) : undefined;
}
