/**
 * onnx-agr/training: what training is written in: sets of artifacts, checkpoints, states and plans, optimizers and their options.
 *
 * @module onnx-agr/training
 */

export { AVERAGE_DEFAULTS, AVERAGE_METHODS, type AverageMethod, type AverageOptions } from "../artifacts/average.ts";
export type { Checkpoint, OptimizerGroup, ParameterState, Property } from "../artifacts/checkpoint/checkpoint.ts";
export { isCheckpointFile, isCheckpointFolder, readCheckpointFile } from "../artifacts/checkpoint/checkpoint-file.ts";
export { decodeCheckpoint } from "../artifacts/checkpoint/read-odtc.ts";
export { decodePbseqCheckpoint, isPbseqFile, pbseqAlone } from "../artifacts/checkpoint/read-pbseq.ts";
export { encodeCheckpoint } from "../artifacts/checkpoint/write-odtc.ts";
export { ARTIFACT_FILES, type InputSpec, userInputs } from "../artifacts/ort-artifacts.ts";
export { type Plan, type PlannedState, type Role, readPlan, type StateKind } from "../artifacts/portable/plan.ts";
export { PORTABLE_FILES } from "../artifacts/portable/portable-artifacts.ts";
export { decodeState, encodeState, type TrainingState } from "../artifacts/portable/state.ts";
export { decodeSafetensors, encodeSafetensors, type Safetensors } from "../artifacts/safetensors.ts";
export { readSetManifest } from "../artifacts/set-manifest.ts";
export { SET_MANIFEST, type SetManifest } from "../artifacts/set-manifest-format.ts";
export { checkCheckpointFits } from "../artifacts/trainable-parameters.ts";
export { isPortableFolder, loadTrainingSet } from "../artifacts/training-set.ts";
export { OPTIMIZERS } from "../optim/optimizers.ts";
export { learningRateAt } from "../optim/schedule.ts";
export { stepArtifacts } from "../step-artifacts.ts";
