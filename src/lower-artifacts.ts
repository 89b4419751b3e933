import { OPTIONS, requireArgument } from "./arguments.ts";
import { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
import { ARTIFACTS, checkCheckpointFits, type TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import { type Role, writePlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { stateOfCheckpoint } from "./artifacts/portable/state.ts";
import { PassError } from "./errors.ts";
import { readExternalTensors } from "./graph/io/model-file.ts";
import { Model } from "./graph/model.ts";
import type { ValueRange } from "./graph/value-range.ts";
import type { OptimizerOptions } from "./optim/optimizers.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { insertAgr } from "./passes/insert-agr/index.ts";
import { INSERT_AGR_DEFAULTS, type InsertAgrOptions, settingsOf } from "./passes/insert-agr/options.ts";
import { wrongMetadata } from "./passes/json-metadata.ts";
import { toEvaluation } from "./passes/portable/evaluation.ts";
import { toGradients } from "./passes/portable/gradients.ts";
import { makeApply, toTrainStep } from "./passes/portable/optimizer.ts";
import type { StepModel } from "./passes/portable/step-model.ts";
import { AGR_RECORD, readRecord } from "./passes/record.ts";
import { stripAgr } from "./passes/strip-agr.ts";
import { valueRanges } from "./passes/value-ranges.ts";

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
  const { parameterGroups: groups = [], optimizer, agr: given } = options;
  const { trainingModel, optimizerModel, evalModel } = artifacts;
  if (trainingModel === null) {
    throw new PassError("E_NO_GRADIENTS", "the artifacts have no training model, so there is nothing to lower", {
      hint: "Give a folder with training_model.onnx.",
    });
  }
  const checkpoint = artifacts.checkpoint === null ? null : decodeCheckpoint(artifacts.checkpoint);
  if (checkpoint !== null) checkCheckpointFits(trainingModel, checkpoint);
  const frozen = new Set(checkpoint?.frozen.map(({ name }) => name));
  const training = await copyOf(trainingModel);
  const ranges = valueRanges(trainingModel);
  const gradients = planned(toGradients(training.clone(), frozen), "gradients", ranges);
  const trainable = new Set(gradients.state.flatMap(({ name, kind }) => (kind === "parameter" ? [name] : [])));
  const evaluation =
    evalModel === null
      ? null
      : planned(toEvaluation(await copyOf(evalModel), trainable, frozen), "eval", valueRanges(evalModel));
  const source = optimizer ?? (optimizerModel === null ? null : await copyOf(optimizerModel));
  if (source === null) {
    const state = checkpoint === null ? null : stateOfCheckpoint(checkpoint, []);
    return { trainStep: null, gradients: gradients.model, apply: null, evalModel: evaluation?.model ?? null, state };
  }
  const agr = source instanceof Model ? (given ?? takeAgr(source)) : (given ?? null);
  const again = source instanceof Model ? source.clone() : source;
  const apply = planned(makeApply(training, again, groups), "apply", new Map());
  const trainStep = planned(toTrainStep(training, source, frozen, groups), "train_step", ranges);
  if (agr !== null) for (const { model } of [apply, trainStep]) insertAgr(model, agr);
  return {
    trainStep: trainStep.model,
    gradients: gradients.model,
    apply: apply.model,
    evalModel: evaluation?.model ?? null,
    state: checkpoint === null ? null : stateOfCheckpoint(checkpoint, trainStep.state),
  };
}

/** A copy with the external data in it: what is made of it lies elsewhere. */
async function copyOf(model: Model): Promise<Model> {
  const own = model.clone();
  await readExternalTensors(own);
  return own;
}

/** @param ranges what numbers inputs take: the model that the step was made of has losses and tables that say so */
function planned(step: StepModel, role: Role, ranges: ReadonlyMap<string, ValueRange>): StepModel {
  const { model, ...plan } = step;
  writePlan(model, { role, ...plan, ...(ranges.size === 0 ? {} : { ranges: [...ranges] }) });
  return step;
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
