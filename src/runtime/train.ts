import { OPTIONS, requireArgument } from "../arguments.ts";
import type { TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
import { SINGLE } from "../distributed/single.ts";
import { BackendError, NumericError, requireOption } from "../errors.ts";
import { turn } from "../event-loop.ts";
import type { Dataset } from "./data/dataset.ts";
import { samplesOf } from "./data/dataset-inputs.ts";
import { readBatches } from "./data/read-batches.ts";
import type { LossScales } from "./loss-scales.ts";
import type { NamedTensors, TrainingSession } from "./session.ts";
import { A_SESSION } from "./session.ts";
import type { StepStatistics } from "./statistics/statistics.ts";
import { planTraining, type TrainingPlan, type TrainOptions } from "./training-plan.ts";
import { Alone } from "./updates/alone.ts";
import { type ExchangeReport, LOWER_RATE, type Rates, type Updater } from "./updates/update.ts";

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
  /** Where the loss is scaled by a number that the training finds: that number for the next update. */
  readonly lossScale?: number;
  /** With it: updates that were left out since the last event that has it, because a gradient was not finite. */
  readonly skipped?: number;
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

/** Comes after the step that it is of, where `statistics` asks for it. */
export interface StatisticsEvent extends StepStatistics {
  readonly type: "statistics";
  readonly step: number;
  readonly epoch: number;
}

export type TrainEvent = StepEvent | StatisticsEvent | EpochEvent;

const START: TrainPosition = { epoch: 0, batch: 0, lossSum: 0, samples: 0 };

/**
 * Trains a session on a dataset: per update the gradients of one batch (or of `accumulate` batches), and the optimizer's
 * step. Where the session does several steps per call, the batches of one size are given to it together, never past a moment
 * of saving: as many as the session says, or as many as `Pace` finds. The event loop has a turn after every call. Where there
 * are several ranks, every one of them calls this, and gets the same events.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`, `E_FEED`; NumericError `E_NOT_FINITE` where a loss is NaN or
 *   infinite, where the loss's scale has become too small, or a parameter when it is to be saved or at the end, naming the step and the first tensor that is;
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
  /** Loaded where it is needed: pages seldom do. */
  const carried = session.carried.length === 0 ? null : await import("./carried.ts");
  carried?.requireContinuation(session, { shuffle: plan.shuffle, ranks: (options.communicator ?? SINGLE).size });
  const { learningRate, save, saveEvery = Number.POSITIVE_INFINITY, pauseEvery = saveEvery } = options;
  requireOption(saveEvery >= 1, "saveEvery", "a whole number from 1 on");
  requireOption(pauseEvery >= 1, "pauseEvery", "a whole number from 1 on");
  requireOption(
    learningRate === undefined || session.can.setLearningRate,
    "learningRate",
    `given when the session is made: ${session.runtime} cannot set it later`,
  );
  let { epoch, batch, lossSum, samples } = options.from ?? START;
  let step = epoch * plan.stepsPerEpoch + Math.ceil(batch / plan.accumulate);
  const scales = await scalesOf(session, plan);
  const updater = await updaterOf(session, dataset, plan, options, session.steps - step, scales !== null);
  let saves = Math.floor(step / saveEvery);
  let saved = step;
  const keep = async (position: TrainPosition): Promise<void> => {
    await updater.whole();
    if (save === undefined) return;
    await requireFinite(session, step);
    await save(position);
    saved = step;
  };
  /** Ranks that train apart have no state in common between their meetings. */
  const rescue = async (position: TrainPosition): Promise<void> => {
    if (options.rescue === undefined || step === saved || plan.localSteps > 0) return;
    /** A session that is gone has nothing to keep. */
    const bad = await session.findNotFinite().catch(() => "the session");
    if (bad === null) await options.rescue(position);
  };
  await session.lazyResetGrad();
  for (; epoch < plan.epochs; epoch++) {
    const began = performance.now();
    if (batch === 0) await carried?.beginAgain(session);
    for await (const group of groups(dataset, epoch, batch, plan, () => updater.groupSize(step), updater.isUniform)) {
      if (await updater.stops(batch)) {
        await keep({ epoch, batch, lossSum, samples });
        return;
      }
      const start = performance.now();
      const { updates, failure } = await updater.run(group, { step, epoch, batch }).catch(async (error: unknown) => {
        if (error instanceof NumericError || error instanceof BackendError)
          await rescue({ epoch, batch, lossSum, samples });
        throw error;
      });
      const seconds = (performance.now() - start) / 1000 / updates.length;
      const scaling = await scales?.after();
      for (const [index, update] of updates.entries()) {
        step++;
        lossSum += update.loss * update.samples;
        samples += update.samples;
        const { statistics, ...told } = update;
        const isLast = index === updates.length - 1;
        yield { type: "step", step, epoch, ...told, ...(isLast ? scaling : {}), seconds };
        if (statistics !== undefined) yield { type: "statistics", step, epoch, ...statistics };
      }
      const ended = failure ?? scales?.failure(step) ?? null;
      if (ended !== null) {
        await rescue({ epoch, batch: batch + updates.length * plan.accumulate, lossSum, samples });
        throw ended;
      }
      batch += group.length;
      /** Ranks that train apart save where they have met. */
      if (Math.floor(step / saveEvery) > saves) await keep({ epoch, batch, lossSum, samples });
      saves = Math.floor(step / saveEvery);
      await turn();
    }
    await updater.whole();
    const seconds = (performance.now() - began) / 1000;
    yield { type: "epoch", epoch, steps: plan.stepsPerEpoch, loss: lossSum / samples, seconds };
    ({ batch, lossSum, samples } = START);
  }
  await requireFinite(session, step);
  if (step % saveEvery !== 0) await save?.({ ...START, epoch });
}

/** Loaded where there is a scale: pages seldom have one. */
async function scalesOf(session: TrainingSession, { localSteps }: TrainingPlan): Promise<LossScales | null> {
  const scaling = await session.lossScale();
  return scaling === null ? null : (await import("./loss-scales.ts")).LossScales.of(session, scaling, localSteps > 0);
}

/** @param offset what the session had counted before this training */
async function updaterOf(
  session: TrainingSession,
  dataset: Dataset,
  plan: TrainingPlan,
  {
    learningRate,
    signal,
    saveEvery = Number.POSITIVE_INFINITY,
    pauseEvery = Number.POSITIVE_INFINITY,
    communicator = SINGLE,
    ...options
  }: TrainOptions,
  offset: number,
  isScaled: boolean,
): Promise<Updater> {
  const rates: Rates = {
    given: learningRate ?? null,
    of: (step) => learningRate?.(step + offset) ?? session.learningRateOf(step + offset),
  };
  const { statistics: wanted } = options;
  /** Loaded where they are asked for: pages that train seldom do. */
  const statistics =
    wanted === undefined
      ? null
      : (await import("./statistics/statistics.ts")).statisticsFor(wanted, session, plan.localSteps > 0);
  if (communicator.size === 1)
    return new Alone(session, dataset, plan, { rates, saveEvery, pauseEvery, signal, statistics, isScaled });
  const training = { session, dataset, plan, communicator, rates, signal, statistics, saveEvery };
  /** Loaded where there are ranks: a page, which has none, does not ship it. */
  if (plan.localSteps > 0) {
    const { LocalSteps } = await import("./updates/local-steps.ts");
    return LocalSteps.create(training, offset);
  }
  const { DataParallel } = await import("./updates/data-parallel.ts");
  return DataParallel.create(training);
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
async function* groups(
  dataset: Dataset,
  epoch: number,
  first: number,
  plan: TrainingPlan,
  sizeOf: () => number,
  isUniform: boolean,
): AsyncGenerator<readonly NamedTensors[]> {
  let group: NamedTensors[] = [];
  for await (const feeds of readBatches(dataset, epoch, plan, first)) {
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
