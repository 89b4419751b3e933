import type { OperatorName } from "../operators/index.ts";
import type { InferenceRows, InferenceRule } from "./inference.ts";

/** One rule for several operators. */
export const each = (operators: readonly OperatorName[], rule: InferenceRule): InferenceRows =>
  operators.map((op) => [op, rule] as const);
