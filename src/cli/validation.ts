import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { newRun } from "../entries/run.ts";
import type { InputSpec } from "../entries/training.ts";
import {
  DataError,
  type Dataset,
  type Evaluation,
  evaluate,
  saveRun,
  splitDataset,
  type TrainingSession,
  type TrainPosition,
  UsageError,
} from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import { datasetOf, type InputFlags } from "./input-options.ts";
import { describeMetrics } from "./metrics.ts";
import type { Ranks } from "./ranks.ts";
import { positive, wholeNumber } from "./values.ts";

/** What ends a training before its last step, and what tells. */
export interface ValidationFlags {
  /** A share of the samples, or other data. */
  readonly validation?: number | string;
  readonly evalEvery?: number;
  readonly patience?: number;
  readonly maxSeconds?: number;
}

/** The folder of the best checkpoint, in the folder of checkpoints. */
const BEST = "best";

/** Adds --validation, --patience and --max-seconds to a command. */
export function withValidation(command: Command): Command {
  return command
    .option(
      "--validation <share|data>",
      "a share of the samples that is kept apart (0.1), or other data; evaluated after each epoch; the best state is kept in <checkpoints>/best",
      shareOrData,
    )
    .option("--eval-every <steps>", "steps between evaluations of --validation (default: an epoch)", wholeNumber(1))
    .option(
      "--patience <epochs>",
      "end when the loss of --validation has not become less for so many epochs, or evaluations of --eval-every",
      wholeNumber(1),
    )
    .option("--max-seconds <s>", "end, and save, after the step in which so many seconds are over", positive);
}

/** A share of the samples, or where other data are. */
export function shareOrData(text: string): number | string {
  if (!/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(text)) return text;
  const share = Number(text);
  if (share > 0 && share < 1) return share;
  throw new InvalidArgumentError("A share lies between 0 and 1; anything else is a file.");
}

/** The samples to train with, and those to evaluate with after each epoch; null: none. */
export async function withoutValidation(
  inputs: readonly InputSpec[],
  all: Dataset,
  options: ValidationFlags & InputFlags & { readonly seed: number },
  tell: (note: string) => void,
): Promise<{ readonly dataset: Dataset; readonly validation: Dataset | null }> {
  const { validation, patience, evalEvery, seed } = options;
  if (validation === undefined) {
    if (patience === undefined && evalEvery === undefined) return { dataset: all, validation: null };
    const name = patience === undefined ? "--eval-every" : "--patience";
    throw new UsageError("E_OPTION", `${name} needs --validation`, { hint: "Give --validation 0.1, or a file." });
  }
  if (typeof validation === "number") {
    const { training, validation: apart } = splitDataset(all, validation, seed);
    tell(`${apart.size} of ${all.size} samples are kept apart`);
    return { dataset: training, validation: apart };
  }
  const other = await datasetOf(inputs, { ...asTraining(options, all), data: validation }, () => undefined);
  if (all.classes?.join("\n") !== other.classes?.join("\n")) {
    throw new DataError("E_CLASSES", `${validation} has other classes than the data to train with`, {
      file: validation,
      hint: "Say them all: --classes <list>.",
    });
  }
  requireSameColumns(validation, all, other);
  return { dataset: all, validation: other };
}

/** With the mean and deviation of the data to train with, where these were computed. */
function asTraining<Flags extends InputFlags>(flags: Flags, { normalization }: Dataset): Flags {
  if (flags.normalize !== "computed") return flags;
  if (normalization !== undefined) return { ...flags, normalize: normalization };
  throw new UsageError(
    "E_OPTION",
    "--normalize computed has a mean for each of several inputs, and the data of --validation take one",
    { hint: "Give a share of the data: --validation 0.1." },
  );
}

/** @throws DataError `E_TABLE` where columns are others, or stand in another order: the model would take them for each other */
function requireSameColumns(validation: string, all: Dataset, other: Dataset): void {
  if (all.columns === undefined || other.columns === undefined) return;
  if (all.columns.join("\n") === other.columns.join("\n")) return;
  throw new DataError("E_TABLE", `${validation} has other columns than the data to train with, or in another order`, {
    file: validation,
    hint: `Say which, in their order: --columns ${all.columns.slice(0, 100).join(",")}.`,
  });
}

export interface ValidationTold {
  readonly type: "validation";
  readonly epoch: number;
  /** Updates done. */
  readonly step: number;
  readonly samples: number;
  readonly loss: number;
  readonly isBest: boolean;
  /** In words. */
  readonly metrics: readonly string[];
  /** By name, for machines. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Where a training stands when it is evaluated. */
export interface EvaluationMoment {
  readonly epoch: number;
  readonly step: number;
  /** Where the state that is saved goes on. */
  readonly position: TrainPosition;
}

/** Evaluates after each epoch or every so many steps, keeps the best state and says when to end. */
export class Validation {
  readonly #dataset: Dataset;
  readonly #session: TrainingSession;
  readonly #ranks: Ranks;
  readonly #batchSize: number;
  readonly #sequential: boolean;
  readonly #patience: number;
  /** Whether there are evaluations between the ends of epochs. */
  readonly #isBetween: boolean;
  readonly #saveBest: ((position: TrainPosition) => Promise<void>) | null;
  #best: { readonly epoch: number; readonly step: number; readonly loss: number } | null = null;
  /** Evaluations since the best one. */
  #since = 0;

  constructor(
    dataset: Dataset,
    session: TrainingSession,
    ranks: Ranks,
    options: {
      readonly batchSize: number;
      readonly sequential: boolean;
      readonly patience?: number | undefined;
      readonly isBetween: boolean;
    },
    saveBest: ((position: TrainPosition) => Promise<void>) | null,
  ) {
    this.#dataset = dataset;
    this.#session = session;
    this.#ranks = ranks;
    this.#batchSize = options.batchSize;
    this.#sequential = options.sequential;
    this.#patience = options.patience ?? Number.POSITIVE_INFINITY;
    this.#isBetween = options.isBetween;
    this.#saveBest = saveBest;
  }

  /** The best evaluation so far. */
  get best(): { readonly epoch: number; readonly step: number; readonly loss: number } | null {
    return this.#best;
  }

  /** @returns why the training should end; null where it should not */
  async after(
    { epoch, step, position }: EvaluationMoment,
    tell: (told: ValidationTold) => Promise<void>,
  ): Promise<string | null> {
    const { communicator, console } = this.#ranks;
    const evaluation: Evaluation = await evaluate(this.#session, this.#dataset, {
      batchSize: this.#batchSize,
      sequential: this.#sequential,
      communicator,
    });
    const { samples, loss } = evaluation;
    const isBest = this.#best === null || loss < this.#best.loss;
    this.#since = isBest ? 0 : this.#since + 1;
    if (isBest) {
      this.#best = { epoch, step, loss };
      await this.#saveBest?.(position);
    }
    const { json, parts } = describeMetrics(evaluation);
    const { confusion: _, ...values } = json;
    await tell({ type: "validation", epoch, step, samples, loss, isBest, metrics: parts, values });
    console.note(
      [
        `  validation${this.#isBetween ? ` at step ${step}` : ""}: loss ${loss.toPrecision(4)}`,
        ...parts,
        ...(isBest ? ["the best so far"] : []),
      ].join(", "),
    );
    const what = this.#isBetween ? "evaluations" : "epochs";
    return this.#since >= this.#patience ? `no better validation loss in ${this.#since} ${what}` : null;
  }
}

/** Saves the best state beside the checkpoints of the run: one, which a better one replaces. */
export async function bestSaver(
  folder: string,
  session: TrainingSession,
  identity: RunIdentity,
): Promise<(position: TrainPosition) => Promise<void>> {
  const best = join(folder, BEST);
  const run = await newRun(best);
  return async (position) => {
    const manifest = { step: session.steps, position, ...identity };
    await saveRun(best, await session.getState(), manifest, { keep: 1, run });
  };
}
