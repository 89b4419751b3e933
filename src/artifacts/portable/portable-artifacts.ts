import { type Kind, orNull, withFields } from "../../arguments.ts";
import type { Model } from "../../graph/model.ts";
import { A_MODEL } from "../../graph/model.ts";
import { A_STATE, type TrainingState } from "./state.ts";

/** The files of a portable set. */
export const PORTABLE_FILES = {
  trainStep: "train_step.onnx",
  gradients: "gradients.onnx",
  apply: "apply.onnx",
  evalModel: "eval.onnx",
  state: "state.safetensors",
} as const;

/**
 * Training in standard operators: any ONNX runtime takes the models, and their plans say which output becomes which input of
 * the next step. `trainStep` is a whole step; `gradients` and `apply` are its halves, for accumulation and all-reduce.
 */
export interface PortableArtifacts {
  /** Null where there is no optimizer, as is `apply`. */
  readonly trainStep: Model | null;
  readonly gradients: Model;
  readonly apply: Model | null;
  readonly evalModel: Model | null;
  /** Null where the artifacts had no checkpoint. */
  readonly state: TrainingState | null;
}

const MODEL_OR_NULL = orNull(A_MODEL);

export const PORTABLE: Kind = withFields(
  {
    ...{ gradients: A_MODEL, trainStep: MODEL_OR_NULL, apply: MODEL_OR_NULL, evalModel: MODEL_OR_NULL },
    state: orNull(A_STATE),
  },
  "a portable set, as readPortable gives it",
);
