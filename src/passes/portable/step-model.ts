import type { Model } from "../../graph/model.ts";

/** What a piece of state is. `frozen` is read only; `buffer` are running statistics, `carried` is what the next batch takes over: every step renews both. */
export type StateKind = "parameter" | "frozen" | "buffer" | "carried" | "slot" | "accumulator";

/** A graph input that holds state, and the output that renews it; null where the graph only reads it. */
export interface StateTensor {
  readonly name: string;
  readonly next: string | null;
  readonly kind: StateKind;
  /** Of a slot that has not its parameter's shape. */
  readonly shape?: readonly number[];
  /** Of a slot that belongs to no parameter: the number it begins at. */
  readonly initial?: number;
}

/** A graph that takes state and gives the next, with what tells which is which. */
export interface StepModel {
  readonly model: Model;
  /** Inputs the user feeds. */
  readonly inputs: readonly string[];
  /** Outputs for the user, the loss first. */
  readonly outputs: readonly string[];
  readonly state: readonly StateTensor[];
  /** float32 [1]. */
  readonly learningRate: string | null;
  /** int64 [1], the number of this update counted from 1. */
  readonly step: string | null;
  /** bool [1]: true overwrites the accumulators. */
  readonly reset: string | null;
  /** Parameter and the input that holds its gradient: an accumulator, or where the graph begins at the gradients that input. */
  readonly gradients: readonly (readonly [parameter: string, input: string])[];
  /** The state that holds the loss's scale, and that which counts the updates left out. Absent: the scale does not change. */
  readonly lossScale?: readonly [scale: string, skipped: string];
}
