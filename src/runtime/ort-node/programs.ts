import { fitsCheckpoint } from "../../artifacts/checkpoint/training-state.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { keptState, type PlannedState, type Role, readPlan } from "../../artifacts/portable/plan.ts";
import type { PortableArtifacts } from "../../artifacts/portable/portable-artifacts.ts";
import type { TrainingState } from "../../artifacts/portable/state.ts";
import { BackendError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import type { Abilities, CarriedInput, Exporter } from "../session.ts";
import { Program } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import { type SeparatedModels, SeparatedProgram, type Updates } from "./separated.ts";
import { type ShardedGradientModels, ShardedGradients } from "./sharded-gradients.ts";
import type { ShardedModel, Shards } from "./shards.ts";

/** Makes the part of an `apply` model that renews some parameters. Whoever has the passes gives it. */
export type Sharer = (apply: Model, parameters: ReadonlySet<string>, sessions: number) => Model;

/** What is there in two. */
export type Separated<T> = Readonly<Record<"trainStep" | "sharded" | "apply", T | null>>;

/** What a session runs. */
export interface OrtNodePrograms extends Omit<PortableArtifacts, "gradients"> {
  /** Null where all there is is a whole step. */
  readonly gradients: Model | null;
  readonly state: TrainingState;
  /** The eval model as it is run; `evalModel` is what is exported. */
  readonly evaluation: Model | null;
  /** `gradients` for the first batch after a reset; null where it can only be told with every run. */
  readonly overwriting: Model | null;
  /** `gradients` for the batches after that one. */
  readonly adding: Model | null;
  /** `gradients` in parts of its batch; null where the training step is not in parts, or there is nothing to gain. */
  readonly shardedGradients: ShardedGradientModels | null;
  /**
   * The training step and the optimizer's update in two, each to be computed in place, and the training step in parts of its batch, too;
   * null where there is nothing to gain.
   */
  readonly separated: Separated<SeparatedModels>;
  /** The training step in a loop, for several steps per call; null where steps are run one by one. */
  readonly repeated: Model | null;
  readonly stepsPerCall: number | "auto";
  /** The learning rate of an update counted from 1, until another is set. */
  readonly learningRate: (step: number) => number;
  readonly exporter: Exporter;
  /** Null where updates are not shared. */
  readonly sharer: Sharer | null;
}

/** The models of a session with their plans; each is loaded when it is first run. */
export class Programs {
  /** What the plan is read from; run where the other two are not there. Null where all there is is a whole step. */
  readonly gradients: Program | null;
  readonly overwriting: Program | null;
  readonly adding: Program | null;
  readonly trainStep: Program | null;
  readonly apply: Program | null;
  readonly evaluation: Program | null;
  readonly repeated: Program | null;
  readonly shardedGradients: ShardedGradients | null;
  readonly separated: Separated<SeparatedProgram>;
  readonly #updates: Updates | null;
  readonly #exported: Model | null;
  /** What says which inputs and outputs and which state there are: the gradients, or the whole step. */
  readonly first: Program;

  /** @throws FormatError `E_PLAN` */
  constructor(models: OrtNodePrograms, provider: ResolvedProvider) {
    const optional = (model: Model | null, role: Role): Program | null =>
      model === null ? null : new Program(model, role, provider);
    /** State that stays on a device is not copied between calls. */
    const copies = provider.keepsAt === null;
    this.gradients = optional(models.gradients, "gradients");
    this.overwriting = optional(models.overwriting, "gradients");
    this.adding = optional(models.adding, "gradients");
    this.trainStep = optional(models.trainStep, "train_step");
    this.apply = optional(models.apply, "apply");
    this.evaluation = optional(models.evaluation, "eval");
    this.#exported = models.evalModel;
    const updates = provider.createUpdates?.() ?? null;
    this.#updates = updates;
    const inTwo = (separated: SeparatedModels | null, role: Role): SeparatedProgram | null =>
      separated === null || updates === null ? null : new SeparatedProgram(separated, role, provider, updates);
    const isFixed = models.stepsPerCall !== "auto" && models.repeated !== null;
    const { trainStep, sharded, apply } = models.separated;
    const inParts = shardsFor(sharded?.shards, provider) === null ? null : inTwo(sharded, "train_step");
    const { shardedGradients } = models;
    const shards = shardsFor(shardedGradients?.shards, provider);
    this.shardedGradients =
      shardedGradients === null || shards === null ? null : new ShardedGradients(shardedGradients, provider, shards);
    this.separated = {
      sharded: inParts,
      trainStep: isFixed && inParts === null ? null : inTwo(trainStep, "train_step"),
      apply: inTwo(apply, "apply"),
    };
    const isApart = inParts !== null || this.separated.trainStep !== null;
    const repeats = !isApart && (copies || isFixed);
    this.repeated = repeats ? optional(models.repeated, "train_step") : null;
    const first = this.gradients ?? this.trainStep;
    if (first === null) throw new RangeError("a session needs a gradients model or a whole step");
    this.first = first;
  }

  /** Whether several steps in one call take less time than one by one. */
  get takesSeveral(): boolean {
    return this.repeated !== null || this.separated.trainStep !== null || this.separated.sharded !== null;
  }

  /** Into how many parts a training step cuts its batch. */
  get batchParts(): number {
    return this.separated.sharded?.parts ?? 1;
  }

  /** Everything that a checkpoint of a training keeps. */
  get keptState(): readonly PlannedState[] {
    return keptState(this.first.plan, this.apply?.plan ?? null);
  }

  /** Parameter and the state that holds its gradient; none of a whole step. */
  get accumulators(): readonly (readonly [parameter: string, accumulator: string])[] {
    return this.gradients?.plan.gradients ?? [];
  }

  /** @throws BackendError `E_UNSUPPORTED` of a whole step */
  requireGradients(method: string): Program {
    if (this.gradients !== null) return this.gradients;
    throw new BackendError(
      "E_UNSUPPORTED",
      `a whole train step has no ${method}: it updates what it trains in every call`,
      {
        field: method,
        hint: "Use trainSteps, and getState for what was trained.",
      },
    );
  }

  /** @throws BackendError `E_NO_OPTIMIZER_MODEL` */
  requireOptimizer(program: Program | null): Program {
    if (program !== null) return program;
    throw new BackendError("E_NO_OPTIMIZER_MODEL", "this session has no optimizer model", {
      hint: "Give optimizerModel to TrainingSession.create.",
    });
  }

  /** @throws BackendError `E_NO_EVAL_MODEL` */
  requireEvaluation(): Program {
    if (this.evaluation !== null) return this.evaluation;
    throw noEvalModel();
  }

  /** What an inference model is made of. @throws BackendError `E_NO_EVAL_MODEL` */
  requireExported(): Model {
    if (this.#exported !== null) return this.#exported;
    throw noEvalModel();
  }

  /** What a batch takes over from the one before. */
  get carried(): readonly CarriedInput[] {
    const { plan } = this.first;
    const outputs = new Map(this.evaluation?.plan.carried);
    const names = plan.state.flatMap(({ name, kind }) => (kind === "carried" ? [name] : []));
    return this.first.specs(names).map((spec) => ({ ...spec, output: outputs.get(spec.name) ?? spec.name }));
  }

  /** What the eval model takes and gives; null where there is none. */
  get evaluationSpecs(): {
    readonly inputs: readonly string[];
    readonly specs: readonly InputSpec[];
    readonly outputs: readonly string[];
  } | null {
    if (this.evaluation === null) return null;
    const { inputs, outputs } = this.evaluation.plan;
    return { inputs, specs: this.evaluation.inputs, outputs };
  }

  async release(): Promise<void> {
    const { gradients, overwriting, adding, trainStep, apply, evaluation, repeated, separated } = this;
    const inSeveral = [separated.sharded, separated.trainStep, separated.apply, this.shardedGradients];
    for (const program of [gradients, overwriting, adding, trainStep, apply, evaluation, repeated, ...inSeveral])
      await program?.release();
    this.#updates?.release();
  }
}

/** What computes parts of a batch; null where they are too many for it. */
function shardsFor(models: ShardedModel | null | undefined, { shards }: ResolvedProvider): Shards | null {
  return models && shards !== null && models.count <= shards.most ? shards : null;
}

export function noEvalModel(): BackendError {
  return new BackendError("E_NO_EVAL_MODEL", "this session has no eval model", {
    hint: "Give evalModel to TrainingSession.create.",
  });
}

export const sharesNone = (): BackendError =>
  new BackendError("E_UNSUPPORTED", "this session makes no parts of updates", { field: "sharedUpdates" });

export const rateIsBuiltIn = (): BackendError =>
  new BackendError("E_UNSUPPORTED", "the step takes no learning rate: its rate is built in, or state", {
    field: "learningRate",
    hint: "Name the input that takes it where there is one: --lr-input <name> (learningRate).",
  });

/** What a session over these models can do. */
export function abilitiesOf({ gradients, trainStep, apply, state, sharer }: OrtNodePrograms): Abilities {
  if (gradients === null) {
    const setLearningRate = trainStep !== null && readPlan(trainStep, "train_step").learningRate !== null;
    return { setLearningRate, getGradients: false, keepState: true, saveCheckpoint: false, shareUpdates: false };
  }
  const plan = readPlan(gradients, "gradients");
  const update = apply === null ? null : readPlan(apply, "apply");
  const kept = keptState(plan, update);
  /** Where gradients are taken beside the parameters, or scaled, every session needs the slots that say how. */
  const looksAhead = plan.state.some(({ kind }) => kind === "slot");
  return {
    ...{ setLearningRate: true, getGradients: true, keepState: true },
    saveCheckpoint: update?.lossScale === undefined && fitsCheckpoint(state, kept),
    shareUpdates: sharer !== null && apply !== null && !looksAhead,
  };
}
