import { setImmediate } from "node:timers/promises";
import { OPTIONS, requireArgument } from "../arguments.ts";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";
import { INPUT_SPECS } from "../artifacts/ort-artifacts.ts";
import type { TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
import { A_COMMUNICATOR, type Communicator } from "../distributed/communicator.ts";
import { SINGLE } from "../distributed/single.ts";
import { DataError, NumericError, requireOption, UsageError } from "../errors.ts";
import { A_DATASET, type BatchOptions, batchCount, batches, type Dataset } from "./data/dataset.ts";
import { fixedBatchSize, samplesOf } from "./data/dataset-inputs.ts";
import type { NamedTensors, TrainingSession } from "./session.ts";
import { A_SESSION } from "./session.ts";
import { Alone } from "./updates/alone.ts";
import { DataParallel } from "./updates/data-parallel.ts";
import { LocalSteps } from "./updates/local-steps.ts";
import { type ExchangeReport, LOWER_RATE, type Rates, type Updater } from "./updates/update.ts";

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
  /** Seed of the shuffling. Default 0. */
  readonly seed?: number;
  /** Leave out a last batch that is smaller than the others. Default false. */
  readonly dropLast?: boolean;
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
  /** Is called between steps, every `saveEvery` updates and at the end, with where the training stands. */
  readonly save?: (position: TrainPosition) => Promise<void>;
  /** Default: only at the end. */
  readonly saveEvery?: number;
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

export interface StepEvent {
  readonly type: "step";
  /** Counted from 1 over all epochs. */
  readonly step: number;
  /** Counted from 0. */
  readonly epoch: number;
  readonly loss: number;
  /** What the update was done with. */
  readonly learningRate: number;
  /** Wall-clock time of the step. */
  readonly seconds: number;
  /** Of all ranks. */
  readonly samples: number;
  /** Where ranks exchanged something after this step: how many bytes, and the seconds it took this rank. */
  readonly exchange?: ExchangeReport;
}

export interface EpochEvent {
  readonly type: "epoch";
  readonly epoch: number;
  readonly steps: number;
  /** Mean of the steps' losses, weighted by their samples. */
  readonly loss: number;
  readonly seconds: number;
}

export type TrainEvent = StepEvent | EpochEvent;

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
  const batching = { batchSize, shuffle, seed, dropLast, ...shard };
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

const START: TrainPosition = { epoch: 0, batch: 0, lossSum: 0, samples: 0 };

/**
 * Trains a session on a dataset: per update the gradients of one batch (or of `accumulate` batches), and the optimizer's
 * step. Where the session does several steps per call, the batches of one size are given to it together, never past a moment
 * of saving: as many as the session says, or as many as `Pace` finds. The event loop has a turn after every call. Where there
 * are several ranks, every one of them calls this, and gets the same events.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`, `E_FEED`; NumericError `E_NOT_FINITE` where a loss is NaN or
 *   infinite, or a parameter when it is to be saved or at the end, naming the step and the first tensor that is;
 *   DistributedError where the ranks cannot go on together
 */
export async function* train(
  session: TrainingSession,
  dataset: Dataset,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, void, undefined> {
  requireArgument("session", session, A_SESSION);
  requireArgument("options", options, OPTIONS);
  const plan = planTraining(session.trainingInputs, dataset, options);
  const { learningRate, save, saveEvery = Number.POSITIVE_INFINITY } = options;
  requireOption(saveEvery >= 1, "saveEvery", "a whole number from 1 on");
  requireOption(
    learningRate === undefined || session.can.setLearningRate,
    "learningRate",
    `given when the session is made: ${session.runtime} cannot set it later`,
  );
  let { epoch, batch, lossSum, samples } = options.from ?? START;
  let step = epoch * plan.stepsPerEpoch + Math.ceil(batch / plan.accumulate);
  const updater = await updaterOf(session, dataset, plan, options, session.steps - step);
  let saves = Math.floor(step / saveEvery);
  const keep = async (position: TrainPosition): Promise<void> => {
    if (save === undefined) return;
    await requireFinite(session, step);
    await save(position);
  };
  await session.lazyResetGrad();
  for (; epoch < plan.epochs; epoch++) {
    const began = performance.now();
    for (const group of groups(dataset, epoch, batch, plan, () => updater.groupSize(step), updater.isUniform)) {
      if (updater.isStopped) {
        await keep({ epoch, batch, lossSum, samples });
        return;
      }
      const start = performance.now();
      const { updates, failure } = await updater.run(group, { step, epoch, batch });
      const seconds = (performance.now() - start) / 1000 / updates.length;
      for (const update of updates) {
        step++;
        lossSum += update.loss * update.samples;
        samples += update.samples;
        yield { type: "step", step, epoch, ...update, seconds };
      }
      if (failure !== null) throw failure;
      batch += group.length;
      /** Ranks that train apart save where they have met. */
      if (Math.floor(step / saveEvery) > saves) await keep({ epoch, batch, lossSum, samples });
      saves = Math.floor(step / saveEvery);
      await setImmediate();
    }
    const seconds = (performance.now() - began) / 1000;
    yield { type: "epoch", epoch, steps: plan.stepsPerEpoch, loss: lossSum / samples, seconds };
    ({ batch, lossSum, samples } = START);
  }
  await requireFinite(session, step);
  if (step % saveEvery !== 0) await save?.({ ...START, epoch });
}

/** @param offset what the session had counted before this training */
async function updaterOf(
  session: TrainingSession,
  dataset: Dataset,
  plan: TrainingPlan,
  { learningRate, signal, saveEvery = Number.POSITIVE_INFINITY, communicator = SINGLE }: TrainOptions,
  offset: number,
): Promise<Updater> {
  const rates: Rates = {
    given: learningRate ?? null,
    of: (step) => learningRate?.(step + offset) ?? session.learningRateOf(step + offset),
  };
  if (communicator.size === 1) return new Alone(session, dataset, plan, { rates, saveEvery, signal });
  return plan.localSteps === 0
    ? DataParallel.create(session, dataset, plan, communicator, { rates, signal })
    : LocalSteps.create(session, dataset, plan, communicator, { rates, signal, offset });
}

/**
 * The loss of a step tells of the parameters before its update, so the last update is looked at before anything is kept.
 * @throws NumericError `E_NOT_FINITE`
 */
async function requireFinite(session: TrainingSession, step: number): Promise<void> {
  const bad = await session.findNotFinite();
  if (bad === null) return;
  throw new NumericError("E_NOT_FINITE", `after the update of step ${step}, ${bad}; it was not saved`, {
    hint: LOWER_RATE,
  });
}

/** The batches of one epoch in groups that are worked on together, from batch `first` on. */
function* groups(
  dataset: Dataset,
  epoch: number,
  first: number,
  plan: TrainingPlan,
  sizeOf: () => number,
  isUniform: boolean,
): Generator<readonly NamedTensors[]> {
  let group: NamedTensors[] = [];
  let index = 0;
  for (const feeds of batches(dataset, epoch, plan)) {
    if (index++ < first) continue;
    const other = group[0] !== undefined && samplesOf(dataset, group[0]) !== samplesOf(dataset, feeds);
    if (isUniform && other) {
      yield group;
      group = [];
    }
    group.push(feeds);
    if (group.length < sizeOf()) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
