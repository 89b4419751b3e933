import type { StateKind } from "../../artifacts/portable/plan.ts";
import type { NumericError } from "../../errors.ts";
import { samplesOf } from "../data/dataset-inputs.ts";
import { fromOrtTensor } from "../feeds.ts";
import type { NamedTensors } from "../session.ts";
import type { TrainingPlan } from "../training-plan.ts";
import { Ranks, type RankTraining } from "./ranks.ts";
import { firstBad, lossNameOf, type Moment, notFinite, type Outcome, type Updater } from "./update.ts";

/** Batches of one call are stacked, so they are in memory twice. */
const MOST_TOGETHER = 16;

/** What a rank's own updates gave. */
interface Own {
  /** Its part of the loss of all, by batch. */
  readonly losses: readonly number[];
  readonly samples: number;
  readonly failure: NumericError | null;
}

/**
 * Each rank makes updates of its own with its part of each batch; after some of them parameters and statistics, and the optimizer's
 * moments where they are asked for, become their mean over the ranks, weighted by samples.
 */
export class LocalSteps implements Updater {
  readonly isUniform = false;
  readonly #training: RankTraining;
  readonly #ranks: Ranks;
  /** What the session had counted when this training began. */
  readonly #offset: number;

  private constructor(training: RankTraining, ranks: Ranks, offset: number) {
    this.#training = training;
    this.#ranks = ranks;
    this.#offset = offset;
  }

  /** @throws as `Ranks.join` */
  static async create(training: RankTraining, offset: number): Promise<LocalSteps> {
    const { plan } = training;
    return new LocalSteps(training, await Ranks.join(training, averagedBy(plan), plan.localSteps), offset);
  }

  stops(batch: number): Promise<boolean> {
    return this.#ranks.stops(batch);
  }

  async whole(): Promise<void> {}

  groupSize(): number {
    return this.#training.plan.localSteps;
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const { plan, rates } = this.#training;
    const sizes = this.#ranks.sizesOf(group, moment);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const own = await this.#train(group, sizes, moment);
    const gives = own.samples > 0 && own.failure === null;
    const weighted = gives ? await this.#ranks.contributions(own.samples / total) : new Map();
    const losses = Array.from({ length: plan.localSteps }, (_, index) => own.losses[index] ?? 0);
    const { numbers, report } = await this.#ranks.sum(weighted, losses, own.failure);
    await this.#take(moment.step + group.length);
    const updates = group.map((_, index) => ({
      loss: numbers[index] ?? Number.NaN,
      learningRate: rates.of(moment.step + index + 1),
      samples: sizes[index] ?? 0,
      ...(index === group.length - 1 ? { exchange: report } : {}),
    }));
    return { updates, failure: null };
  }

  /** The updates of this rank by itself; a batch of which it has no sample is none. */
  async #train(group: readonly NamedTensors[], sizes: readonly number[], moment: Moment): Promise<Own> {
    const { session, dataset, rates } = this.#training;
    const losses = group.map(() => 0);
    let samples = 0;
    for (const together of this.#runs(group)) {
      const used = together.map((index) => rates.of(moment.step + index + 1));
      const batches = together.map((index) => group[index] ?? {});
      const got = await session.trainSteps(batches, rates.given === null ? undefined : used);
      const bad = got.findIndex((loss) => !Number.isFinite(loss));
      if (bad >= 0) {
        const at = { ...moment, step: moment.step + (together[bad] ?? 0) };
        const why = await firstBad(session, batches[bad] ?? {});
        return { losses, samples, failure: notFinite(got[bad] ?? Number.NaN, at, why, lossNameOf(session)) };
      }
      for (const [place, index] of together.entries()) {
        const count = samplesOf(dataset, group[index] ?? {});
        losses[index] = ((got[place] ?? Number.NaN) * count) / (sizes[index] ?? count);
        samples += count;
      }
    }
    return { losses, samples, failure: null };
  }

  /** Batches of one size that follow each other, by their places. */
  #runs(group: readonly NamedTensors[]): readonly (readonly number[])[] {
    const runs: number[][] = [];
    let before = -1;
    for (const [index, feeds] of group.entries()) {
      const count = samplesOf(this.#training.dataset, feeds);
      const run = runs.at(-1);
      if (count === before && count > 0 && run !== undefined && run.length < MOST_TOGETHER) run.push(index);
      else if (count > 0) runs.push([index]);
      before = count;
    }
    return runs;
  }

  /** Makes the means the state, with as many updates counted as there were batches. */
  async #take(step: number): Promise<void> {
    const { session, plan } = this.#training;
    const state = await session.getState();
    const tensors = new Map(state.tensors);
    for (const kind of averagedBy(plan)) {
      for (const [name, tensor] of Object.entries(this.#ranks.received(kind))) tensors.set(name, fromOrtTensor(tensor));
    }
    await session.loadState({ ...state, step: this.#offset + step, tensors });
  }
}

/** The kinds of state that become their mean. */
const averagedBy = ({ averageMoments }: TrainingPlan): readonly StateKind[] =>
  averageMoments ? ["parameter", "buffer", "slot"] : ["parameter", "buffer"];
