import type { Communicator } from "../../distributed/communicator.ts";
import { type Contributions, Exchange } from "../../distributed/exchange.ts";
import { DistributedError, type NumericError } from "../../errors.ts";
import { type Dataset, sizeOfBatch } from "../data/dataset.ts";
import { samplesOf } from "../data/dataset-inputs.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import type { TrainingPlan } from "../train.ts";
import {
  COMPARED_EVERY,
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

/** What goes with the gradients: loss, samples, whether a loss is not finite, whether the training is to end. */
const SCALARS = 4;

/** What a rank has for an update before the exchange. */
interface Own {
  readonly last: Contributions;
  /** Its part of the loss of all. */
  readonly loss: number;
  readonly samples: number;
  readonly failure: NumericError | null;
}

/**
 * Each rank computes the gradients of its part of a batch; their mean over all samples, which is the same on all ranks, makes the
 * update. So what the optimizer does with gradients, AGR and clipping among it, comes after the sum, as in one process.
 */
export class DataParallel implements Updater {
  readonly isUniform = false;
  readonly #session: TrainingSession;
  readonly #dataset: Dataset;
  readonly #plan: TrainingPlan;
  readonly #communicator: Communicator;
  readonly #rates: Rates;
  readonly #signal: AbortSignal | undefined;
  readonly #gradients: Shared;
  readonly #statistics: Shared;
  readonly #exchange: Exchange;
  #isStopped = false;

  private constructor(
    session: TrainingSession,
    dataset: Dataset,
    plan: TrainingPlan,
    communicator: Communicator,
    { rates, signal }: { readonly rates: Rates; readonly signal: AbortSignal | undefined },
    [gradients, statistics]: readonly [Shared, Shared],
  ) {
    this.#session = session;
    this.#dataset = dataset;
    this.#plan = plan;
    this.#communicator = communicator;
    this.#rates = rates;
    this.#signal = signal;
    this.#gradients = gradients;
    this.#statistics = statistics;
    const shared = [gradients, statistics];
    this.#exchange = new Exchange(communicator, layoutOf(shared), { isDouble: isDouble(shared), scalars: SCALARS });
  }

  /** @throws BackendError `E_UNSUPPORTED`; DistributedError `E_DISTRIBUTED_TYPE`, `E_RANKS_APART` */
  static async create(
    session: TrainingSession,
    dataset: Dataset,
    plan: TrainingPlan,
    communicator: Communicator,
    options: { readonly rates: Rates; readonly signal: AbortSignal | undefined },
  ): Promise<DataParallel> {
    requireRanks(session);
    const [gradients, statistics] = await sharedOf(session, ["accumulator", "buffer"]);
    if (gradients === undefined || statistics === undefined) throw new RangeError("a kind of state is missing");
    await requireSameState(communicator, session, 0);
    return new DataParallel(session, dataset, plan, communicator, options, [gradients, statistics]);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  groupSize(): number {
    return this.#plan.accumulate;
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const { batchSize } = this.#plan;
    const sizes = group.map((_, index) => sizeOfBatch(this.#dataset, moment.batch + index, batchSize));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const own = await this.#computeOwn(group, sizes, total, moment);
    const flags = [own.failure === null ? 0 : 1, this.#signal?.aborted === true ? 1 : 0];
    const { scalars, times } = await this.#exchange.sum(own.last, [own.loss, own.samples, ...flags]);
    const [loss = Number.NaN, samples = 0, failures = 0, stops = 0] = scalars;
    if (failures > 0) await throwNotFinite(this.#communicator, own.failure);
    if (samples !== Math.fround(total)) throw outOfStep(samples, total);
    this.#isStopped = stops > 0;
    const learningRate = this.#rates.of(moment.step + 1);
    if (this.#rates.given !== null) await this.#session.setLearningRate(learningRate);
    const sumOf = (name: string) => this.#exchange.of(name);
    const means = receivedFrom(this.#gradients, sumOf);
    await this.#session.applyGradients(means, receivedFrom(this.#statistics, sumOf));
    const step = moment.step + 1;
    if (step % COMPARED_EVERY === 0) await requireSameState(this.#communicator, this.#session, step);
    const exchange = { ...times, bytes: this.#exchange.bytes };
    return { updates: [{ loss, learningRate, samples: total, exchange }], failure: null };
  }

  /** Gradients of this rank's part of each batch, each weighted by its share of the samples of the batch. */
  async #computeOwn(
    group: readonly NamedTensors[],
    sizes: readonly number[],
    total: number,
    moment: Moment,
  ): Promise<Own> {
    const lossName = lossNameOf(this.#session);
    let last: Contributions = new Map();
    let [loss, samples] = [0, 0];
    for (const [index, feeds] of group.entries()) {
      const count = samplesOf(this.#dataset, feeds);
      if (count === 0) continue;
      if (last.size > 0) this.#exchange.add(last);
      await this.#session.lazyResetGrad();
      const outputs = await this.#session.runTrainStep(feeds, [lossName]);
      const value = Number(outputs[lossName]?.data[0]);
      if (!Number.isFinite(value)) {
        const failure = notFinite(value, moment, await firstBad(this.#session, feeds), lossName);
        return { last: new Map(), loss: 0, samples: 0, failure };
      }
      last = await contributionsOf(this.#session, this.#gradients, count / (sizes[index] ?? count));
      loss += (value * count) / total;
      samples += count;
    }
    const statistics = samples === 0 ? [] : await contributionsOf(this.#session, this.#statistics, samples / total);
    return { last: new Map([...last, ...statistics]), loss, samples, failure: null };
  }
}

function outOfStep(samples: number, total: number): DistributedError {
  return new DistributedError("E_OUT_OF_STEP", `the ranks had ${samples} samples together, not ${total}`, {
    hint: "This is a bug in onnx-agr, or ranks of other programs take part: report it.",
  });
}
