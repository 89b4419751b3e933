import { readPlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { requireOption, UsageError } from "./errors.ts";
import type { Model } from "./graph/model.ts";
import { missingArtifact } from "./missing-artifact.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { completeSchedule, type LearningRateSchedule, learningRateAt } from "./optim/schedule.ts";
import { DEFAULT_LEARNING_RATE } from "./runtime/learning-rate.ts";
import { type OrtNodePrograms, rateIsBuiltIn } from "./runtime/ort-node/programs.ts";
import type { Exporter } from "./runtime/session.ts";

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

/** What ort-node runs; a whole step has no gradients model beside it. */
export type SessionModels = Omit<PortableArtifacts, "gradients"> & { readonly gradients: Model | null };

/** What a session of ort-node runs where no pass prepares it: a portable set as it is, one step per call. */
export function plainPrograms(
  artifacts: SessionModels,
  { stepsPerCall = "auto", learningRate }: SessionSettings,
  exporter: Exporter,
): OrtNodePrograms {
  requireOption(
    stepsPerCall === "auto" || (Number.isSafeInteger(stepsPerCall) && stepsPerCall >= 1),
    "stepsPerCall",
    "a whole number from 1 on, or auto",
  );
  const { trainStep, gradients, state, evalModel: evaluation } = artifacts;
  if (state === null) throw missingArtifact(gradients === null ? "initial state" : "checkpoint");
  if (learningRate !== undefined && trainStep === null) throw noOptimizer();
  const isBuiltIn = gradients === null && trainStep !== null && readPlan(trainStep, "train_step").learningRate === null;
  if (learningRate !== undefined && isBuiltIn) throw rateIsBuiltIn();
  return {
    ...artifacts,
    ...{
      state,
      evaluation,
      overwriting: null,
      adding: null,
      repeated: null,
      shardedGradients: null,
      separated: NOT_SEPARATED,
      sized: null,
      stepsPerCall,
      exporter,
      sharer: null,
    },
    learningRate: isBuiltIn ? () => Number.NaN : rateOf(learningRate),
  };
}

const NOT_SEPARATED: OrtNodePrograms["separated"] = { trainStep: null, sharded: null, apply: null };

function rateOf(learningRate: SessionSettings["learningRate"]): (step: number) => number {
  if (learningRate === undefined) return () => DEFAULT_LEARNING_RATE;
  const schedule = completeSchedule(typeof learningRate === "number" ? { rate: learningRate } : learningRate);
  if (schedule.decay !== "constant" || schedule.warmupSteps > 0) return (step) => learningRateAt(schedule, step);
  const constant = learningRateAt(schedule, 1);
  return () => constant;
}

export function noOptimizer(): UsageError {
  return new UsageError("E_OPTION", "a learning rate needs an optimizer model", { field: "learningRate" });
}

/** What options of ONNX Runtime's sessions are called here. */
const CALLED_HERE: Readonly<Record<string, string>> = {
  intraOpNumThreads: "threads",
  interOpNumThreads: "threads",
};

/** @throws UsageError `E_OPTION` for an option that nothing would take */
export function requireKnown(known: Readonly<Record<string, true>>, options: object): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  const name = CALLED_HERE[unknown];
  throw new UsageError("E_OPTION", `a training session has no option "${unknown}"`, {
    field: unknown,
    hint: name === undefined ? `There are ${Object.keys(known).join(", ")}.` : `Give ${name} in its place.`,
  });
}
