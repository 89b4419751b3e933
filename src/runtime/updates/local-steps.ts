import type { Communicator } from "../../distributed/communicator.ts";
import { type Contributions, Exchange } from "../../distributed/exchange.ts";
import type { NumericError } from "../../errors.ts";
import { type Dataset, sizeOfBatch } from "../data/dataset.ts";
import { samplesOf } from "../data/dataset-inputs.ts";
import { fromOrtTensor } from "../feeds.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import type { TrainingPlan } from "../train.ts";
import {
  contributionsOf,
  isDouble,
  layoutOf,
  receivedFrom,
  requireRanks,
  requireSameState,
  type Shared,
  sharedOf,
  throwNotFinite,
} from "./ranks.ts";
import { firstBad, lossNameOf, type Moment, notFinite, type Outcome, type Rates, type Updater } from "./update.ts";

/** Beside the losses: whether one is not finite, whether the training is to end. */
const FLAGS = 2;
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
  readonly #session: TrainingSession;
  readonly #dataset: Dataset;
  readonly #plan: TrainingPlan;
  readonly #communicator: Communicator;
  readonly #rates: Rates;
  readonly #signal: AbortSignal | undefined;
  readonly #shared: readonly Shared[];
  readonly #exchange: Exchange;
  /** What the session had counted when this training began. */
  readonly #offset: number;
  #isStopped = false;

  private constructor(
    session: TrainingSession,
    dataset: Dataset,
    plan: TrainingPlan,
    communicator: Communicator,
    { rates, signal, offset }: { rates: Rates; signal: AbortSignal | undefined; offset: number },
    shared: readonly Shared[],
  ) {
    this.#session = session;
    this.#dataset = dataset;
    this.#plan = plan;
    this.#communicator = communicator;
    this.#rates = rates;
    this.#signal = signal;
    this.#offset = offset;
    this.#shared = shared;
    const scalars = plan.localSteps + FLAGS;
    this.#exchange = new Exchange(communicator, layoutOf(shared), { isDouble: isDouble(shared), scalars });
  }

  /** @throws BackendError `E_UNSUPPORTED`; DistributedError `E_DISTRIBUTED_TYPE`, `E_RANKS_APART` */
  static async create(
    session: TrainingSession,
    dataset: Dataset,
    plan: TrainingPlan,
    communicator: Communicator,
    options: { readonly rates: Rates; readonly signal: AbortSignal | undefined; readonly offset: number },
  ): Promise<LocalSteps> {
    requireRanks(session);
    const kinds = ["parameter", "buffer", ...(plan.averageMoments ? (["slot"] as const) : [])] as const;
    const shared = await sharedOf(session, kinds);
    await requireSameState(communicator, session, 0);
    return new LocalSteps(session, dataset, plan, communicator, options, shared);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  groupSize(): number {
    return this.#plan.localSteps;
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const { batchSize, localSteps } = this.#plan;
    const sizes = group.map((_, index) => sizeOfBatch(this.#dataset, moment.batch + index, batchSize));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const own = await this.#train(group, sizes, moment);
    const weighted = new Map<string, { values: Float32Array | Float64Array; weight: number }>();
    for (const shared of own.samples === 0 || own.failure !== null ? [] : this.#shared) {
      const contributions: Contributions = await contributionsOf(this.#session, shared, own.samples / total);
      for (const [name, contribution] of contributions) weighted.set(name, contribution);
    }
    const losses = Array.from({ length: localSteps }, (_, index) => own.losses[index] ?? 0);
    const flags = [own.failure === null ? 0 : 1, this.#signal?.aborted === true ? 1 : 0];
    const { scalars, times } = await this.#exchange.sum(weighted, [...losses, ...flags]);
    if ((scalars[localSteps] ?? 0) > 0) await throwNotFinite(this.#communicator, own.failure);
    this.#isStopped = (scalars[localSteps + 1] ?? 0) > 0;
    await this.#take(moment.step + group.length);
    const exchange = { ...times, bytes: this.#exchange.bytes };
    const updates = group.map((_, index) => ({
      loss: scalars[index] ?? Number.NaN,
      learningRate: this.#rates.of(moment.step + index + 1),
      samples: sizes[index] ?? 0,
      ...(index === group.length - 1 ? { exchange } : {}),
    }));
    return { updates, failure: null };
  }

  /** The updates of this rank by itself; a batch of which it has no sample is none. */
  async #train(group: readonly NamedTensors[], sizes: readonly number[], moment: Moment): Promise<Own> {
    const losses = group.map(() => 0);
    let samples = 0;
    for (const together of this.#runs(group)) {
      const rates = together.map((index) => this.#rates.of(moment.step + index + 1));
      const batches = together.map((index) => group[index] ?? {});
      const got = await this.#session.trainSteps(batches, this.#rates.given === null ? undefined : rates);
      const bad = got.findIndex((loss) => !Number.isFinite(loss));
      if (bad >= 0) {
        const at = { ...moment, step: moment.step + (together[bad] ?? 0) };
        const why = await firstBad(this.#session, batches[bad] ?? {});
        const failure = notFinite(got[bad] ?? Number.NaN, at, why, lossNameOf(this.#session));
        return { losses, samples, failure };
      }
      for (const [place, index] of together.entries()) {
        const count = samplesOf(this.#dataset, group[index] ?? {});
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
      const count = samplesOf(this.#dataset, feeds);
      const run = runs.at(-1);
      if (count === before && count > 0 && run !== undefined && run.length < MOST_TOGETHER) run.push(index);
      else if (count > 0) runs.push([index]);
      before = count;
    }
    return runs;
  }

  /** Makes the means the state, with as many updates counted as there were batches. */
  async #take(step: number): Promise<void> {
    const state = await this.#session.getState();
    const tensors = new Map(state.tensors);
    for (const shared of this.#shared) {
      for (const [name, tensor] of Object.entries(receivedFrom(shared, (key) => this.#exchange.of(key)))) {
        tensors.set(name, fromOrtTensor(tensor));
      }
    }
    await this.#session.loadState({ ...state, step: this.#offset + step, tensors });
  }
}
