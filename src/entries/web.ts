/**
 * onnx-agr/web: training and editing models in a page, over onnxruntime-web, on WebAssembly and WebGPU.
 *
 * @module onnx-agr/web
 */

export { Tensor } from "onnxruntime-common";
export type { TrainingArtifacts } from "../artifacts/ort-artifacts.ts";
export type { PortableArtifacts } from "../artifacts/portable/portable-artifacts.ts";
export { decodeState, encodeState, type TrainingState } from "../artifacts/portable/state.ts";
export type { RunOptions, TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
export { decodeRun, encodeRun, type RunSnapshot } from "../artifacts/run-checkpoint/one-file.ts";
export { decodeSafetensors, encodeSafetensors } from "../artifacts/safetensors.ts";
export { trainableParameters } from "../artifacts/trainable-parameters.ts";
export { type BuildOptions, type BuiltArtifacts, buildTrainingArtifacts } from "../build-artifacts.ts";
export {
  BackendError,
  CheckpointError,
  DataError,
  FileSystemError,
  FormatError,
  GradientError,
  GraphError,
  NumericError,
  OnnxAgrError,
  PassError,
  UsageError,
} from "../errors.ts";
export { DataType } from "../graph/data-type.ts";
export { Model } from "../graph/model.ts";
export { decodeModel } from "../graph/serde/decode.ts";
export { encodeModel } from "../graph/serde/encode.ts";
export { Tensor as GraphTensor } from "../graph/tensor.ts";
export { lowerArtifacts } from "../lower-artifacts.ts";
export { type InsertAgrReport, insertAgr } from "../passes/insert-agr/index.ts";
export type { InsertAgrOptions } from "../passes/insert-agr/options.ts";
export { type StripAgrReport, stripAgr } from "../passes/strip-agr.ts";
export { type Dataset, datasetFor } from "../runtime/data/dataset.ts";
export { type EvaluateOptions, type Evaluation, evaluate } from "../runtime/evaluation/evaluate.ts";
export type { WorkerSource } from "../runtime/ort-web/peer.ts";
export { env, type WebEnvironment } from "../runtime/ort-web/ways.ts";
export type { NamedTensors } from "../runtime/session.ts";
export { type EpochEvent, type StepEvent, type TrainEvent, train } from "../runtime/train.ts";
export type { TrainOptions } from "../runtime/training-plan.ts";
export type { PortableSource } from "../web/open.ts";
export { fetchPortable, type PortableSources, readPortable } from "../web/portable.ts";
export type { WebSource } from "../web/read-source.ts";
export { RunStore } from "../web/run-store.ts";
export { openTrainer } from "../web/trainer.ts";
export {
  type SessionSource,
  TrainingSession,
  type TrainingSessionCreateOptions,
  type TrainingSessionOptions,
} from "../web/training-session.ts";
