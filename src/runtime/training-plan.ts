import { OPTIONS, optional, requireArgument } from "../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../artifacts/ort-artifacts.ts";
import type { TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
import { A_COMMUNICATOR, type Communicator } from "../distributed/communicator.ts";
import { SINGLE } from "../distributed/single.ts";
import { DataError, requireOption, UsageError } from "../errors.ts";
import { AUGMENTATION, type Augmentation, checkAugmentation } from "./data/augment.ts";
import { A_DATASET, type BatchOptions, batchCount, type Dataset } from "./data/dataset.ts";
import { fixedBatchSize } from "./data/dataset-inputs.ts";
import type { StatisticsOptions } from "./statistics/statistics.ts";

export interface TrainOptions {
  /** Times through the data. Default 1. */
  readonly epochs?: number;
  /** Samples per batch, of each rank. Default: what the model asks for where its batch is fixed, else 32. */
  readonly batchSize?: number;
  /** Samples per batch of all ranks together, in the place of `batchSize`: each takes its part. */
  readonly globalBatchSize?: number;
  /** The ranks that train together, as `joinRanks` gives them. Default: this process alone. */
  readonly communicator?: Communicator;
  /**
   * Updates that each rank makes with its own part of the data before the parameters of all become their mean. Default: gradients
   * are averaged for every update, as if one process trained.
   */
  readonly localSteps?: number;
  /** Whether local steps average the optimizer's moments with the parameters. Default true; else each rank keeps its own. */
  readonly averageMoments?: boolean;
  /** Default true. */
  readonly shuffle?: boolean;
  /**
   * The samples follow one another, for models that carry state from batch to batch: they are cut into as many runs as a batch has
   * samples, and each batch has the next sample of each run. Default false.
   */
  readonly sequential?: boolean;
  /** Seed of the shuffling. Default 0. */
  readonly seed?: number;
  /** Leave out a last batch that is smaller than the others. Default false. */
  readonly dropLast?: boolean;
  /** What is done to images at random, as a function of seed, epoch and sample. Default: nothing. */
  readonly augment?: Augmentation;
  /**
   * Batches whose gradients are summed for one update; the last update of an epoch may have fewer. The sum is not divided,
   * as ONNX Runtime does not. Default 1.
   */
  readonly accumulate?: number;
  /**
   * The learning rate of an update counted from 1. Default: the session's own. A session that cannot set it refuses this one.
   */
  readonly learningRate?: (step: number) => number;
  /** Ends the training after the step under way, or the call of several. */
  readonly signal?: AbortSignal;
  /** Where to go on, with the session in the state it had there. Default: at the beginning. */
  readonly from?: TrainPosition;
  /** Calls of several steps end after every so many: who gets the event of such a step finds the session as that step left it. Default: anywhere. */
  readonly pauseEvery?: number;
  /** Is called between steps, every `saveEvery` updates and at the end, with where the training stands. */
  readonly save?: (position: TrainPosition) => Promise<void>;
  /** Default: only at the end. */
  readonly saveEvery?: number;
  /**
   * Is called where a step fails, before its error is thrown, with where the training stood before that step: if it has done steps
   * since the last time it saved, and all parameters are finite. What it throws is thrown in the place of that error.
   */
  readonly rescue?: (position: TrainPosition) => Promise<void>;
  /**
   * Every so many steps an event with the norm of each gradient, and what AGR makes of it. Costs another pass forward and backward in
   * those steps, but where gradients are accumulated or averaged over ranks; losses and parameters are the same. Default: none.
   */
  readonly statistics?: StatisticsOptions;
}

export const TRAIN_DEFAULTS = {
  epochs: 1,
  batchSize: 32,
  shuffle: true,
  seed: 0,
  dropLast: false,
  accumulate: 1,
  averageMoments: true,
} as const;

/**
 * A training run worked out from its options and data, before anything is loaded. `batchSize` counts the samples of all ranks.
 */
export interface TrainingPlan extends BatchOptions {
  readonly epochs: number;
  /** Updates between two means over the ranks; 0: every update is of all ranks. */
  readonly localSteps: number;
  readonly averageMoments: boolean;
  /** Batches per update. */
  readonly accumulate: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/**
 * Fills in the defaults, takes the batch size from the model where it is fixed, and counts the steps.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`
 */
export function planTraining(inputs: readonly InputSpec[], dataset: Dataset, options: TrainOptions = {}): TrainingPlan {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("options", options, OPTIONS);
  const fixed = fixedBatchSize(inputs, dataset);
  const { epochs, shuffle, seed, dropLast, accumulate, averageMoments } = { ...TRAIN_DEFAULTS, ...options };
  const { communicator = SINGLE, globalBatchSize, localSteps } = options;
  requireArgument("communicator", communicator, A_COMMUNICATOR);
  const { rank, size: ranks } = communicator;
  requireOption(
    options.batchSize === undefined || globalBatchSize === undefined,
    "globalBatchSize",
    "given without batchSize",
  );
  const perRank = options.batchSize ?? fixed ?? TRAIN_DEFAULTS.batchSize;
  const batchSize = globalBatchSize ?? perRank * ranks;
  requireOption(Number.isSafeInteger(epochs) && epochs >= 1, "epochs", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(perRank) && perRank >= 1, "batchSize", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(batchSize) && batchSize >= 1, "globalBatchSize", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(seed), "seed", "a whole number");
  requireOption(Number.isSafeInteger(accumulate) && accumulate >= 1, "accumulate", "a whole number from 1 on");
  requireOption(
    localSteps === undefined || (Number.isSafeInteger(localSteps) && localSteps >= 1),
    "localSteps",
    "a whole number from 1 on",
  );
  if (localSteps !== undefined && accumulate > 1) {
    throw new UsageError("E_OPTION", "localSteps and accumulate cannot be given together", { field: "localSteps" });
  }
  const shard = ranks === 1 ? {} : { shard: { rank, size: ranks, unit: fixed ?? 1 } };
  const { augment } = options;
  requireArgument("augment", augment, optional(AUGMENTATION));
  if (augment !== undefined) checkAugmentation(augment);
  const { sequential = false } = options;
  requireOption(!(sequential && options.shuffle === true), "sequential", "given without shuffle");
  const runs = sequential ? { sequential } : {};
  const batching = {
    ...{ batchSize, shuffle: shuffle && !sequential, seed, dropLast, ...runs, ...shard },
    ...(augment === undefined ? {} : { augment }),
  };
  checkBatches(dataset, batching, fixed, ranks);
  const stepsPerEpoch = Math.ceil(batchCount(dataset, batching) / accumulate);
  const apart = { localSteps: ranks === 1 ? 0 : (localSteps ?? 0), averageMoments };
  return { ...batching, ...apart, epochs, accumulate, stepsPerEpoch, totalSteps: epochs * stepsPerEpoch };
}

function checkBatches(
  dataset: Dataset,
  { batchSize, dropLast }: BatchOptions,
  fixed: number | undefined,
  ranks: number,
): void {
  if (fixed !== undefined && batchSize !== fixed * ranks) {
    const each = ranks === 1 ? `not ${batchSize}` : `not ${batchSize} for ${ranks} ranks`;
    throw new DataError("E_BATCH", `the model takes batches of exactly ${fixed} samples, ${each}`, {
      hint: `Use a batch size of ${fixed}.`,
    });
  }
  if (dropLast && dataset.size < batchSize) {
    throw new DataError("E_BATCH", `${dataset.size} samples do not fill one batch of ${batchSize}`, {
      hint: "Use a smaller batch size.",
    });
  }
  const rest = fixed === undefined ? 0 : dataset.size % fixed;
  if (fixed !== undefined && rest !== 0 && !dropLast) {
    throw new DataError(
      "E_BATCH",
      `${dataset.size} samples leave a last batch of ${rest}, but the model takes exactly ${fixed}`,
      {
        hint: "Leave it out with --drop-last (dropLast), or give a multiple of the batch size.",
      },
    );
  }
}
