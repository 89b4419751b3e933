import { OPTIONS, requireArgument } from "../arguments.ts";
import { NumericError, requireOption } from "../errors.ts";
import type { Dataset } from "./data/dataset.ts";
import type { TrainingSession } from "./session.ts";
import { A_SESSION } from "./session.ts";
import { train } from "./train.ts";
import { planTraining, type TrainOptions } from "./training-plan.ts";

export interface FindLearningRateOptions
  extends Pick<TrainOptions, "batchSize" | "shuffle" | "seed" | "dropLast" | "accumulate" | "signal"> {
  /** The rate of the first step. Default 1e-7. */
  readonly from?: number;
  /** The rate of the last step. Default 10. */
  readonly to?: number;
  /** Steps from the one to the other, each with a rate that is higher by the same factor. Default 100. */
  readonly steps?: number;
}

export const FIND_LEARNING_RATE_DEFAULTS = { from: 1e-7, to: 10, steps: 100 } as const;

/** One step with a rate of its own. */
export interface LearningRateTrial {
  readonly type: "trial";
  /** Counted from 1. */
  readonly step: number;
  readonly learningRate: number;
  readonly loss: number;
  /** Mean of the losses up to here, those before count less and less. */
  readonly smoothedLoss: number;
}

/** What the trials come to. */
export interface LearningRateChoice {
  readonly type: "choice";
  /** Null where no rate made the loss fall. */
  readonly learningRate: number | null;
  /** Where the smoothed loss fell fastest. */
  readonly steepest: number | null;
  /** Where the smoothed loss was least. */
  readonly least: number | null;
  /** Where the trials ended because the loss grew, or was no number; null where they came to their last rate. */
  readonly diverged: number | null;
  /** In words. */
  readonly reason: string;
}

/** The smoothed loss is mostly of the last ten steps. */
const SMOOTHING = 0.9;
/** The trials end where the smoothed loss is so many times the least one, counted from the least possible. */
const GROWTH = 4;
/** So many steps say nothing of growth yet. */
const FIRST_STEPS = 10;
/** A loss that falls by less is noise. */
const FALL = 0.02;

/**
 * Trains with a learning rate that goes up from step to step, and says which one it would choose: a tenth of that at which the
 * loss is least, or where it fell fastest, if that is lower. The session's state is afterwards what it was.
 * @throws UsageError `E_OPTION`; what `train` throws, but for losses that are not finite, which end the trials
 */
export async function* findLearningRate(
  session: TrainingSession,
  dataset: Dataset,
  options: FindLearningRateOptions = {},
): AsyncGenerator<LearningRateTrial | LearningRateChoice, void, undefined> {
  requireArgument("session", session, A_SESSION);
  requireArgument("options", options, OPTIONS);
  const { from, to, steps, ...training } = { ...FIND_LEARNING_RATE_DEFAULTS, ...options };
  requireOption(Number.isFinite(from) && from > 0, "from", "a number above 0");
  requireOption(Number.isFinite(to) && to > from, "to", "a number above from");
  requireOption(Number.isSafeInteger(steps) && steps > FIRST_STEPS, "steps", `a whole number above ${FIRST_STEPS}`);
  requireOption(
    session.can.setLearningRate && session.can.keepState,
    "session",
    "one that sets the learning rate and keeps its state: of ort-node, and of a step that takes a rate",
  );
  const { stepsPerEpoch } = planTraining(session.trainingInputs, dataset, training);
  const state = await session.getState();
  const before = session.steps;
  const trials: LearningRateTrial[] = [];
  const rateOf = (step: number): number => from * (to / from) ** ((step - 1) / (steps - 1));
  const epochs = Math.ceil(steps / stepsPerEpoch);
  try {
    const learningRate = (step: number): number => rateOf(step - before);
    let diverged: number | null = null;
    try {
      for await (const event of train(session, dataset, { ...training, epochs, learningRate })) {
        if (event.type !== "step") continue;
        const { step, loss } = event;
        const trial = {
          type: "trial",
          step,
          learningRate: rateOf(step),
          loss,
          smoothedLoss: next(trials, loss),
        } as const;
        trials.push(trial);
        yield trial;
        if (hasGrown(trials)) diverged = trial.learningRate;
        if (diverged !== null || step === steps) break;
      }
    } catch (error) {
      if (!(error instanceof NumericError)) throw error;
      diverged = rateOf(trials.length + 1);
    }
    yield choose(trials, diverged);
  } finally {
    await session.loadState(state);
  }
}

/** The next smoothed loss: a mean with weights that fall, whose sum is one from the first step on. */
function next(trials: readonly LearningRateTrial[], loss: number): number {
  const last = trials.at(-1);
  if (last === undefined) return loss;
  const weight = (count: number): number => 1 - SMOOTHING ** count;
  const sum = last.smoothedLoss * weight(trials.length);
  return (SMOOTHING * sum + (1 - SMOOTHING) * loss) / weight(trials.length + 1);
}

function hasGrown(trials: readonly LearningRateTrial[]): boolean {
  const last = trials.at(-1);
  if (last === undefined || trials.length < FIRST_STEPS) return false;
  const losses = trials.map(({ smoothedLoss }) => smoothedLoss);
  const [first = 0, least] = [losses[0], Math.min(...losses)];
  /** Losses may be below zero: what counts is how far it has grown beyond what it was at first. */
  return (
    last.smoothedLoss > first && last.smoothedLoss - least > (GROWTH - 1) * Math.max(Math.abs(least), first - least)
  );
}

const text = (rate: number): string =>
  Number(rate.toPrecision(2)).toExponential().replace("e+0", "").replace("e+", "e");

function choose(trials: readonly LearningRateTrial[], diverged: number | null): LearningRateChoice {
  const [first] = trials;
  const end = diverged === null ? "" : ` With ${text(diverged)} it grew beyond all bounds, and the trials ended.`;
  const none = (): LearningRateChoice => ({
    ...{ type: "choice", learningRate: null, steepest: null, least: null, diverged },
    reason: `The loss did not fall by more than ${100 * FALL} % with any rate, so none is chosen: train for longer, or look at the data and the model.${end}`,
  });
  if (first === undefined) return none();
  const least = trials.reduce((best, each) => (each.smoothedLoss < best.smoothedLoss ? each : best), first);
  if (first.smoothedLoss - least.smoothedLoss <= FALL * Math.abs(first.smoothedLoss)) return none();
  const slopes = trials.slice(1, trials.indexOf(least) + 1).map((trial, at) => ({
    rate: trial.learningRate,
    fall: (trials[at]?.smoothedLoss ?? Number.NaN) - trial.smoothedLoss,
  }));
  const steepest = slopes.reduce((best, each) => (each.fall > best.fall ? each : best)).rate;
  const tenth = least.learningRate / 10;
  const learningRate = Number(Math.min(tenth, steepest).toPrecision(2));
  const why =
    tenth <= steepest
      ? "A tenth of the latter is chosen: the rate at which the loss is least is about to be too high."
      : "The former is chosen.";
  return {
    ...{ type: "choice", learningRate, steepest, least: least.learningRate, diverged },
    reason: `The loss fell fastest with a rate of ${text(steepest)} and was least with ${text(least.learningRate)}. ${why}${end}`,
  };
}
