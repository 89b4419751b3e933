import type { Node, Value } from "../../graph/graph.ts";
import { tensorType } from "../../graph/value-type.ts";
import { constantOf } from "../../ops/constants.ts";
import type { Formula } from "../../ops/formula.ts";
import { type Operand, stackingOf } from "./operators.ts";

/** A value that differs from step to step: that of a step, and those of all steps along a new first axis. */
export interface Stacked {
  readonly each: Value;
  readonly all: Value;
}

/** Writes nodes of a step so that each computes the same for all steps at once. */
export class Stacker {
  readonly f: Formula;
  readonly #stacked = new Map<Value, Value>();
  readonly #constants = new Map<Value, Value>();

  /** @param f emits what is computed for all */
  constructor(f: Formula) {
    this.f = f;
  }

  get stacked(): readonly Stacked[] {
    return [...this.#stacked].map(([each, all]) => ({ each, all }));
  }

  add({ each, all }: Stacked): void {
    this.#stacked.set(each, all);
  }

  has(value: Value): boolean {
    return this.#stacked.has(value);
  }

  /** @throws Error where a value is not there */
  of(value: Value): Value {
    const all = this.#stacked.get(value);
    if (all === undefined) throw new Error(`"${value.name}" is not there for all steps`);
    return all;
  }

  /** What a node gives, for all steps; null where some of what it reads is not there, or there is no way that is known to give the same bits. */
  write(node: Node): Value | null {
    const [result] = node.outputs;
    const stacking = stackingOf(node);
    if (!result || node.outputs.length > 1 || stacking === undefined) return null;
    if (!node.inputs.some((value) => value !== null && this.has(value))) return null;
    const operands = node.inputs.map((value) => value && this.#operandOf(value));
    if (operands.some((operand, index) => operand === null && node.inputs[index] !== null)) return null;
    const all = stacking(node, operands, this.f);
    if (all !== null && all.type === null) all.type = stackedType(result.type);
    return all;
  }

  #operandOf(value: Value): Operand | null {
    const all = this.#stacked.get(value);
    if (all !== undefined) return { each: value, all, isStacked: true };
    const tensor = constantOf(value);
    if (tensor === null) return null;
    const constant = this.#constants.get(value) ?? (value.tensor === null ? this.f.build.constant(tensor) : value);
    this.#constants.set(value, constant);
    return { each: value, all: constant, isStacked: false };
  }
}

/** The same with one more axis in front, of unknown size. */
export function stackedType(type: Value["type"]): Value["type"] {
  if (type?.kind !== "tensor") return type;
  return tensorType(type.dtype, type.shape === null ? null : [null, ...type.shape]);
}
