/**
 * onnx-agr/run: what training runs on: sessions and providers, data, schedules of steps, and runs that are saved and gone on with.
 *
 * @module onnx-agr/run
 */

export { differences } from "../artifacts/run-checkpoint/differences.ts";
export { newRun, readRunManifest } from "../artifacts/run-checkpoint/folder.ts";
export { type LockOptions, lockRuns } from "../artifacts/run-checkpoint/lock.ts";
export type { RunOptions as RunSettings } from "../artifacts/run-checkpoint/manifest.ts";
export { type AveragedCheckpoint, averageCheckpoints, type CheckpointKind } from "../average-checkpoints.ts";
export type { ArmEstimate } from "../compare/estimate.ts";
export { METRIC_NAMES } from "../compare/metrics.ts";
export { INITIAL_WEIGHTS } from "../compare/options.ts";
export type { Communicator, Summable } from "../distributed/communicator.ts";
export { exchangeBytes, exchangeNumbers, isOfAllRanks, ofAllRanks, requireAlike } from "../distributed/consensus.ts";
export { type JoinOptions, joinRanks, ranksHere, ranksStarted } from "../distributed/join.ts";
export { DistributedError } from "../errors.ts";
export { inspectPlacement } from "../placement.ts";
export { comparisonReport } from "../report/comparison-report.ts";
export { type ContactSheet, contactSheet } from "../report/contact-sheet.ts";
export { readAssets } from "../report/html/assets.ts";
export type { Assets } from "../report/html/page.ts";
export { Pictures } from "../report/pictures.ts";
export type { Pixels } from "../report/png.ts";
export { eventFileName, TensorBoardEncoder } from "../report/tensorboard/encoder.ts";
export { type TrainingReport, trainingReport } from "../report/training-report.ts";
export type { Augmentation } from "../runtime/data/augment.ts";
export { sizesOfBatches } from "../runtime/data/batch-sizes.ts";
export { dataFilesOf } from "../runtime/data/data-files.ts";
export { type BatchOptions, batches } from "../runtime/data/dataset.ts";
export { fixedBatchSize, samplesOf } from "../runtime/data/dataset-inputs.ts";
export { describeData, type TensorDescription } from "../runtime/data/describe-data.ts";
export { type FitOptions, fitTensors } from "../runtime/data/fit.ts";
export type { DataContent, TableOptions, TextFacts } from "../runtime/data/formats/format.ts";
export { type ImageFolder, imageFolderAt, namesAndSizes } from "../runtime/data/images.ts";
export type { Normalization, NormalizationNumbers } from "../runtime/data/normalize.ts";
export { readBatches } from "../runtime/data/read-batches.ts";
export { type OpenOptions as OpenDataOptions, openData } from "../runtime/data/read-data.ts";
export type { Moment, SampleSource } from "../runtime/data/sample-source.ts";
export { TEXT_TARGETS, type TextOptions } from "../runtime/data/text/options.ts";
export type { ClassificationMetrics, RegressionMetrics } from "../runtime/evaluation/metrics.ts";
export { loadOrtNode, type OrtModule, type OrtSession, ortNodeVersion } from "../runtime/ort-node/load.ts";
export type { Placement } from "../runtime/ort-node/placement.ts";
export { type OrtNodeOptions, PROVIDERS } from "../runtime/ort-node/providers.ts";
export { grantedProcessors, processorTime } from "../runtime/processors.ts";
export type { CarriedInput, Fetches, Reached, RunOptions, UriOrBuffer, WayName } from "../runtime/session.ts";
export { planTraining, type TrainingPlan } from "../runtime/training-plan.ts";
export {
  checkTrainingSet,
  identityOf,
  isPortable,
  isStep,
  trainableOf,
  trainingInputsOf,
} from "../source.ts";
export { type PairedDifference, type PairedOptions, pairedDifference } from "../statistics/paired.ts";
export { tProbability, tQuantile } from "../statistics/student-t.ts";
export { type Summary, summarize } from "../statistics/summary.ts";
