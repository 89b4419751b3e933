/** onnx-agr/web/trainer: training a portable set in a page, and nothing more; it carries no passes. */

export { Tensor } from "onnxruntime-common";
export { decodeState, encodeState, type TrainingState } from "../artifacts/portable/state.ts";
export type { RunOptions, TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
export { decodeRun, encodeRun, type RunSnapshot } from "../artifacts/run-checkpoint/one-file.ts";
export { OnnxAgrError } from "../errors.ts";
export { DataType } from "../graph/data-type.ts";
export { Tensor as GraphTensor } from "../graph/tensor.ts";
export { type Dataset, datasetFor } from "../runtime/data/dataset.ts";
export type { WorkerSource } from "../runtime/ort-web/peer.ts";
export { env, type WebEnvironment } from "../runtime/ort-web/ways.ts";
export type { NamedTensors, TrainingSession } from "../runtime/session.ts";
export { type EpochEvent, type StepEvent, type TrainEvent, train } from "../runtime/train.ts";
export type { TrainOptions } from "../runtime/training-plan.ts";
export type { PortableSource, WebSessionOptions } from "../web/open.ts";
export { fetchPortable, type PortableSources, readPortable } from "../web/portable.ts";
export type { WebSource } from "../web/read-source.ts";
export { RunStore } from "../web/run-store.ts";
export { openTrainer } from "../web/trainer.ts";
