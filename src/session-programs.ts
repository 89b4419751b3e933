import { PLAN_METADATA, type Role, readPlan, writePlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import type { Model } from "./graph/model.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { lowerModels } from "./lower-artifacts.ts";
import { blockConvolutions } from "./passes/blocked/block-convolutions.ts";
import { takeDotProducts } from "./passes/dot-products.ts";
import { computeEarly } from "./passes/early-results.ts";
import { extractForward } from "./passes/extract-forward.ts";
import { gatherRows } from "./passes/gather-rows.ts";
import { joinUpdates } from "./passes/joined/join-updates.ts";
import { mergeLora } from "./passes/lora.ts";
import { lowerTrainingOps } from "./passes/lower-training-ops/index.ts";
import { fixSizes } from "./passes/open-sizes.ts";
import { cutChains } from "./passes/pieces/cut-chains.ts";
import { shareUpdate } from "./passes/portable/share-update.ts";
import type { StepModel } from "./passes/portable/step-model.ts";
import { withoutReset } from "./passes/portable/without-reset.ts";
import { repeatStep } from "./passes/repeated/repeat-step.ts";
import { shareOutLater } from "./passes/sample-shares.ts";
import { scaleOperands } from "./passes/scale-operands.ts";
import { separateUpdate } from "./passes/separated/separate-update.ts";
import { removeLearningRate } from "./passes/set-learning-rate.ts";
import { partsPay } from "./passes/sharded/costs.ts";
import { shardBatch } from "./passes/sharded/shard-batch.ts";
import { simplify } from "./passes/simplify.ts";
import { maskByTriangles } from "./passes/triangular-masks.ts";
import { turnProducts } from "./passes/turned/turn-products.ts";
import { weighSums } from "./passes/weighted/weigh-sums.ts";
import type { OrtNodePrograms } from "./runtime/ort-node/programs.ts";
import type { SeparatedModels } from "./runtime/ort-node/separated.ts";
import type { ShardedGradientModels } from "./runtime/ort-node/sharded-gradients.ts";
import type { ShardedModel } from "./runtime/ort-node/shards.ts";
import type { StepModels } from "./runtime/ort-node/step-programs.ts";
import type { Exporter } from "./runtime/session.ts";
import type { DecodedArtifacts } from "./runtime/session-files.ts";
import { KERNEL_OPERATORS } from "./runtime/update-kernel/operators.ts";
import { noOptimizer, plainPrograms, type SessionModels, type SessionSettings } from "./session-settings.ts";
import { mapTuple } from "./tuples.ts";

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

/** What ONNX Runtime's CPU provider has less work with. */
export interface CpuLayouts {
  /** The channels of a block, for convolutions that cost less in blocks of channels; null: they stay as they are. */
  readonly block: number | null;
  /** Into how many parts a batch may be cut that are computed at the same time. */
  readonly parts: number;
  /** The threads of a run. Default: two. */
  readonly threads?: number;
  /** Sizes of batches that get models of their own, where the models leave them open. Default: none. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/**
 * Everything a session of ort-node runs, made by passes before it.
 * @param layouts null where not ONNX Runtime's CPU provider runs the models, or not the one that the costs were measured with
 */
export function programsOf(
  artifacts: SessionModels,
  settings: SessionSettings,
  layouts: CpuLayouts | null = null,
): OrtNodePrograms {
  const programs = plainPrograms(artifacts, settings, exportForward);
  const { evalModel, apply, stepsPerCall } = { ...artifacts, ...programs };
  const sizes = layouts?.sizes ?? {};
  const fixed = Object.keys(sizes).length === 0 ? null : withSizes(artifacts, sizes);
  const steps = stepModels(artifacts, stepsPerCall, layouts);
  return {
    ...programs,
    ...steps,
    separated: { ...steps.separated, apply: apply === null || layouts === null ? null : separated(apply, "apply") },
    evaluation: evalModel === null || layouts === null ? evalModel : laidOut(evalModel, layouts),
    sized: fixed && { sizes, ...stepModels(fixed, stepsPerCall, layouts) },
    sharer: (model, parameters, sessions) =>
      planned(shareUpdate(copied(model, "apply"), parameters, sessions), "apply"),
  };
}

/** What steps are made with. */
type StepSources = Pick<SessionModels, "gradients" | "trainStep">;

/** The same without open sizes. @throws UsageError `E_OPTION` for sizes that they do not leave open */
function withSizes({ gradients, trainStep }: StepSources, sizes: Readonly<Record<string, number>>): StepSources {
  const fixed = (model: Model | null): Model | null => {
    const copy = model?.clone() ?? null;
    if (copy === null) return null;
    fixSizes(copy, sizes);
    simplify(copy);
    return copy;
  };
  return { gradients: fixed(gradients), trainStep: fixed(trainStep) };
}

function stepModels(
  sources: StepSources,
  stepsPerCall: OrtNodePrograms["stepsPerCall"],
  layouts: CpuLayouts | null,
): StepModels {
  const [gradients, trainStep] = mapTuple([sources.gradients, sources.trainStep], (model) =>
    model === null || layouts === null ? model : laidOut(model, layouts),
  );
  const early = (model: Model | null): Model | null => {
    if (model !== null && layouts !== null) computeEarly(model);
    return model;
  };
  const inSeveral = layouts === null || sources.trainStep === null ? null : sharded(sources.trainStep, layouts);
  return {
    ...{ gradients, trainStep },
    separated: {
      trainStep: trainStep === null || layouts === null ? null : separated(trainStep, "train_step"),
      sharded: inSeveral,
    },
    overwriting: gradients === null ? null : early(derived(gradients, "gradients", (step) => withoutReset(step, true))),
    adding: gradients === null ? null : early(derived(gradients, "gradients", (step) => withoutReset(step, false))),
    shardedGradients:
      inSeveral === null || layouts === null || sources.gradients === null
        ? null
        : shardedGradients(sources.gradients, layouts),
    repeated: stepsPerCall !== 1 && trainStep !== null ? derived(trainStep, "train_step", repeatJoined) : null,
  };
}

/** Numbers of state from which on a training step is faster in two: below, several steps in one call of ONNX Runtime are. */
const LEAST_IN_TWO: Readonly<Partial<Record<Role, number>>> = { train_step: 2 ** 16 };

const KERNEL_OPERATOR_NAMES: ReadonlySet<string> = new Set(Object.keys(KERNEL_OPERATORS));

/** A model that renews state, without the elementwise end of its update, and that end; null where that is little or nothing. */
function separated(model: Model, role: Role): SeparatedModels | null {
  const made = separateUpdate(copied(model, role), KERNEL_OPERATOR_NAMES);
  if (made === null || made.size < (LEAST_IN_TWO[role] ?? 0)) return null;
  const step = planned(made.step, role);
  computeEarly(step);
  return { step, update: planned(made.update, "apply"), shards: null };
}

/** A training step in parts of its batch, computed at the same time; null where that cannot be, or takes no less time. */
function sharded(model: Model, layouts: CpuLayouts): SeparatedModels | null {
  const made = inParts(copied(model, "train_step"), layouts);
  const rest = made && separated(planned(made.rest, "train_step"), "train_step");
  return made && rest && { ...rest, shards: made.shards };
}

/** `gradients` in parts of its batch, computed at the same time; null where that cannot be, or takes no less time. */
function shardedGradients(model: Model, layouts: CpuLayouts): ShardedGradientModels | null {
  const made = inParts(copied(model, "gradients"), layouts);
  if (made === null) return null;
  const rest = planned(made.rest, "gradients");
  const [overwriting, adding] = mapTuple([true, false], (resets) =>
    derived(rest, "gradients", (step) => withoutReset(step, resets)),
  );
  if (overwriting === null || adding === null) return null;
  for (const each of [overwriting, adding]) computeEarly(each);
  return { overwriting, adding, shards: made.shards };
}

/** What computes parts of a step's batch, and what makes the step of them; null where that cannot be, or takes no less time. */
function inParts(
  step: StepModel,
  layouts: CpuLayouts,
): { readonly shards: ShardedModel; readonly rest: StepModel } | null {
  const { parts } = layouts;
  if (parts < 2) return null;
  const made = shardBatch(step, parts);
  if (made === null || !partsPay(made.shard)) return null;
  const { threads = USUAL_THREADS } = layouts;
  const ofPart = { ...layouts, threads: Math.max(1, Math.floor(threads / parts)) };
  const shard = laidOut(planned(made.shard, "train_step"), ofPart);
  computeEarly(shard);
  return { rest: made.rest, shards: { model: shard, count: parts } };
}

/** A step in a loop, with its small parameters in one piece there; null where that cannot be. */
function repeatJoined(step: StepModel): StepModel | null {
  const joined = joinUpdates(step);
  const repeated = repeatStep(joined.step);
  return repeated && joined.separate(repeated);
}

/** Threads that the costs of passes were measured with. */
const USUAL_THREADS = 2;

function laidOut(model: Model, { block, threads = USUAL_THREADS }: CpuLayouts): Model {
  const copy = model.clone();
  const fewer = scaleOperands(copy) + shareOutLater(copy);
  const blocked = block === null ? 0 : weighSums(copy, block) + takeDotProducts(copy) + blockConvolutions(copy, block);
  const moved = turnProducts(copy) + gatherRows(copy) + maskByTriangles(copy);
  const changes = fewer + blocked + moved + cutChains(copy, threads);
  return changes === 0 ? model : copy;
}

/** What a pass makes of a copy of a model, with its plan; null where the pass makes nothing of it. */
function derived(from: Model, role: Role, pass: (step: StepModel) => StepModel | null): Model | null {
  const step = pass(copied(from, role));
  return step === null ? null : planned(step, role);
}

function copied(from: Model, role: Role): StepModel {
  const { role: _, ...plan } = readPlan(from, role);
  return { model: from.clone(), ...plan };
}

function planned({ model, ...made }: StepModel, role: Role): Model {
  writePlan(model, { role, ...made });
  return model;
}

/** The eval model without its loss, with these weights in it; what batches take over from each other stays an input. */
export const exportForward: Exporter = (evalModel, weights, outputs) => {
  const model = evalModel.clone();
  const { carried = [] } = model.metadata.has(PLAN_METADATA) ? readPlan(model, "eval") : {};
  const isCarried = new Set(carried.map(([input]) => input));
  lowerTrainingOps(model);
  const held = new Map([...mergeLora(model, weights)].filter(([name]) => !isCarried.has(name)));
  extractForward(model, { weights: held, ...(outputs === null ? {} : { outputs }) });
  return encodeModel(model);
};
