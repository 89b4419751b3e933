// biome-ignore-all assist/source/organizeImports: in the order of what people do

/**
 * onnx-agr: adaptive gradient regularization for exported ONNX training graphs, and training them from Node.js. What people do every day
 * comes first; the parts it is made of are in onnx-agr/graph, onnx-agr/training and onnx-agr/run.
 *
 * @module onnx-agr
 */

// Train: build artifacts or open what there is, read data, run.
export { type BuildOptions, type BuildReport, type BuiltArtifacts, buildTrainingArtifacts } from "./build-artifacts.ts";
export { type OpenOptions, open } from "./open.ts";
export { type SessionSource, TrainingSession, type TrainingSessionOptions } from "./training-session.ts";
export { type ReadDatasetOptions, readDataset } from "./runtime/data/read-dataset.ts";
export { type EpochEvent, type StatisticsEvent, type StepEvent, type TrainEvent, train } from "./runtime/train.ts";
export { type EvaluateOptions, type Evaluation, evaluate } from "./runtime/evaluation/evaluate.ts";
export { type LoadedRun, loadRun, type SaveRunOptions, saveRun } from "./artifacts/run-checkpoint/folder.ts";
export { Tensor } from "onnxruntime-common";

// Edit model files: read, put AGR in, prove it, take it out, write.
export { type ReadModelOptions, readModel, writeModel } from "./graph/io/model-file.ts";
export { type InsertAgrReport, insertAgr } from "./passes/insert-agr/index.ts";
export { type Verification, verifyInsertion } from "./verify/index.ts";
export {
  type FinishedCheck,
  type FinishedCheckName,
  type FinishedReport,
  type VerifyFinishedOptions,
  verifyFinished,
} from "./verify/finished.ts";
export { type StripAgrReport, stripAgr } from "./passes/strip-agr.ts";
export { type ModelSummary, type SummaryOptions, summarizeModel } from "./passes/summary/index.ts";

// Does it help: option sets compared.
export { type CompareEvent, type ComparisonEvent, compare, type RunEvent, type SweepEvent } from "./compare/compare.ts";
export { type ComparisonEstimate, estimateComparison } from "./compare/estimate.ts";
export type { ArmSummary, ContrastResult, TimeToTarget, Verdict, VerdictKind } from "./compare/judge.ts";
export { COMPARED_METRICS, type ComparedMetric, type MetricValues } from "./compare/metrics.ts";
export type { Arm, CompareOptions, Contrast } from "./compare/options.ts";
export type { ComparedData, ComparedRun, Point } from "./compare/run.ts";

// Folders and weights, each kind by its own reader and writer.
export { type ReadTrainableOptions, readTrainable, readWeights, type Trainable, withWeights } from "./source.ts";
export {
  openFolder,
  readArtifacts,
  readPortable,
  readTrainingSet,
  type TrainingSet,
  type WriteSetOptions,
  writeArtifacts,
  writePortable,
  writeTrainingSet,
} from "./artifacts/training-set.ts";
export { readStep, type StepArtifacts, withInitialState } from "./step-artifacts.ts";
export { writeBuilt } from "./write-built.ts";
export { type LowerArtifactsOptions, lowerArtifacts } from "./lower-artifacts.ts";
export { type TrainableParameter, trainableParameters } from "./artifacts/trainable-parameters.ts";
export type { ReadSetOptions, TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
export type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
export type { RunManifest, TrainPosition } from "./artifacts/run-checkpoint/manifest.ts";

// Data that are in memory already, or of one file.
export { type Dataset, datasetFor } from "./runtime/data/dataset.ts";
export { readData, readDataFile } from "./runtime/data/read-data.ts";
export { splitDataset } from "./runtime/data/split.ts";
export type { DatasetOptions } from "./runtime/data/dataset-inputs.ts";

// Gradients proved.
export type { CheckedParameter } from "./verify/element-check.ts";
export {
  checkGradients,
  GRADIENT_CHECK_DEFAULTS,
  type GradientCheck,
  type GradientCheckOptions,
} from "./verify/gradient-check.ts";
export {
  type Proof,
  type ProofOptions,
  type ProvenParameter,
  proveGradients,
  type UnprovenParameter,
} from "./verify/proof/index.ts";
export { type InsertProvenOptions, insertProven, type ProvenInsertion } from "./verify/proof/insert-proven.ts";

// What their options and results are made of.
export { Model } from "./graph/model.ts";
export { BUILD_TARGETS, type BuildTarget } from "./build-artifacts.ts";
export { LOSS_DEFAULTS, LOSS_KINDS, LOSSES_OF_OPTIONS, type LossKind, type LossOptions } from "./passes/add-loss.ts";
export {
  type GradientOptions,
  type Hyperparameters,
  OPTIMIZER_NAMES,
  type OptimizerName,
  type OptimizerOptions,
} from "./optim/optimizers.ts";
export type { ParameterGroup } from "./optim/parameter-groups.ts";
export type { LearningRateSchedule } from "./optim/schedule.ts";
export {
  type CautiousUpdate,
  INSERT_AGR_DEFAULTS,
  type InsertAgrOptions,
  type Parameter,
} from "./passes/insert-agr/options.ts";
export type { Report, Skipped } from "./passes/pass.ts";
export {
  FIND_LEARNING_RATE_DEFAULTS,
  type FindLearningRateOptions,
  findLearningRate,
  type LearningRateChoice,
  type LearningRateTrial,
} from "./runtime/find-learning-rate.ts";
export type { AlphaOptions, GradientHistograms, GradientStatistics } from "./runtime/statistics/gradient-statistics.ts";
export type { Histogram } from "./runtime/statistics/histogram.ts";
export type { StatisticsOptions, StepStatistics } from "./runtime/statistics/statistics.ts";
export { TRAIN_DEFAULTS, type TrainOptions } from "./runtime/training-plan.ts";
export type { Metrics } from "./runtime/evaluation/metrics.ts";
export type { WorstPrediction } from "./runtime/evaluation/worst.ts";
export type { Provider } from "./runtime/ort-node/providers.ts";
export type { NamedTensors, TrainingSessionCreateOptions } from "./runtime/session.ts";

// Every error has a stable code, where it is, and what to do.
export {
  BackendError,
  CheckpointError,
  DataError,
  type ErrorDetails,
  FileSystemError,
  FormatError,
  GradientError,
  GraphError,
  NumericError,
  OnnxAgrError,
  PassError,
  UsageError,
} from "./errors.ts";
