import {
  type Kind,
  listOf,
  NUMBER,
  OPTIONS,
  oneOf,
  optional,
  PATH,
  requireArgument,
  TEXT,
  withFields,
} from "../arguments.ts";
import type { BuildOptions } from "../build-artifacts.ts";
import { requireOption } from "../errors.ts";
import type { TrainOptions } from "../runtime/training-plan.ts";
import type { TrainingSessionOptions } from "../training-session.ts";
import { type ComparedMetric, METRIC_NAMES } from "./metrics.ts";

/** One of the option sets that are compared. */
export interface Arm {
  /** How it is called in what is told; each has its own. */
  readonly name: string;
  readonly build: Omit<BuildOptions, "targets">;
  readonly session?: Pick<
    TrainingSessionOptions,
    "learningRate" | "threads" | "executionProviders" | "stepsPerCall" | "isolation"
  >;
  readonly train?: Pick<TrainOptions, "epochs" | "batchSize" | "shuffle" | "dropLast" | "accumulate">;
}

/** Two arms, of which the first is judged by the second. */
export interface Contrast {
  readonly arm: string;
  readonly against: string;
}

export const INITIAL_WEIGHTS = ["given", "shuffled"] as const;

export interface CompareOptions {
  readonly arms: readonly Arm[];
  /** One run of each arm per seed. A seed decides the order of samples, and the initial weights where they are drawn. Default 1 to 5. */
  readonly seeds?: readonly number[];
  /**
   * `given`: every run begins with the model's weights; those of `head` and `initialize` have the seed added to `initSeed`.
   * `shuffled`: per seed, the numbers of every trained tensor in another order, the same in all arms: weights that were drawn
   * independently stay drawn from the same distribution. Not for trained weights. Default `given`.
   */
  readonly weights?: (typeof INITIAL_WEIGHTS)[number];
  /** What the verdict, the target and the sweep go by. Default: accuracy where there are classes, else the loss. */
  readonly metric?: ComparedMetric;
  /** The value of `metric` whose time is taken. Default: what the arm that is compared with has at its end, seed by seed. */
  readonly target?: number;
  /** Steps between two evaluations. Default: an epoch. There is one at the end in any case. */
  readonly evaluateEvery?: number;
  /** Samples per batch of evaluations. Default: as `evaluate` has it. */
  readonly evaluationBatchSize?: number;
  /** Of the intervals. Default 0.95. */
  readonly confidence?: number;
  /** Learning rates of which each arm is given the one that is best for it, with seeds that are not compared. Default: none are tried. */
  readonly rates?: readonly number[];
  /** Runs per rate. Default 1. */
  readonly sweepSeeds?: number;
  /** Which arms are set against which. Default: all the others against the first. */
  readonly contrasts?: readonly Contrast[];
  /** Where runs are kept that are done, and found again. Default: nowhere. */
  readonly folder?: string;
  /** What else must be the same for a run to be taken from the folder: a version, say. Default: nothing. */
  readonly versions?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const NUMBERS = listOf(NUMBER, "numbers");

const ARM = withFields(
  {
    name: TEXT,
    build: { what: "options", holds: (given) => OPTIONS.holds(given) && Object.hasOwn(given as object, "loss") },
    session: optional(OPTIONS),
    train: optional(OPTIONS),
  },
  "an arm",
);

const CONTRAST = withFields({ arm: TEXT, against: TEXT }, "a contrast");

export const COMPARE_OPTIONS: Kind = withFields(
  {
    arms: listOf(ARM, "arms"),
    seeds: optional(NUMBERS),
    weights: optional(oneOf(...INITIAL_WEIGHTS)),
    metric: optional(oneOf(...METRIC_NAMES)),
    target: optional(NUMBER),
    evaluateEvery: optional(NUMBER),
    evaluationBatchSize: optional(NUMBER),
    confidence: optional(NUMBER),
    rates: optional(NUMBERS),
    sweepSeeds: optional(NUMBER),
    contrasts: optional(listOf(CONTRAST, "contrasts")),
    folder: optional(PATH),
    versions: optional(OPTIONS),
  },
  "options with arms: [{ name, build: { loss: { kind } } }, ...]",
);

export interface CompletedOptions
  extends Required<
    Pick<
      CompareOptions,
      "arms" | "seeds" | "weights" | "confidence" | "rates" | "sweepSeeds" | "contrasts" | "versions"
    >
  > {
  readonly metric: ComparedMetric | null;
  readonly target: number | null;
  readonly evaluateEvery: number | null;
  readonly evaluationBatchSize: number | null;
  readonly folder: string | null;
  readonly signal: AbortSignal | null;
}

/** @throws UsageError `E_ARGUMENT`, `E_OPTION` */
export function completed(options: CompareOptions): CompletedOptions {
  requireArgument("options", options, COMPARE_OPTIONS);
  const { arms, seeds = [1, 2, 3, 4, 5], rates = [], sweepSeeds = 1, confidence = 0.95 } = options;
  const [first, ...others] = arms.map(({ name }) => name);
  const contrasts = options.contrasts ?? others.map((arm) => ({ arm, against: first ?? "" }));
  requireOption(first !== undefined, "arms", "at least one");
  requireOption(new Set(arms.map(({ name }) => name)).size === arms.length, "arms", "of different names");
  requireOption(isWholeList(seeds), "seeds", "different whole numbers from 0 on");
  requireOption(
    rates.every((rate) => rate > 0),
    "rates",
    "above 0",
  );
  requireOption(new Set(rates).size === rates.length, "rates", "different numbers");
  requireOption(isCount(sweepSeeds), "sweepSeeds", "a whole number from 1 on");
  requireOption(confidence > 0 && confidence < 1, "confidence", "between 0 and 1");
  const { evaluateEvery = null, evaluationBatchSize = null } = options;
  requireOption(evaluateEvery === null || isCount(evaluateEvery), "evaluateEvery", "a whole number from 1 on");
  for (const { arm, against } of contrasts)
    for (const name of [arm, against])
      requireOption(
        arms.some((each) => each.name === name),
        "contrasts",
        `of the names of arms, and "${name}" is none`,
      );
  const { weights = "given", metric = null, target = null, folder = null, versions = {}, signal = null } = options;
  return {
    ...{ arms, seeds, weights, confidence, rates, sweepSeeds, contrasts, versions },
    ...{ metric, target, evaluateEvery, evaluationBatchSize, folder, signal },
  };
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;

const isWholeList = (values: readonly number[]): boolean =>
  values.length > 0 &&
  new Set(values).size === values.length &&
  values.every((value) => Number.isSafeInteger(value) && value >= 0);
