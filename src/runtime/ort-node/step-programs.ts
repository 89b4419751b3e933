import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import type { Role } from "../../artifacts/portable/plan.ts";
import type { Model } from "../../graph/model.ts";
import type { NamedTensors } from "../session.ts";
import { Program } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import { type SeparatedModels, SeparatedProgram, type Updates } from "./separated.ts";
import { type ShardedGradientModels, ShardedGradients } from "./sharded-gradients.ts";
import type { ShardedModel, Shards } from "./shards.ts";

/** What computes a batch. */
export interface StepModels {
  /** Null where all there is is a whole step. */
  readonly gradients: Model | null;
  readonly trainStep: Model | null;
  /** `gradients` for the first batch after a reset; null where it can only be told with every run. */
  readonly overwriting: Model | null;
  /** `gradients` for the batches after that one. */
  readonly adding: Model | null;
  /** `gradients` in parts of its batch; null where the training step is not in parts, or there is nothing to gain. */
  readonly shardedGradients: ShardedGradientModels | null;
  /**
   * The training step in two, to be computed in place, and the training step in parts of its batch, too; null where there is nothing to
   * gain.
   */
  readonly separated: Readonly<Record<"trainStep" | "sharded", SeparatedModels | null>>;
  /** The training step in a loop, for several steps per call; null where steps are run one by one. */
  readonly repeated: Model | null;
}

/** What computes batches of certain sizes: models that leave none of them open. */
export interface SizedModels extends StepModels {
  /** The sizes, by the names that the models have for them. */
  readonly sizes: Readonly<Record<string, number>>;
}

/** Models that compute a batch; each is loaded when it is first run. */
export class StepPrograms {
  /** Run where the other two are not there. Null where all there is is a whole step. */
  readonly gradients: Program | null;
  readonly overwriting: Program | null;
  readonly adding: Program | null;
  readonly trainStep: Program | null;
  readonly repeated: Program | null;
  readonly shardedGradients: ShardedGradients | null;
  readonly separated: Readonly<Record<"trainStep" | "sharded", SeparatedProgram | null>>;

  /**
   * @param updates null: none are computed in place
   * @param repeats whether a certain number of steps per call was asked for
   * @throws FormatError `E_PLAN`
   */
  constructor(models: StepModels, provider: ResolvedProvider, updates: Updates | null, repeats: boolean) {
    const optional = (model: Model | null, role: Role): Program | null =>
      model === null ? null : new Program(model, role, provider);
    /** State that stays on a device is not copied between calls. */
    const copies = provider.keepsAt === null;
    this.gradients = optional(models.gradients, "gradients");
    this.overwriting = optional(models.overwriting, "gradients");
    this.adding = optional(models.adding, "gradients");
    this.trainStep = optional(models.trainStep, "train_step");
    const inTwo = (separated: SeparatedModels | null): SeparatedProgram | null =>
      separated === null || updates === null ? null : new SeparatedProgram(separated, "train_step", provider, updates);
    const isFixed = repeats && models.repeated !== null;
    const { trainStep, sharded } = models.separated;
    const inParts = shardsFor(sharded?.shards, provider) === null ? null : inTwo(sharded);
    const { shardedGradients } = models;
    const shards = shardsFor(shardedGradients?.shards, provider);
    this.shardedGradients =
      shardedGradients === null || shards === null ? null : new ShardedGradients(shardedGradients, provider, shards);
    this.separated = { sharded: inParts, trainStep: isFixed && inParts === null ? null : inTwo(trainStep) };
    const isApart = inParts !== null || this.separated.trainStep !== null;
    this.repeated = !isApart && (copies || isFixed) ? optional(models.repeated, "train_step") : null;
  }

  /** Whether several steps in one call take less time than one by one. */
  get takesSeveral(): boolean {
    return this.repeated !== null || this.separated.trainStep !== null || this.separated.sharded !== null;
  }

  /** Into how many parts a training step cuts its batch. */
  get batchParts(): number {
    return this.separated.sharded?.parts ?? 1;
  }

  /** Loads what is run first. @throws BackendError `E_LOAD` */
  async load(): Promise<void> {
    await (this.overwriting ?? this.gradients ?? this.trainStep)?.load();
  }

  async release(): Promise<void> {
    const { gradients, overwriting, adding, trainStep, repeated, separated } = this;
    const inSeveral = [separated.sharded, separated.trainStep, this.shardedGradients];
    for (const program of [gradients, overwriting, adding, trainStep, repeated, ...inSeveral]) await program?.release();
  }
}

/** Models that compute batches of certain sizes. */
export class SizedPrograms extends StepPrograms {
  readonly #inputs: readonly InputSpec[];

  /** @throws FormatError `E_PLAN` */
  constructor(models: SizedModels, provider: ResolvedProvider, updates: Updates | null, repeats: boolean) {
    super(models, provider, updates, repeats);
    this.#inputs = (this.gradients ?? this.trainStep)?.inputs ?? [];
  }

  /** Whether a batch has these sizes. */
  takes(feeds: NamedTensors): boolean {
    return this.#inputs.every(({ name, shape }) =>
      (shape ?? []).every((size, axis) => typeof size !== "number" || size === feeds[name]?.dims[axis]),
    );
  }
}

/** What computes parts of a batch; null where they are too many for it. */
function shardsFor(models: ShardedModel | null | undefined, { shards }: ResolvedProvider): Shards | null {
  return models && shards !== null && models.count <= shards.most ? shards : null;
}
