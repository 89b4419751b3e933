import { BYTES, type Kind, listOf, NUMBER, orNull, requireArgument, TEXT, withFields } from "../arguments.ts";
import { DataType } from "../graph/data-type.ts";
import type { ReadModelOptions } from "../graph/io/model-file.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import type { ValueRange } from "../graph/value-range.ts";
import type { Dimension } from "../graph/value-type.ts";
import { isGradientName, RESET_FLAG } from "../onnxruntime/training-names.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { A_CHECKPOINT } from "./checkpoint/checkpoint.ts";

/** The files `generate_artifacts` of onnxruntime-training writes into a folder, without the user's prefix. */
export const ARTIFACT_FILES = {
  trainingModel: "training_model.onnx",
  evalModel: "eval_model.onnx",
  optimizerModel: "optimizer_model.onnx",
  checkpoint: "checkpoint",
} as const;

export type ArtifactKind = keyof typeof ARTIFACT_FILES;

/** A set of ONNX Runtime training artifacts. Null: the folder does not have that file. */
export interface TrainingArtifacts {
  /** What the files' names begin with (`prefix` of `generate_artifacts`); usually empty. */
  readonly prefix: string;
  readonly trainingModel: Model | null;
  readonly evalModel: Model | null;
  readonly optimizerModel: Model | null;
  /** The checkpoint as it is in the file, in today's format also where the folder has the old one. */
  readonly checkpoint: Uint8Array | null;
  /** The file with the tensors a large checkpoint keeps outside itself; it is copied, never read whole. */
  readonly checkpointData: string | null;
}

const MODEL_OR_NULL = orNull(A_MODEL);

export const ARTIFACTS: Kind = withFields(
  {
    ...{ trainingModel: MODEL_OR_NULL, evalModel: MODEL_OR_NULL, optimizerModel: MODEL_OR_NULL },
    checkpoint: orNull(BYTES),
  },
  "training artifacts, as readArtifacts gives them",
);

/** How the models of a folder are read. */
export type ReadSetOptions = Pick<ReadModelOptions, "strict">;

/** What a model takes as one input. A dimension is a size, a symbolic name, or null where nothing is known. */
export interface InputSpec {
  readonly name: string;
  /** A code of `DataType`. */
  readonly dtype: number;
  readonly shape: readonly Dimension[] | null;
  /** Which numbers it takes, where it holds classes of a loss or rows of a table. */
  readonly range?: ValueRange;
}

export const INPUT_SPECS: Kind = listOf(
  withFields({ name: TEXT, dtype: NUMBER }, "an input"),
  "a list of inputs, as trainingInputs of a session gives it",
);

/** Specifications with the ranges of those inputs that have one. */
export function withRanges(specs: readonly InputSpec[], ranges: ReadonlyMap<string, ValueRange>): readonly InputSpec[] {
  return specs.map((spec) => {
    const range = ranges.get(spec.name);
    return range === undefined ? spec : { ...spec, range };
  });
}

/**
 * The user's inputs of a training or eval model: what is neither a parameter of the checkpoint, a gradient buffer nor the
 * reset flag (ORT-TRAINING 1.1).
 */
export function userInputs(model: Model, checkpoint: Checkpoint): readonly InputSpec[] {
  requireArgument("model", model, A_MODEL);
  requireArgument("checkpoint", checkpoint, A_CHECKPOINT);
  const parameters = new Set([...checkpoint.trainable, ...checkpoint.frozen].map(({ name }) => name));
  return model.graph.inputs
    .filter(({ name }) => !parameters.has(name) && name !== RESET_FLAG && !isGradientName(name))
    .map(({ name, type }) => {
      const tensor = type?.kind === "tensor" ? type : null;
      return { name, dtype: tensor?.dtype ?? DataType.undefined, shape: tensor?.shape ?? null };
    });
}
