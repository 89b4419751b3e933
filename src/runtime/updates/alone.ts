import type { Dataset } from "../data/dataset.ts";
import { samplesOf } from "../data/dataset-inputs.ts";
import { Pace } from "../pace.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import type { Statistics } from "../statistics/statistics.ts";
import type { TrainingPlan } from "../training-plan.ts";
import {
  firstBad,
  lossNameOf,
  type Moment,
  notFinite,
  type Outcome,
  type Rates,
  type Update,
  type Updater,
} from "./update.ts";

export interface AloneOptions {
  readonly rates: Rates;
  /** Updates between two moments of saving. */
  readonly saveEvery: number;
  readonly pauseEvery: number;
  readonly signal: AbortSignal | undefined;
  readonly statistics: Statistics | null;
  /** Whether the loss is scaled by a number that the training finds. */
  readonly isScaled: boolean;
}

/** One process: a group is one update where gradients are accumulated, else one update per batch. */
export class Alone implements Updater {
  readonly isUniform: boolean;
  readonly #session: TrainingSession;
  readonly #dataset: Dataset;
  readonly #plan: TrainingPlan;
  readonly #options: AloneOptions;
  readonly #pace: Pace;

  constructor(session: TrainingSession, dataset: Dataset, plan: TrainingPlan, options: AloneOptions) {
    this.#session = session;
    this.#dataset = dataset;
    this.#plan = plan;
    this.#options = options;
    const { stepsPerCall } = session;
    /** Which update was left out is told after each call. */
    const isTold = options.isScaled && stepsPerCall === "auto";
    this.#pace = new Pace(plan.accumulate > 1 || isTold ? 1 : stepsPerCall);
    this.isUniform = plan.accumulate === 1;
  }

  async stops(): Promise<boolean> {
    return this.#options.signal?.aborted === true;
  }

  async whole(): Promise<void> {}

  groupSize(step: number): number {
    const { accumulate } = this.#plan;
    const { saveEvery, pauseEvery, statistics } = this.#options;
    if (accumulate > 1) return accumulate;
    const untilPause = Math.min(saveEvery - (step % saveEvery), pauseEvery - (step % pauseEvery));
    return Math.min(this.#pace.steps, untilPause, statistics?.untilNext(step) ?? this.#pace.steps);
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    if (this.#plan.accumulate > 1) return { updates: [await this.#accumulate(group, moment)], failure: null };
    const { statistics } = this.#options;
    const isDue = statistics?.isDue(moment.step + 1) === true;
    const looked = performance.now();
    const seen = isDue ? statistics.of(await this.#session.gradientsOf(group[0] ?? {}), looked) : null;
    const began = performance.now();
    const { updates, failure } = await this.#steps(group, moment);
    const seconds = (performance.now() - began) / 1000;
    this.#pace.ran(updates.length, seconds, this.#plan.totalSteps - moment.step - updates.length);
    const [first, ...others] = updates;
    if (first === undefined || seen === null) return { updates, failure };
    return { updates: [{ ...first, statistics: seen }, ...others], failure };
  }

  async #steps(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const { given, of: rateOf } = this.#options.rates;
    const used = group.map((_, index) => rateOf(moment.step + index + 1));
    const losses = await this.#session.trainSteps(group, given === null ? undefined : used);
    const bad = losses.findIndex((loss) => !Number.isFinite(loss));
    const updates = group.slice(0, bad < 0 ? group.length : bad).map((feeds, index) => ({
      loss: losses[index] ?? Number.NaN,
      learningRate: used[index] ?? Number.NaN,
      samples: samplesOf(this.#dataset, feeds),
    }));
    if (bad < 0) return { updates, failure: null };
    /** No step of the call was kept: those before the bad one are done again, so that it makes no difference how many a call has. */
    if (bad > 0) await this.#session.trainSteps(group.slice(0, bad), given === null ? undefined : used.slice(0, bad));
    const why = await firstBad(this.#session, group[bad] ?? {});
    const at = { ...moment, step: moment.step + bad };
    return { updates, failure: notFinite(losses[bad] ?? Number.NaN, at, why, lossNameOf(this.#session)) };
  }

  async #accumulate(group: readonly NamedTensors[], moment: Moment): Promise<Update> {
    const lossName = lossNameOf(this.#session);
    let sum = 0;
    let samples = 0;
    for (const feeds of group) {
      const outputs = await this.#session.runTrainStep(feeds, [lossName]);
      const loss = Number(outputs[lossName]?.data[0]);
      if (!Number.isFinite(loss)) throw notFinite(loss, moment, await firstBad(this.#session, feeds), lossName);
      sum += loss * samplesOf(this.#dataset, feeds);
      samples += samplesOf(this.#dataset, feeds);
    }
    const { rates, statistics } = this.#options;
    const isDue = statistics?.isDue(moment.step + 1) === true;
    const seen = isDue ? statistics.of(await this.#session.lendState("accumulator")) : null;
    const { given, of: rateOf } = rates;
    const learningRate = rateOf(moment.step + 1);
    if (given !== null) await this.#session.setLearningRate(learningRate);
    await this.#session.runOptimizerStep();
    await this.#session.lazyResetGrad();
    return { loss: sum / samples, learningRate, samples, ...(seen === null ? {} : { statistics: seen }) };
  }
}
