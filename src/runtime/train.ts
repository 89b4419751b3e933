import { setImmediate } from "node:timers/promises";
import { OPTIONS, requireArgument } from "../arguments.ts";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";
import { INPUT_SPECS } from "../artifacts/ort-artifacts.ts";
import type { TrainPosition } from "../artifacts/run-checkpoint/manifest.ts";
import { DataError, NumericError, requireOption } from "../errors.ts";
import { A_DATASET, type BatchOptions, batchCount, batches, type Dataset } from "./data/dataset.ts";
import { fixedBatchSize, samplesOf } from "./data/dataset-inputs.ts";
import { Pace } from "./pace.ts";
import type { NamedTensors, TrainingSession } from "./session.ts";
import { A_SESSION } from "./session.ts";

export interface TrainOptions {
  /** Times through the data. Default 1. */
  readonly epochs?: number;
  /** Samples per batch. Default: what the model asks for where its batch is fixed, else 32. */
  readonly batchSize?: number;
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
  readonly samples: number;
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

/** A training run worked out from its options and data, before anything is loaded. */
export interface TrainingPlan extends BatchOptions {
  readonly epochs: number;
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
  const { epochs, shuffle, seed, dropLast, accumulate } = { ...TRAIN_DEFAULTS, ...options };
  const batchSize = options.batchSize ?? fixed ?? TRAIN_DEFAULTS.batchSize;
  requireOption(Number.isSafeInteger(epochs) && epochs >= 1, "epochs", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(batchSize) && batchSize >= 1, "batchSize", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(seed), "seed", "a whole number");
  requireOption(Number.isSafeInteger(accumulate) && accumulate >= 1, "accumulate", "a whole number from 1 on");
  const batching = { batchSize, shuffle, seed, dropLast };
  checkBatches(dataset, batching, fixed);
  const stepsPerEpoch = Math.ceil(batchCount(dataset, batching) / accumulate);
  return { ...batching, epochs, accumulate, stepsPerEpoch, totalSteps: epochs * stepsPerEpoch };
}

function checkBatches(dataset: Dataset, { batchSize, dropLast }: BatchOptions, fixed: number | undefined): void {
  if (fixed !== undefined && batchSize !== fixed) {
    throw new DataError("E_BATCH", `the model takes batches of exactly ${fixed} samples, not ${batchSize}`, {
      hint: `Use a batch size of ${fixed}.`,
    });
  }
  if (dropLast && dataset.size < batchSize) {
    throw new DataError("E_BATCH", `${dataset.size} samples do not fill one batch of ${batchSize}`, {
      hint: "Use a smaller batch size.",
    });
  }
  const rest = dataset.size % batchSize;
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
 * of saving: as many as the session says, or as many as `Pace` finds. The event loop has a turn after every call.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`, `E_FEED`; NumericError `E_NOT_FINITE` where a loss is NaN or
 *   infinite, or a parameter when it is to be saved or at the end, naming the step and the first tensor that is
 */
export async function* train(
  session: TrainingSession,
  dataset: Dataset,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, void, undefined> {
  requireArgument("session", session, A_SESSION);
  requireArgument("options", options, OPTIONS);
  const plan = planTraining(session.trainingInputs, dataset, options);
  const { learningRate, signal, save, saveEvery = Number.POSITIVE_INFINITY } = options;
  requireOption(saveEvery >= 1, "saveEvery", "a whole number from 1 on");
  requireOption(
    learningRate === undefined || session.can.setLearningRate,
    "learningRate",
    `given when the session is made: ${session.runtime} cannot set it later`,
  );
  const pace = new Pace(plan.accumulate > 1 ? 1 : session.stepsPerCall);
  const trainer = new Trainer(session, dataset, plan, learningRate ?? null);
  let { epoch, batch, lossSum, samples } = options.from ?? START;
  let step = epoch * plan.stepsPerEpoch + Math.ceil(batch / plan.accumulate);
  const offset = session.steps - step;
  const keep = async (position: TrainPosition): Promise<void> => {
    if (save === undefined) return;
    await requireFinite(session, step);
    await save(position);
  };
  await session.lazyResetGrad();
  for (; epoch < plan.epochs; epoch++) {
    const began = performance.now();
    for (const group of groups(dataset, epoch, batch, plan, () =>
      plan.accumulate > 1 ? plan.accumulate : Math.min(pace.steps, saveEvery - (step % saveEvery)),
    )) {
      if (signal?.aborted) {
        await keep({ epoch, batch, lossSum, samples });
        return;
      }
      const start = performance.now();
      const { updates, failure } = await trainer.run(group, { step, epoch, offset });
      const elapsed = (performance.now() - start) / 1000;
      const seconds = elapsed / updates.length;
      pace.ran(updates.length, elapsed, plan.totalSteps - step - updates.length);
      for (const update of updates) {
        step++;
        lossSum += update.loss * update.samples;
        samples += update.samples;
        yield { type: "step", step, epoch, ...update, seconds };
      }
      if (failure !== null) throw failure;
      batch += group.length;
      if (step % saveEvery === 0) await keep({ epoch, batch, lossSum, samples });
      await setImmediate();
    }
    const seconds = (performance.now() - began) / 1000;
    yield { type: "epoch", epoch, steps: plan.stepsPerEpoch, loss: lossSum / samples, seconds };
    ({ batch, lossSum, samples } = START);
  }
  await requireFinite(session, step);
  if (step % saveEvery !== 0) await save?.({ ...START, epoch });
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

const LOWER_RATE = "Lower the learning rate, or look for NaN and extreme values in the data.";

/** The batches of one epoch in groups that go to the session together, from batch `first` on. */
function* groups(
  dataset: Dataset,
  epoch: number,
  first: number,
  plan: TrainingPlan,
  sizeOf: () => number,
): Generator<readonly NamedTensors[]> {
  let group: NamedTensors[] = [];
  let index = 0;
  for (const feeds of batches(dataset, epoch, plan)) {
    if (index++ < first) continue;
    const other = group[0] !== undefined && samplesOf(dataset, group[0]) !== samplesOf(dataset, feeds);
    if (plan.accumulate === 1 && other) {
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

interface Update {
  readonly loss: number;
  readonly learningRate: number;
  readonly samples: number;
}

/** Updates that were kept, and why the one after them was not. */
interface Outcome {
  readonly updates: readonly Update[];
  readonly failure: NumericError | null;
}

interface Moment {
  /** Updates done before. */
  readonly step: number;
  readonly epoch: number;
  /** What the session had counted when this training began. */
  readonly offset: number;
}

/** Runs groups of batches: as one update where gradients are accumulated, else as one update each. */
class Trainer {
  readonly #session: TrainingSession;
  readonly #dataset: Dataset;
  readonly #plan: TrainingPlan;
  readonly #rate: ((step: number) => number) | null;

  constructor(session: TrainingSession, dataset: Dataset, plan: TrainingPlan, rate: ((step: number) => number) | null) {
    this.#session = session;
    this.#dataset = dataset;
    this.#plan = plan;
    this.#rate = rate;
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    if (this.#plan.accumulate === 1) return this.#steps(group, moment);
    return { updates: [await this.#accumulate(group, moment)], failure: null };
  }

  async #steps(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const rate = this.#rate;
    const used = group.map((_, index) => this.#rateOf(moment.step + moment.offset + index + 1));
    const losses = await this.#session.trainSteps(group, rate === null ? undefined : used);
    const bad = losses.findIndex((loss) => !Number.isFinite(loss));
    const updates = group.slice(0, bad < 0 ? group.length : bad).map((feeds, index) => ({
      loss: losses[index] ?? Number.NaN,
      learningRate: used[index] ?? Number.NaN,
      samples: samplesOf(this.#dataset, feeds),
    }));
    if (bad < 0) return { updates, failure: null };
    /** No step of the call was kept: those before the bad one are done again, so that it makes no difference how many a call has. */
    if (bad > 0) await this.#session.trainSteps(group.slice(0, bad), rate === null ? undefined : used.slice(0, bad));
    const at = { ...moment, step: moment.step + bad };
    return { updates, failure: await this.#notFinite(losses[bad] ?? Number.NaN, group[bad] ?? {}, at) };
  }

  async #accumulate(group: readonly NamedTensors[], moment: Moment): Promise<Update> {
    const [lossName = ""] = this.#session.trainingOutputNames;
    let sum = 0;
    let samples = 0;
    for (const feeds of group) {
      const outputs = await this.#session.runTrainStep(feeds, [lossName]);
      const loss = Number(outputs[lossName]?.data[0]);
      if (!Number.isFinite(loss)) throw await this.#notFinite(loss, feeds, moment);
      sum += loss * samplesOf(this.#dataset, feeds);
      samples += samplesOf(this.#dataset, feeds);
    }
    const learningRate = this.#rateOf(moment.step + moment.offset + 1);
    if (this.#rate !== null) await this.#session.setLearningRate(learningRate);
    await this.#session.runOptimizerStep();
    await this.#session.lazyResetGrad();
    return { loss: sum / samples, learningRate, samples };
  }

  #rateOf(step: number): number {
    return this.#rate?.(step) ?? this.#session.learningRateOf(step);
  }

  async #notFinite(loss: number, feeds: NamedTensors, { step, epoch }: Moment): Promise<NumericError> {
    const bad = await this.#session.findNotFinite(feeds);
    const first = bad === null ? "; the parameters and the batch are finite" : `; ${bad}`;
    return new NumericError(
      "E_NOT_FINITE",
      `the loss is ${loss} at step ${step + 1} (epoch ${epoch}); the parameters were not updated with it${first}`,
      {
        field: this.#session.trainingOutputNames[0] ?? "loss",
        hint: LOWER_RATE,
      },
    );
  }
}
