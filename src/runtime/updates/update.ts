import type { ExchangeTimes } from "../../distributed/exchange.ts";
import { NumericError } from "../../errors.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import type { StepStatistics } from "../statistics/statistics.ts";

/** What ranks have exchanged for one update, or for several. */
export interface ExchangeReport extends ExchangeTimes {
  readonly bytes: number;
}

export interface Update {
  readonly loss: number;
  readonly learningRate: number;
  /** Of all ranks. */
  readonly samples: number;
  readonly exchange?: ExchangeReport;
  /** Where they are asked for, of the gradients of this update. */
  readonly statistics?: StepStatistics;
}

/** Updates that were kept, and why the one after them was not. */
export interface Outcome {
  readonly updates: readonly Update[];
  readonly failure: NumericError | null;
}

/** Where a group of batches stands. */
export interface Moment {
  /** Updates done before. */
  readonly step: number;
  readonly epoch: number;
  /** Number of the group's first batch in its epoch, from 0 on. */
  readonly batch: number;
}

/** Makes updates of groups of batches. */
export interface Updater {
  /** Whether a group has batches of one size alone. */
  readonly isUniform: boolean;
  /** Batches of the next group, where there are so many. @param step updates done */
  groupSize(step: number): number;
  run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome>;
  /**
   * Whether the training is to end here. All ranks call it, and are told the same.
   * @param batch number of the next batch in its epoch: before the first, ranks ask each other, as what came after the last epoch may
   *   have ended the training; later the sums of the update before have told
   */
  stops(batch: number): Promise<boolean>;
  /** Brings together what is spread over ranks, before the state is asked for. All ranks call it. */
  whole(): Promise<void>;
}

/** How updates get their learning rates. */
export interface Rates {
  /** Null: the session's own. */
  readonly given: ((step: number) => number) | null;
  /** The rate of an update of this training, counted from 1. */
  readonly of: (step: number) => number;
}

export const LOWER_RATE = "Lower the learning rate, or look for NaN and extreme values in the data.";

/** Why the update after `step` updates was not done. @param where in words, where that has to be said */
export function notFinite(loss: number, { step, epoch }: Moment, why: string, field: string): NumericError {
  return new NumericError(
    "E_NOT_FINITE",
    `the loss is ${loss} at step ${step + 1} (epoch ${epoch}); the parameters were not updated with it${why}`,
    { field, hint: LOWER_RATE },
  );
}

/** What of the state, the batch and its gradients is not finite, as the end of a sentence. */
export async function firstBad(session: TrainingSession, feeds: NamedTensors): Promise<string> {
  const bad = await session.findNotFinite(feeds);
  return bad === null ? "; the parameters and the batch are finite" : `; ${bad}`;
}

export const lossNameOf = (session: TrainingSession): string => session.trainingOutputNames[0] ?? "loss";
