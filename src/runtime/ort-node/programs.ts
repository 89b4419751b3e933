import { fitsCheckpoint } from "../../artifacts/checkpoint/training-state.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { keptState, type PlannedState, type Role, readPlan } from "../../artifacts/portable/plan.ts";
import type { PortableArtifacts } from "../../artifacts/portable/portable-artifacts.ts";
import type { TrainingState } from "../../artifacts/portable/state.ts";
import { BackendError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import type { Abilities, CarriedInput, Exporter, NamedTensors } from "../session.ts";
import { Program } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import { type SeparatedModels, SeparatedProgram, type Updates } from "./separated.ts";
import { type SizedModels, SizedPrograms, type StepModels, StepPrograms } from "./step-programs.ts";

/** Makes the part of an `apply` model that renews some parameters. Whoever has the passes gives it. */
export type Sharer = (apply: Model, parameters: ReadonlySet<string>, sessions: number) => Model;

/** What a session runs. */
export interface OrtNodePrograms extends Omit<PortableArtifacts, "gradients" | "trainStep">, StepModels {
  readonly state: TrainingState;
  /** The eval model as it is run; `evalModel` is what is exported. */
  readonly evaluation: Model | null;
  /** The optimizer's update, too, is in two: null where there is nothing to gain. */
  readonly separated: StepModels["separated"] & { readonly apply: SeparatedModels | null };
  /** What computes batches of certain sizes, where the models leave sizes open; null: nothing but they themselves. */
  readonly sized: SizedModels | null;
  readonly stepsPerCall: number | "auto";
  /** The learning rate of an update counted from 1, until another is set. */
  readonly learningRate: (step: number) => number;
  readonly exporter: Exporter;
  /** Null where updates are not shared. */
  readonly sharer: Sharer | null;
}

/** The models of a session with their plans; each is loaded when it is first run. */
export class Programs {
  /** What computes batches of any size that the models take. */
  readonly general: StepPrograms;
  readonly #sized: SizedPrograms | null;
  readonly apply: Program | null;
  readonly evaluation: Program | null;
  readonly separatedApply: SeparatedProgram | null;
  readonly #updates: Updates | null;
  readonly #exported: Model | null;
  /** What says which inputs and outputs and which state there are: the gradients, or the whole step. */
  readonly first: Program;

  /** @throws FormatError `E_PLAN` */
  constructor(models: OrtNodePrograms, provider: ResolvedProvider) {
    const optional = (model: Model | null, role: Role): Program | null =>
      model === null ? null : new Program(model, role, provider);
    this.apply = optional(models.apply, "apply");
    this.evaluation = optional(models.evaluation, "eval");
    this.#exported = models.evalModel;
    const updates = provider.createUpdates?.() ?? null;
    this.#updates = updates;
    const isFixed = models.stepsPerCall !== "auto";
    const { apply } = models.separated;
    this.separatedApply =
      apply === null || updates === null ? null : new SeparatedProgram(apply, "apply", provider, updates);
    this.general = new StepPrograms(models, provider, updates, isFixed);
    this.#sized = models.sized === null ? null : new SizedPrograms(models.sized, provider, updates, isFixed);
    const first = this.general.gradients ?? this.general.trainStep;
    if (first === null) throw new RangeError("a session needs a gradients model or a whole step");
    this.first = first;
  }

  /** What computes a batch: which it is depends on the sizes of the batch, and on nothing that came before. */
  stepsFor(feeds: NamedTensors): StepPrograms {
    return this.#sized?.takes(feeds) === true ? this.#sized : this.general;
  }

  /** What most batches are computed by. */
  get usual(): StepPrograms {
    return this.#sized ?? this.general;
  }

  /** Everything that a checkpoint of a training keeps. */
  get keptState(): readonly PlannedState[] {
    return keptState(this.first.plan, this.apply?.plan ?? null);
  }

  /** Parameter and the state that holds its gradient; none of a whole step. */
  get accumulators(): readonly (readonly [parameter: string, accumulator: string])[] {
    return this.general.gradients?.plan.gradients ?? [];
  }

  /** @throws BackendError `E_UNSUPPORTED` of a whole step */
  requireGradients(method: string): Program {
    const { gradients } = this.general;
    if (gradients !== null) return gradients;
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
    for (const program of [this.general, this.#sized, this.apply, this.evaluation, this.separatedApply])
      await program?.release();
    this.#updates?.release();
  }
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
