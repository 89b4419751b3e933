import { type Role, readPlan, writePlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { requireOption, UsageError } from "./errors.ts";
import type { Model } from "./graph/model.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { lowerModels } from "./lower-artifacts.ts";
import { missingArtifact } from "./missing-artifact.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { completeSchedule, type LearningRateSchedule, learningRateAt } from "./optim/schedule.ts";
import { extractForward } from "./passes/extract-forward.ts";
import { mergeLora } from "./passes/lora.ts";
import { lowerTrainingOps } from "./passes/lower-training-ops/index.ts";
import { repeatStep } from "./passes/portable/repeat.ts";
import type { StepModel } from "./passes/portable/step-model.ts";
import { withoutReset } from "./passes/portable/without-reset.ts";
import { removeLearningRate } from "./passes/set-learning-rate.ts";
import { DEFAULT_LEARNING_RATE } from "./runtime/learning-rate.ts";
import { type OrtNodePrograms, rateIsBuiltIn } from "./runtime/ort-node/programs.ts";
import type { Exporter } from "./runtime/session.ts";
import type { DecodedArtifacts } from "./runtime/session-files.ts";

/** What decides how a session trains, wherever it runs. */
export interface SessionSettings {
  /**
   * The learning rate, or how it changes with the steps. Default: what the optimizer model says, which is 0.001 as exported.
   * ort-training has it built into the optimizer model, since it has no way to set it later.
   */
  readonly learningRate?: number | LearningRateSchedule;
  /**
   * Steps that `train` has ort-node run in one call, with the state inside ONNX Runtime between them; the losses are the same
   * for every number. 1: batches given to `trainSteps` together are run one by one. Default `auto`: batches of one size given
   * together run in one call, and `train` finds out how many keep a call short and the copies of the state small; one by one
   * where the state stays on a device.
   */
  readonly stepsPerCall?: number | "auto";
  /**
   * Parameters that ort-node trains with a learning rate or weight decay of their own. For ONNX Runtime's artifacts: a portable
   * set has its groups from when it was made.
   */
  readonly parameterGroups?: readonly ParameterGroup[];
}

/** ONNX Runtime's artifacts as a portable set. @throws what `lowerArtifacts` throws; UsageError `E_OPTION` */
export async function lowered(
  artifacts: DecodedArtifacts,
  { learningRate, parameterGroups = [] }: SessionSettings,
): Promise<PortableArtifacts> {
  const { checkpoint, trainModel, evalModel, optimizerModel } = artifacts;
  if (learningRate !== undefined) {
    if (optimizerModel === null) throw noOptimizer();
    removeLearningRate(optimizerModel);
  }
  return lowerModels({ trainingModel: trainModel, evalModel, optimizerModel }, checkpoint, { parameterGroups });
}

/** What ort-node runs; a whole step has no gradients model beside it. */
export type SessionModels = Omit<PortableArtifacts, "gradients"> & { readonly gradients: Model | null };

/** Everything a session of ort-node runs, made by passes before it. */
export function programsOf(artifacts: SessionModels, options: SessionSettings): OrtNodePrograms {
  const { stepsPerCall = "auto", learningRate } = options;
  requireOption(
    stepsPerCall === "auto" || (Number.isSafeInteger(stepsPerCall) && stepsPerCall >= 1),
    "stepsPerCall",
    "a whole number from 1 on, or auto",
  );
  const { trainStep, gradients, state } = artifacts;
  if (state === null) throw missingArtifact(gradients === null ? "initial state" : "checkpoint");
  if (learningRate !== undefined && trainStep === null) throw noOptimizer();
  const isBuiltIn = gradients === null && trainStep !== null && readPlan(trainStep, "train_step").learningRate === null;
  if (learningRate !== undefined && isBuiltIn) throw rateIsBuiltIn();
  return {
    ...artifacts,
    state,
    overwriting: gradients === null ? null : derived(gradients, "gradients", (step) => withoutReset(step, true)),
    adding: gradients === null ? null : derived(gradients, "gradients", (step) => withoutReset(step, false)),
    repeated: stepsPerCall !== 1 && trainStep !== null ? derived(trainStep, "train_step", repeatStep) : null,
    stepsPerCall,
    learningRate: isBuiltIn ? () => Number.NaN : rateOf(learningRate),
    exporter: exportForward,
  };
}

function rateOf(learningRate: SessionSettings["learningRate"]): (step: number) => number {
  if (learningRate === undefined) return () => DEFAULT_LEARNING_RATE;
  const schedule = completeSchedule(typeof learningRate === "number" ? { rate: learningRate } : learningRate);
  return (step) => learningRateAt(schedule, step);
}

/** What a pass makes of a copy of a model, with its plan; null where the pass makes nothing of it. */
function derived(from: Model, role: Role, pass: (step: StepModel) => StepModel | null): Model | null {
  const { role: _, ...plan } = readPlan(from, role);
  const step = pass({ model: from.clone(), ...plan });
  if (step === null) return null;
  const { model, ...made } = step;
  writePlan(model, { role, ...made });
  return model;
}

/** The eval model without its loss, with these weights in it. */
export const exportForward: Exporter = (evalModel, weights, outputs) => {
  const model = evalModel.clone();
  lowerTrainingOps(model);
  extractForward(model, { weights: mergeLora(model, weights), ...(outputs === null ? {} : { outputs }) });
  return encodeModel(model);
};

export function noOptimizer(): UsageError {
  return new UsageError("E_OPTION", "a learning rate needs an optimizer model", { field: "learningRate" });
}
