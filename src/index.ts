/** onnx-agr: adaptive gradient regularization for exported ONNX training graphs, and training them from Node.js. */

export { Tensor } from "onnxruntime-common";
export { type Explanation, explainOptimizers, findOptimizers } from "./analysis/find-optimizers/index.ts";
export type {
  EdgeParameter,
  FindOptions,
  Found,
  GradientEdge,
  OptimizerSite,
  Refusal,
} from "./analysis/find-optimizers/site.ts";
export { AVERAGE_DEFAULTS, AVERAGE_METHODS, type AverageMethod, type AverageOptions } from "./artifacts/average.ts";
export type { Checkpoint, OptimizerGroup, ParameterState, Property } from "./artifacts/checkpoint/checkpoint.ts";
export { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
export { decodePbseqCheckpoint, isPbseqFile, pbseqAlone } from "./artifacts/checkpoint/read-pbseq.ts";
export { encodeCheckpoint } from "./artifacts/checkpoint/write-odtc.ts";
export {
  ARTIFACT_FILES,
  checkCheckpointFits,
  type InputSpec,
  isCheckpointFile,
  isCheckpointFolder,
  type ReadSetOptions,
  readCheckpointFile,
  type TrainableParameter,
  type TrainingArtifacts,
  trainableParameters,
  userInputs,
} from "./artifacts/ort-artifacts.ts";
export { type Plan, type PlannedState, type Role, readPlan, type StateKind } from "./artifacts/portable/plan.ts";
export { PORTABLE_FILES, type PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
export { decodeState, encodeState, type TrainingState } from "./artifacts/portable/state.ts";
export { type LoadedRun, loadRun, newRun, type SaveRunOptions, saveRun } from "./artifacts/run-checkpoint/folder.ts";
export { type LockOptions, lockRuns } from "./artifacts/run-checkpoint/lock.ts";
export {
  differences,
  type RunManifest,
  type RunOptions as RunSettings,
  type TrainPosition,
} from "./artifacts/run-checkpoint/manifest.ts";
export { decodeSafetensors, encodeSafetensors, type Safetensors } from "./artifacts/safetensors.ts";
export { readSetManifest, SET_MANIFEST, type SetManifest } from "./artifacts/set-manifest.ts";
export {
  isPortableFolder,
  loadTrainingSet,
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
export { type AveragedCheckpoint, averageCheckpoints, type CheckpointKind } from "./average-checkpoints.ts";
export {
  BUILD_TARGETS,
  type BuildOptions,
  type BuildReport,
  type BuildTarget,
  type BuiltArtifacts,
  buildTrainingArtifacts,
  writeBuilt,
} from "./build-artifacts.ts";
export type { Communicator, Summable } from "./distributed/communicator.ts";
export { exchangeBytes, exchangeNumbers, isOfAllRanks, requireAlike } from "./distributed/consensus.ts";
export { type JoinOptions, joinRanks, ranksHere } from "./distributed/join.ts";
export { AGR_RECORD, type InsertionRecord, type RecordedEdge, readRecord } from "./edits/record.ts";
export {
  BackendError,
  CheckpointError,
  DataError,
  DistributedError,
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
export { type Attribute, attribute, type NamedTensor } from "./graph/attribute.ts";
export { checkModel } from "./graph/check.ts";
export { DataType, dataTypeName } from "./graph/data-type.ts";
export { type Difference, diffModels } from "./graph/diff.ts";
export { describeNode, Graph, Node, Value } from "./graph/graph.ts";
export { sha256, sha256OfFile } from "./graph/io/digest.ts";
export {
  externalFiles,
  hasExternalData,
  type ReadModelOptions,
  readExternalTensors,
  readModel,
  writeModel,
} from "./graph/io/model-file.ts";
export { writeFileAtomic } from "./graph/io/write-atomic.ts";
export { whatIs } from "./graph/io/write-file.ts";
export { GraphFunction, Model } from "./graph/model.ts";
export { type PrintOptions, printModel } from "./graph/print.ts";
export { decodeModel } from "./graph/serde/decode.ts";
export { encodeModel } from "./graph/serde/encode.ts";
export { Tensor as GraphTensor } from "./graph/tensor.ts";
export { formatType, type ValueType } from "./graph/value-type.ts";
export { type LowerArtifactsOptions, lowerArtifacts } from "./lower-artifacts.ts";
export {
  type GradientOptions,
  type Hyperparameters,
  OPTIMIZER_NAMES,
  OPTIMIZERS,
  type OptimizerName,
  type OptimizerOptions,
} from "./optim/optimizers.ts";
export type { ParameterGroup } from "./optim/parameter-groups.ts";
export { type LearningRateSchedule, learningRateAt } from "./optim/schedule.ts";
export { LOSS_DEFAULTS, LOSS_KINDS, type LossKind, type LossOptions } from "./passes/add-loss.ts";
export { PASSES, type PassDefinition } from "./passes/catalog.ts";
export { type ExtractForwardOptions, type ExtractForwardReport, extractForward } from "./passes/extract-forward.ts";
export { INITIALIZATIONS, type Initialization, type InitializeOptions } from "./passes/initialize.ts";
export { type InsertAgrReport, insertAgr } from "./passes/insert-agr/index.ts";
export { INSERT_AGR_DEFAULTS, type InsertAgrOptions, type Parameter } from "./passes/insert-agr/options.ts";
export type { LoraOptions } from "./passes/lora.ts";
export { type LowerReport, lowerTrainingOps } from "./passes/lower-training-ops/index.ts";
export { type Pass, type Report, type RunPassOptions, runPass, type Skipped, type Validation } from "./passes/pass.ts";
export { type PassRequest, type PipelineReport, pipeline } from "./passes/pipeline.ts";
export { PRECISIONS, type Precision } from "./passes/prepare-forward.ts";
export { type PutWeightsReport, putWeights } from "./passes/put-weights.ts";
export { type RaiseOpsetReport, raiseOpset } from "./passes/raise-opset/index.ts";
export type { HeadOptions } from "./passes/replace-head.ts";
export { removeLearningRate, type SetLearningRateReport, setLearningRate } from "./passes/set-learning-rate.ts";
export { type StripAgrReport, stripAgr } from "./passes/strip-agr.ts";
export { type ModelSummary, type SummaryLayer, type SummaryOptions, summarizeModel } from "./passes/summary/index.ts";
export { inspectPlacement } from "./placement.ts";
export { dataFilesOf } from "./runtime/data/data-files.ts";
export { type BatchOptions, batches, type Dataset, datasetFor } from "./runtime/data/dataset.ts";
export { type DatasetOptions, fixedBatchSize, samplesOf } from "./runtime/data/dataset-inputs.ts";
export { type FitOptions, fitTensors } from "./runtime/data/fit.ts";
export type { DataContent, TableOptions } from "./runtime/data/formats/format.ts";
export type { Normalization } from "./runtime/data/normalize.ts";
export { readData, readDataFile } from "./runtime/data/read-data.ts";
export { type ReadDatasetOptions, readDataset } from "./runtime/data/read-dataset.ts";
export { splitDataset } from "./runtime/data/split.ts";
export { type EvaluateOptions, type Evaluation, evaluate } from "./runtime/evaluation/evaluate.ts";
export type { ClassificationMetrics, Metrics, RegressionMetrics } from "./runtime/evaluation/metrics.ts";
export { loadOrtNode, type OrtModule, type OrtSession, ortNodeVersion } from "./runtime/ort-node/load.ts";
export type { Placement } from "./runtime/ort-node/placement.ts";
export { type OrtNodeOptions, PROVIDERS, type Provider } from "./runtime/ort-node/providers.ts";
export type {
  Fetches,
  NamedTensors,
  Reached,
  RunOptions,
  TrainingSessionCreateOptions,
  UriOrBuffer,
  WayName,
} from "./runtime/session.ts";
export {
  type EpochEvent,
  planTraining,
  type StepEvent,
  TRAIN_DEFAULTS,
  type TrainEvent,
  type TrainingPlan,
  type TrainOptions,
  train,
} from "./runtime/train.ts";
export {
  checkTrainingSet,
  identityOf,
  isPortable,
  isStep,
  type ReadTrainableOptions,
  readTrainable,
  readWeights,
  type Trainable,
  trainableOf,
  trainingInputsOf,
  withWeights,
} from "./source.ts";
export { readStep, type StepArtifacts, stepArtifacts, withInitialState } from "./step-artifacts.ts";
export { type SessionSource, TrainingSession, type TrainingSessionOptions } from "./training-session.ts";
export {
  type FinishedCheck,
  type FinishedCheckName,
  type FinishedReport,
  type VerifyFinishedOptions,
  verifyFinished,
} from "./verify/finished.ts";
export {
  type CheckedParameter,
  checkGradients,
  GRADIENT_CHECK_DEFAULTS,
  type GradientCheck,
  type GradientCheckOptions,
} from "./verify/gradient-check.ts";
export { type GradientReport, reportGradients } from "./verify/gradients.ts";
export { type Verification, verifyInsertion } from "./verify/index.ts";
export {
  type OtherState,
  type Proof,
  type ProofOptions,
  type ProvenParameter,
  proveGradients,
  type UnprovenParameter,
} from "./verify/proof/index.ts";
export { type InsertProvenOptions, insertProven, type ProvenInsertion } from "./verify/proof/insert-proven.ts";
export { type InspectedParameter, type InspectedStep, inspectStep } from "./verify/proof/inspect-step.ts";
