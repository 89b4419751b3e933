import { type Kind, listOf, mapTo, withFields } from "../../arguments.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { NAMED_TENSORS } from "../../graph/attribute.ts";

/** The moments of one parameter, as the optimizer names them (`momentum0`, `momentum1`). */
export interface ParameterState {
  readonly parameter: string;
  readonly moments: readonly NamedTensor[];
}

export interface OptimizerGroup {
  readonly name: string;
  /** Updates done so far. */
  readonly step: bigint;
  readonly initialLearningRate: number;
  readonly states: readonly ParameterState[];
}

export type Property =
  | { readonly kind: "int"; readonly value: bigint }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string };

/** The state of a training run, as ONNX Runtime's training API keeps it in a checkpoint. */
export interface Checkpoint {
  readonly trainable: readonly NamedTensor[];
  readonly frozen: readonly NamedTensor[];
  /** True for a checkpoint that has the parameters' names and types but no values. */
  readonly nominal: boolean;
  readonly optimizerGroups: readonly OptimizerGroup[];
  readonly properties: ReadonlyMap<string, Property>;
}

const ANYTHING: Kind = { what: "anything", holds: () => true };

export const A_CHECKPOINT: Kind = withFields(
  {
    ...{ trainable: NAMED_TENSORS, frozen: NAMED_TENSORS },
    ...{ optimizerGroups: listOf(ANYTHING, "groups"), properties: mapTo(ANYTHING, "properties") },
  },
  "a checkpoint, as decodeCheckpoint gives it",
);
