import type { Value } from "../graph/graph.ts";
import type { Formula } from "../ops/formula.ts";

/** What all parameters share in one update. */
export interface Step {
  readonly f: Formula;
  /** Updates counted from 1, a float scalar. */
  readonly count: Value;
}

/**
 * What is to be taken from a parameter w, times the learning rate: factor * tensor + decay * w. The scalars are kept apart from
 * the tensor as long as can be: multiplying them together costs nothing, multiplying a tensor a pass over memory.
 */
export interface Update {
  readonly tensor: Value;
  /** A scalar; null: 1. */
  readonly factor: Value | null;
  /** Decoupled weight decay, a scalar; null: none. */
  readonly decay: Value | number | null;
}

/** One parameter under way through a chain. */
export interface Parameter {
  readonly name: string;
  /** Where its gradient was taken: the parameter, or what the optimizer's lookahead says. */
  readonly value: Value;
  readonly update: Update;
  /** The gradient as the optimizer reads it: after AGR, where that is put before the optimizer. */
  readonly gradient: Value;
  /** The transform's own slots, in their order, as they were before this step. */
  readonly slots: readonly Value[];
  /** Weight decay in the place of the optimizer's own; null: the optimizer's own. */
  readonly weightDecay: number | null;
  /** Writes the parameter's own learning rate, a scalar, for transforms that have it in their state; null outside an optimizer. */
  readonly rate: (() => Value) | null;
}

export interface Transformed {
  readonly update: Update;
  /** The slots after this step, in their order. */
  readonly slots: readonly Value[];
}

/** One link of an optimizer: takes updates, beginning with the gradients, and gives others. */
export interface GradientTransform {
  /** Names its state: `<parameter>/<name>/<slot>`. */
  readonly name: string;
  /** State kept per parameter, of its shape, zeros before the first step. */
  readonly slots: readonly string[];
  /** Those of the slots that are one number per parameter. Default: none. */
  readonly scalars?: readonly string[];
  /** Gets all parameters, so that norms over all of them need no interface of their own. */
  readonly transform: (step: Step, parameters: readonly Parameter[]) => readonly Transformed[];
}

/** How updates become parameters. `decoupled`: w (1 - lr decay) - lr factor tensor; `whole`: w - factor tensor, which has the rate in it. */
export type Application = "decoupled" | "proximal" | "after" | "whole";

/** Gradients are taken not at the parameters w, but at w - share * offset, with the offset in a slot of one of the links. */
export interface Lookahead {
  readonly transform: string;
  readonly slot: string;
  readonly share: number;
}

/** A whole optimizer: transforms, and how their result is applied. */
export interface Optimizer {
  readonly name: string;
  /** What is done to the gradients before AGR: clipping, centralization. */
  readonly before: readonly GradientTransform[];
  /** What AGR's gradients go through. */
  readonly links: readonly GradientTransform[];
  readonly application: Application;
  /** Null: gradients are taken at the parameters. */
  readonly lookahead: Lookahead | null;
}

/** A transform of each parameter by itself. */
export function perParameter(
  name: string,
  slots: readonly string[],
  prepare: (step: Step) => (parameter: Parameter) => Transformed,
  scalars: readonly string[] = [],
): GradientTransform {
  return {
    name,
    slots,
    scalars,
    transform: (step, parameters) => {
      const apply = prepare(step);
      return parameters.map(apply);
    },
  };
}

/** The update as one tensor, without decay. */
export function plain({ f }: Step, { tensor, factor }: Update): Value {
  return factor === null ? tensor : f.mul(tensor, factor);
}

export const asUpdate = (tensor: Value, factor: Value | null = null): Update => ({ tensor, factor, decay: null });
