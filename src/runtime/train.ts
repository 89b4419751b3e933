import { setImmediate } from "node:timers/promises";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";
import { DataError, NumericError, requireOption } from "../errors.ts";
import { type BatchOptions, batchCount, batches, type Dataset } from "./data/dataset.ts";
import type { NamedTensors, TrainingSession } from "./session.ts";

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
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/**
 * Fills in the defaults, takes the batch size from the model where it is fixed, and counts the steps.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`
 */
export function planTraining(inputs: readonly InputSpec[], dataset: Dataset, options: TrainOptions = {}): TrainingPlan {
  const fixed = inputs.map(({ shape }) => shape?.[0]).find((dim) => typeof dim === "number");
  const { epochs, shuffle, seed, dropLast } = { ...TRAIN_DEFAULTS, ...options };
  const batchSize = options.batchSize ?? fixed ?? TRAIN_DEFAULTS.batchSize;
  requireOption(Number.isSafeInteger(epochs) && epochs >= 1, "epochs", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(batchSize) && batchSize >= 1, "batchSize", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(seed), "seed", "a whole number");
  const batching = { batchSize, shuffle, seed, dropLast };
  checkBatches(dataset, batching, fixed);
  const stepsPerEpoch = batchCount(dataset, batching);
  return { ...batching, epochs, stepsPerEpoch, totalSteps: epochs * stepsPerEpoch };
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

/**
 * Trains a session on a dataset: per batch one train step, one optimizer step, and the gradients reset. The event loop has
 * a turn after every step.
 * @throws UsageError `E_OPTION`; DataError `E_BATCH`, `E_FEED`; NumericError `E_NOT_FINITE` where the loss is NaN or
 *   infinite, naming the step.
 */
export async function* train(
  session: TrainingSession,
  dataset: Dataset,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, void, undefined> {
  const plan = planTraining(session.trainingInputs, dataset, options);
  const { learningRate = () => DEFAULT_LEARNING_RATE, signal } = options;
  await session.lazyResetGrad();
  let step = 0;
  for (let epoch = 0; epoch < plan.epochs; epoch++) {
    const began = performance.now();
    let sum = 0;
    let seen = 0;
    for (const feeds of batches(dataset, epoch, plan)) {
      if (signal?.aborted) return;
      const start = performance.now();
      step++;
      const loss = await updateOnce(session, feeds, `step ${step} (epoch ${epoch})`);
      const samples = Object.values(feeds)[0]?.dims[0] ?? 0;
      sum += loss * samples;
      seen += samples;
      const seconds = (performance.now() - start) / 1000;
      yield { type: "step", step, epoch, loss, learningRate: learningRate(step), seconds, samples };
      await setImmediate();
    }
    const seconds = (performance.now() - began) / 1000;
    yield { type: "epoch", epoch, steps: plan.stepsPerEpoch, loss: sum / seen, seconds };
  }
}

/** @returns the loss before the update */
async function updateOnce(session: TrainingSession, feeds: NamedTensors, when: string): Promise<number> {
  const [lossName = ""] = session.trainingOutputNames;
  const outputs = await session.runTrainStep(feeds, [lossName]);
  const loss = Number(outputs[lossName]?.data[0]);
  if (!Number.isFinite(loss)) {
    throw new NumericError("E_NOT_FINITE", `the loss is ${loss} at ${when}; the parameters were not updated with it`, {
      field: lossName,
      hint: "Lower the learning rate, or look for NaN and extreme values in the data.",
    });
  }
  await session.runOptimizerStep();
  await session.lazyResetGrad();
  return loss;
}
