import { DataError, NumericError, UsageError } from "../errors.ts";
import { type BatchOptions, batchCount, batches, type Dataset } from "./data/dataset.ts";
import type { TrainingSession } from "./session.ts";

export interface TrainOptions {
  /** Times through the data. Default 1. */
  readonly epochs?: number;
  /** Samples per step. Default: what the model asks for where its batch is fixed, else 32. */
  readonly batchSize?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Seed of the shuffling. Default 0. */
  readonly seed?: number;
  /** Leave out a last batch that is smaller than the others. Default false. */
  readonly dropLast?: boolean;
  /** The learning rate of a step counted from 1, to be reported with it. Default: 0.001, what the training API uses. */
  readonly learningRate?: (step: number) => number;
  /** Ends the training after the step under way. */
  readonly signal?: AbortSignal;
}

export const TRAIN_DEFAULTS = { epochs: 1, batchSize: 32, shuffle: true, seed: 0, dropLast: false } as const;

/** The rate ONNX Runtime's training API feeds where nothing sets another. */
export const DEFAULT_LEARNING_RATE = 0.001;

export interface StepEvent {
  readonly type: "step";
  /** Counted from 1 over all epochs. */
  readonly step: number;
  /** Counted from 0. */
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  /** Wall-clock time of the step. */
  readonly seconds: number;
  readonly samples: number;
  readonly totalSteps: number;
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
 * Trains a session on a dataset: per batch one train step, one optimizer step, and the gradients reset.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`, `E_FEED`; NumericError `E_NOT_FINITE` where the loss is NaN or
 *   infinite, naming the step.
 */
export async function* train(
  session: TrainingSession,
  dataset: Dataset,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, void, undefined> {
  const settings = settingsFor(session, dataset, options);
  const { epochs, learningRate, signal } = settings;
  const perEpoch = batchCount(dataset, settings);
  const [lossName = ""] = session.trainingOutputNames;
  await session.lazyResetGrad();
  let step = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const began = performance.now();
    let sum = 0;
    let seen = 0;
    for (const feeds of batches(dataset, epoch, settings)) {
      if (signal?.aborted) return;
      const start = performance.now();
      const { [lossName]: output } = await session.runTrainStep(feeds, [lossName]);
      const loss = Number(output?.data[0]);
      step++;
      if (!Number.isFinite(loss)) {
        throw new NumericError(
          "E_NOT_FINITE",
          `the loss is ${loss} at step ${step} (epoch ${epoch}); the parameters were not updated with it`,
          {
            field: lossName,
            hint: "Lower the learning rate, or look for NaN and extreme values in the data.",
          },
        );
      }
      await session.runOptimizerStep();
      await session.lazyResetGrad();
      const samples = Object.values(feeds)[0]?.dims[0] ?? 0;
      sum += loss * samples;
      seen += samples;
      const seconds = (performance.now() - start) / 1000;
      yield {
        type: "step",
        step,
        epoch,
        loss,
        learningRate: learningRate(step),
        seconds,
        samples,
        totalSteps: epochs * perEpoch,
      };
    }
    yield { type: "epoch", epoch, steps: perEpoch, loss: sum / seen, seconds: (performance.now() - began) / 1000 };
  }
}

function settingsFor(session: TrainingSession, dataset: Dataset, options: TrainOptions) {
  const fixed = session.trainingInputs.map(({ shape }) => shape?.[0]).find((dim) => typeof dim === "number");
  const { learningRate = () => DEFAULT_LEARNING_RATE, signal } = options;
  const settings = {
    ...TRAIN_DEFAULTS,
    ...(fixed === undefined ? {} : { batchSize: fixed }),
    ...options,
    learningRate,
    signal,
  };
  const whole = (name: "epochs" | "batchSize", least: number): void => {
    if (Number.isSafeInteger(settings[name]) && settings[name] >= least) return;
    throw new UsageError("E_OPTION", `${name} must be a whole number from ${least} on`, { field: name });
  };
  whole("epochs", 1);
  whole("batchSize", 1);
  if (!Number.isSafeInteger(settings.seed))
    throw new UsageError("E_OPTION", "seed must be a whole number", { field: "seed" });
  checkBatches(dataset, settings, fixed);
  return settings;
}

function checkBatches(dataset: Dataset, { batchSize, dropLast }: BatchOptions, fixed: number | undefined): void {
  if (fixed !== undefined && batchSize !== fixed) {
    throw new DataError("E_BATCH", `the model takes batches of exactly ${fixed} samples, not ${batchSize}`, {
      hint: `Use a batch size of ${fixed}.`,
    });
  }
  const rest = dataset.size % batchSize;
  if (dropLast && dataset.size < batchSize) {
    throw new DataError("E_BATCH", `${dataset.size} samples do not fill one batch of ${batchSize}`, {
      hint: "Use a smaller batch size.",
    });
  }
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
