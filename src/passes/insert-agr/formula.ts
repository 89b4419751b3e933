import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Builder } from "../../ops/builder.ts";
import { type AgrConstants, accumulationOf, regularize, sumOfMagnitudes } from "../../optim/agr.ts";
import type { Settings } from "./options.ts";
import { emitPredicate, type Predicate } from "./selection.ts";

/** How one gradient, or each of a sequence, is treated. */
export interface Treatment {
  readonly settings: Settings;
  /** What the gradient is tested for when the graph runs; null: it is regularized in any case. */
  readonly predicate: Predicate | null;
  /** Element type of the gradient. */
  readonly dtype: number;
}

function widen(build: Builder, gradient: Value, { dtype }: Treatment): Value {
  const accumulation = accumulationOf(dtype);
  return accumulation.dtype === dtype ? gradient : build.cast(gradient, accumulation.dtype);
}

/**
 * Emits the formula in primitive operators: float16 and bfloat16 are computed in float32 and turned back, and what the
 * predicate leaves out comes through as it was.
 * @param sum the global sum, for that scope; else null
 */
export function emitFormula(
  build: Builder,
  gradient: Value,
  sum: Value | null,
  constants: AgrConstants,
  treatment: Treatment,
): Value {
  const { settings, predicate, dtype } = treatment;
  const wide = widen(build, gradient, treatment);
  const magnitude = build.emit("Abs", [wide]);
  const total = sum ?? sumOfMagnitudes(build, magnitude, settings.scope);
  const result = regularize(build, wide, magnitude, total, constants);
  const typed = wide === gradient ? result : build.cast(result, dtype);
  if (predicate === null) return typed;
  const apply = emitPredicate(build, gradient, predicate, settings.scope);
  return build.emit("Where", [apply, typed, gradient], { hint: "selected" });
}

/** Emits the sum of |g| that one gradient adds to the global sum: zero where the predicate leaves it out. */
export function emitShare(build: Builder, gradient: Value, treatment: Treatment): Value {
  const { settings, predicate, dtype } = treatment;
  const sum = sumOfMagnitudes(build, build.emit("Abs", [widen(build, gradient, treatment)]), "global");
  if (predicate === null) return sum;
  const apply = emitPredicate(build, gradient, predicate, settings.scope);
  const zero = build.constant(Tensor.scalar(accumulationOf(dtype).dtype, 0), "zero");
  return build.emit("Where", [apply, sum, zero], { hint: "selected_sum" });
}

/** Whether one sum over gradients of these types would have to add float32 to float64. */
export function isMixed(dtypes: readonly number[]): boolean {
  return new Set(dtypes.map((dtype) => accumulationOf(dtype).dtype)).size > 1;
}
