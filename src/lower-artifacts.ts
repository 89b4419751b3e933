import { OPTIONS, requireArgument } from "./arguments.ts";
import type { Checkpoint } from "./artifacts/checkpoint/checkpoint.ts";
import { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
import { stateOfCheckpoint } from "./artifacts/checkpoint/training-state.ts";
import { ARTIFACTS, type TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { checkCheckpointFits } from "./artifacts/trainable-parameters.ts";
import { wrongMetadata } from "./edits/json-metadata.ts";
import { AGR_RECORD, readRecord } from "./edits/record.ts";
import { PassError } from "./errors.ts";
import { readExternalTensors } from "./graph/io/external-tensors.ts";
import { Model } from "./graph/model.ts";
import type { OptimizerOptions } from "./optim/optimizers.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { INSERT_AGR_DEFAULTS, type InsertAgrOptions, settingsOf } from "./passes/insert-agr/options.ts";
import { LOWERED_OPSET, requireLowerings } from "./passes/lower-training-ops/index.ts";
import { readTrainingModel } from "./passes/onnxruntime/read-training-model.ts";
import { raiseOpset } from "./passes/raise-opset/index.ts";
import { stripAgr } from "./passes/strip-agr.ts";
import { makePortableSet } from "./portable-set.ts";

export interface LowerArtifactsOptions {
  /** Parameters that get a learning rate or weight decay of their own; they are written into the models. Default none. */
  readonly parameterGroups?: readonly ParameterGroup[];
  /** An optimizer to write in the place of the artifacts' own. */
  readonly optimizer?: OptimizerOptions;
  /** AGR to put before that optimizer. Default: what was inserted into the artifacts' own. */
  readonly agr?: InsertAgrOptions;
}

/**
 * Makes ONNX Runtime's training artifacts portable: the same training in standard operators, which any ONNX runtime takes.
 * AGR that was inserted into the optimizer model stands before the optimizer of the new models, with the same options. The
 * artifacts themselves are left as they are.
 * @throws PassError `E_NO_LOWERING` naming every operator that has no lowering, before anything is done; `E_NO_GRADIENTS`,
 *   `E_OPSET`, `E_NO_OPTIMIZER`; UsageError `E_GROUP`; CheckpointError `E_CHECKPOINT_MISMATCH`
 */
export async function lowerArtifacts(
  artifacts: Omit<TrainingArtifacts, "prefix" | "checkpointData">,
  options: LowerArtifactsOptions = {},
): Promise<PortableArtifacts> {
  requireArgument("artifacts", artifacts, ARTIFACTS);
  requireArgument("options", options, OPTIONS);
  const { checkpoint } = artifacts;
  return lowerModels(artifacts, checkpoint === null ? null : decodeCheckpoint(checkpoint), options);
}

/** `lowerArtifacts` of a checkpoint that was decoded. */
export async function lowerModels(
  {
    trainingModel,
    optimizerModel,
    evalModel,
  }: Pick<TrainingArtifacts, "trainingModel" | "optimizerModel" | "evalModel">,
  checkpoint: Checkpoint | null,
  { parameterGroups: groups = [], optimizer: chosen, agr: given }: LowerArtifactsOptions = {},
): Promise<PortableArtifacts> {
  if (trainingModel === null) {
    throw new PassError("E_NO_GRADIENTS", "the artifacts have no training model, so there is nothing to lower", {
      hint: "Give a folder with training_model.onnx.",
    });
  }
  if (checkpoint !== null) checkCheckpointFits(trainingModel, checkpoint);
  requireLowerings(trainingModel);
  const model = await copyOf(trainingModel);
  const evaluation = evalModel === null ? null : await copyOf(evalModel);
  const optimizer = chosen ?? (optimizerModel === null ? null : await copyOf(optimizerModel));
  const agr = optimizer instanceof Model ? (given ?? takeAgr(optimizer)) : (given ?? null);
  const sources = optimizer instanceof Model ? [model, optimizer] : [model];
  /** Nodes of both are written in one opset, so that none changes its meaning beside the others. */
  const opset = Math.max(LOWERED_OPSET, ...sources.map((each) => each.opset));
  for (const each of sources) raiseOpset(each, opset);
  const constants = new Set(checkpoint?.frozen.map(({ name }) => name));
  const training = readTrainingModel(model, constants);
  const { planned, ...models } = makePortableSet(training, evaluation, { optimizer, agr, groups });
  return { ...models, state: checkpoint === null ? null : stateOfCheckpoint(checkpoint, planned) };
}

/** A copy with the external data in it: what is made of it lies elsewhere. */
async function copyOf(model: Model): Promise<Model> {
  const own = model.clone();
  await readExternalTensors(own);
  return own;
}

/** Takes AGR out of an optimizer model and gives the options it was inserted with; null where there is none. */
function takeAgr(optimizer: Model): InsertAgrOptions | null {
  const record = readRecord(optimizer, AGR_RECORD);
  if (record === null) return null;
  stripAgr(optimizer);
  const names = [...Object.keys(INSERT_AGR_DEFAULTS), "form"];
  const options = Object.fromEntries(Object.entries(record.options).filter(([name]) => names.includes(name)));
  try {
    settingsOf(options);
  } catch (cause) {
    throw wrongMetadata(AGR_RECORD, "has options that AGR does not take", cause);
  }
  return options;
}
