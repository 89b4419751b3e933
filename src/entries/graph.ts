/**
 * onnx-agr/graph: ONNX models as graphs: read, checked, edited, compared and printed; where the optimizer is, and the passes that change it.
 *
 * @module onnx-agr/graph
 */

export { type Explanation, explainOptimizers, findOptimizers } from "../analysis/find-optimizers/index.ts";
export type {
  EdgeParameter,
  FindOptions,
  Found,
  GradientEdge,
  OptimizerSite,
  Refusal,
} from "../analysis/find-optimizers/site.ts";
export { AGR_RECORD, type InsertionRecord, type RecordedEdge, readRecord } from "../edits/record.ts";
export { type Attribute, attribute, type NamedTensor } from "../graph/attribute.ts";
export { checkModel } from "../graph/check.ts";
export { DataType, dataTypeName } from "../graph/data-type.ts";
export { type Difference, diffModels } from "../graph/diff.ts";
export { describeNode, Graph, Node, Value } from "../graph/graph.ts";
export { sha256 } from "../graph/io/digest.ts";
export { externalFiles, hasExternalData, readExternalTensors } from "../graph/io/external-tensors.ts";
export { sha256OfFile } from "../graph/io/file-digest.ts";
export { writeFileAtomic } from "../graph/io/write-atomic.ts";
export { whatIs } from "../graph/io/write-file.ts";
export { GraphFunction } from "../graph/model.ts";
export { type PrintOptions, printModel } from "../graph/print.ts";
export { decodeModel } from "../graph/serde/decode.ts";
export { encodeModel } from "../graph/serde/encode.ts";
export { Tensor as GraphTensor } from "../graph/tensor.ts";
export { formatType, type ValueType } from "../graph/value-type.ts";
export { BATCH_NORM_STATISTICS, type BatchNormStatistics } from "../passes/batch-norm-modes.ts";
export { PASSES, type PassDefinition } from "../passes/catalog.ts";
export { type ExtractForwardOptions, type ExtractForwardReport, extractForward } from "../passes/extract-forward.ts";
export { INITIALIZATIONS, type Initialization, type InitializeOptions } from "../passes/initialize.ts";
export type { LoraOptions } from "../passes/lora.ts";
export { type LowerReport, lowerTrainingOps } from "../passes/lower-training-ops/index.ts";
export { type Pass, type RunPassOptions, runPass, type Validation } from "../passes/pass.ts";
export { type PassRequest, type PipelineReport, pipeline } from "../passes/pipeline.ts";
export { PRECISIONS, type Precision } from "../passes/prepare-forward.ts";
export { type PutWeightsReport, putWeights } from "../passes/put-weights.ts";
export { type RaiseOpsetReport, raiseOpset } from "../passes/raise-opset/index.ts";
export type { HeadOptions } from "../passes/replace-head.ts";
export { INITIAL_LOSS_SCALE, type LossScale } from "../passes/scale-loss.ts";
export { removeLearningRate, type SetLearningRateReport, setLearningRate } from "../passes/set-learning-rate.ts";
export type { SummaryLayer } from "../passes/summary/index.ts";
export { type GradientReport, reportGradients } from "../verify/gradients.ts";
export type { OtherState } from "../verify/proof/index.ts";
export { type InspectedParameter, type InspectedStep, inspectStep } from "../verify/proof/inspect-step.ts";
