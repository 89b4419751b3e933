import type { Graph, Node, Value } from "../../graph/graph.ts";
import { tensorType } from "../../graph/value-type.ts";
import { constantOf } from "../../ops/constants.ts";
import type { Formula } from "../../ops/formula.ts";
import { type Operand, stackingOf } from "./operators.ts";

/** A value that differs from step to step: that of a step, and those of all steps along a new first axis. */
export interface Stacked {
  readonly each: Value;
  readonly all: Value;
}

/**
 * Takes the nodes out of a step that depend on nothing but what is given for all steps, and computes them for all at once: a node on
 * little takes as long as it takes to begin it. Their results are the same bits.
 * @param body of which types are inferred
 * @param f emits what is computed for all
 * @returns what the rest of the step reads
 */
export function stackNodes(body: Graph, given: readonly Stacked[], f: Formula): readonly Stacked[] {
  const stacked = new Map(given.map(({ each, all }) => [each, all]));
  const constants = new Map<Value, Value>();
  /** Null for what a step computes. */
  const operandOf = (value: Value): Operand | null => {
    const all = stacked.get(value);
    if (all !== undefined) return { each: value, all, isStacked: true };
    const tensor = constantOf(value);
    if (tensor === null) return null;
    const constant = constants.get(value) ?? (value.tensor === null ? f.build.constant(tensor) : value);
    constants.set(value, constant);
    return { each: value, all: constant, isStacked: false };
  };
  for (const node of body) {
    const [result] = node.outputs;
    if (!result || !readsStacked(node, stacked)) continue;
    const operands = node.inputs.map((value) => value && operandOf(value));
    if (operands.some((operand, index) => operand === null && node.inputs[index] !== null)) continue;
    const all = stackingOf(node)?.(node, operands, f) ?? null;
    if (all === null) continue;
    all.type = stackedType(result.type);
    const each = f.build.input("each", result.type);
    result.replaceAllUsesWith(each);
    body.remove(node);
    stacked.set(each, all);
  }
  return [...stacked].flatMap(([each, all]) => (each.isUsed ? [{ each, all }] : []));
}

const readsStacked = (node: Node, stacked: ReadonlyMap<Value, Value>): boolean =>
  node.outputs.length === 1 && node.inputs.some((value) => value !== null && stacked.has(value));

/** The same with one more axis in front, of unknown size. */
export function stackedType(type: Value["type"]): Value["type"] {
  if (type?.kind !== "tensor") return type;
  return tensorType(type.dtype, type.shape === null ? null : [null, ...type.shape]);
}
