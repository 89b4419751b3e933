import { type Kind, listOf, mapTo, withFields } from "../../arguments.ts";
import { CheckpointError } from "../../errors.ts";
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

/** Names of the tensors that lie in the checkpoint's second file, where ONNX Runtime's tools put those of large models. */
export function externalTensors({ trainable, frozen, optimizerGroups }: Checkpoint): readonly string[] {
  const moments = optimizerGroups.flatMap(({ states }) => states.flatMap((state) => state.moments));
  return [...trainable, ...frozen, ...moments].flatMap(({ name, tensor }) =>
    tensor.data.kind === "external" ? [name] : [],
  );
}

/** @throws CheckpointError `E_CHECKPOINT_EXTERNAL` where tensors lie in the second file: only ONNX Runtime itself reads that */
export function requireElements(checkpoint: Checkpoint): void {
  const [first, ...others] = externalTensors(checkpoint);
  if (first === undefined) return;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  throw new CheckpointError(
    "E_CHECKPOINT_EXTERNAL",
    `the checkpoint keeps "${first}"${more} in a second file, checkpoint.data, which is copied with its set and not read`,
    {
      field: first,
      hint: "To train, make a portable set of the forward model, whose state has no such limit: onnx-agr build.",
    },
  );
}

const ANYTHING: Kind = { what: "anything", holds: () => true };

export const A_CHECKPOINT: Kind = withFields(
  {
    ...{ trainable: NAMED_TENSORS, frozen: NAMED_TENSORS },
    ...{ optimizerGroups: listOf(ANYTHING, "groups"), properties: mapTo(ANYTHING, "properties") },
  },
  "a checkpoint, as decodeCheckpoint gives it",
);
