import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import { type Renewed, renewedState } from "../joined/members.ts";
import { isAlias, isReciprocal } from "../joined/operators.ts";
import type { StepModel } from "../portable/step-model.ts";

/** The elementwise end of a step's update. */
export interface Region {
  /** The state it renews. */
  readonly renewed: readonly Renewed[];
  /** Inputs of the step that it reads and nobody renews. */
  readonly read: readonly Value[];
  /** Each behind those whose results it reads. */
  readonly nodes: readonly Node[];
  /** What the rest of the step gives it: tensors of the size of what they renew, and single numbers. */
  readonly given: readonly Value[];
  /** How many numbers of state it renews. */
  readonly size: number;
}

/** What can leave a step. */
export interface Limits {
  /** Operators of ONNX's domain. */
  readonly operators: ReadonlySet<string>;
  /** Names of tensors where the update begins at the latest, but for what only gives them another name or shape. */
  readonly begins: ReadonlySet<string>;
}

/** Finds what of a step's update is elementwise. State whose next value is made in another way is left to the step. */
export function findRegion(step: StepModel, { operators, begins }: Limits): Region | null {
  const state = renewedState(step);
  const shown = new Set(step.outputs);
  const times = new Map<Value, number>();
  for (const { next } of state.values()) times.set(next, (times.get(next) ?? 0) + 1);
  const isOwn = ({ next }: Renewed): boolean =>
    times.get(next) === 1 && !shown.has(next.name) && !begins.has(next.name) && leaves(next, operators) !== null;
  const renewed = [...state.values()].filter(isOwn);
  if (renewed.length === 0) return null;
  const inputs = new Set(renewed.map(({ input }) => input));
  const [nodes, given, read] = [new Set<Node>(), new Set<Value>(), new Set<Value>()];
  const visit = (value: Value, isBefore: boolean): void => {
    const hasBegun = isBefore || begins.has(value.name);
    const node = leaves(value, operators);
    if (node !== null && (!hasBegun || isAliasOfResult(node))) {
      if (nodes.has(node)) return;
      for (const input of node.inputs) if (input !== null && constantOf(input) === null) visit(input, hasBegun);
      nodes.add(node);
    } else if (inputs.has(value)) return;
    else if (isKept(value, step, state)) read.add(value);
    else given.add(value);
  };
  for (const { next } of renewed) visit(next, false);
  const size = renewed.reduce((sum, { input }) => sum + (sizeOf(input) ?? 0), 0);
  return { renewed, read: [...read], nodes: [...nodes], given: [...given], size };
}

/** The node that makes a value, where it can leave the step with it: of numbers of float32, each from those in the same place. */
function leaves(value: Value, operators: ReadonlySet<string>): Node | null {
  const { producer } = value;
  const size = sizeOf(value);
  if (producer === null || size === null || size < 2) return null;
  if (producer.domain !== "" || !operators.has(producer.opType) || elementTypeOf(value) !== DataType.float) return null;
  const [first, shape] = producer.inputs;
  if (isAlias(producer)) return first && fits(first, size) && (!shape || constantOf(shape) !== null) ? producer : null;
  return producer.inputs.every((input) => input !== null && fits(input, size)) ? producer : null;
}

function fits(input: Value, size: number): boolean {
  const own = sizeOf(input);
  if (elementTypeOf(input) !== DataType.float || isReciprocal(input.producer)) return false;
  return own === 1 || (own === size && constantOf(input) === null);
}

/** Whether a node gives what another makes, as it is: ONNX Runtime would copy it to where the step is to put it. */
const isAliasOfResult = (node: Node): boolean => isAlias(node) && (node.inputs[0]?.producer ?? null) !== null;

/** Whether a value is state that a step only reads, of more than one number. */
function isKept(value: Value, { model, state }: StepModel, renewed: ReadonlyMap<Value, Renewed>): boolean {
  if (!model.graph.inputs.includes(value) || renewed.has(value) || sizeOf(value) === 1) return false;
  return state.some(({ name }) => name === value.name);
}

/** How many numbers a value has; null where that is not known. */
function sizeOf(value: Value): number | null {
  const dims = value.tensor?.dims ?? known(dimsOf(value));
  return dims === null ? null : dims.reduce((product, dim) => product * dim, 1);
}
