import type { Tensor } from "onnxruntime-common";
import { isOfAllRanks } from "../../distributed/consensus.ts";
import type { Contributions } from "../../distributed/exchange.ts";
import { DistributedError, type NumericError } from "../../errors.ts";
import { samplesOf } from "../data/dataset-inputs.ts";
import { ortTensor, realsOf } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import { Ranks, type RankTraining } from "./ranks.ts";
import {
  type ExchangeReport,
  firstBad,
  lossNameOf,
  type Moment,
  notFinite,
  type Outcome,
  type Updater,
} from "./update.ts";
import { UpdateShares } from "./update-shares.ts";

/** What goes with the gradients: loss and samples. */
const NUMBERS = 2;

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
 * update, each rank its share of it. So what the optimizer does with gradients, AGR and clipping among it, comes after the sum, as in one process.
 */
export class DataParallel implements Updater {
  readonly isUniform = false;
  readonly #training: RankTraining;
  readonly #ranks: Ranks;
  /** Null where every rank makes the whole update. */
  readonly #shares: UpdateShares | null;

  private constructor(training: RankTraining, ranks: Ranks, shares: UpdateShares | null) {
    this.#training = training;
    this.#ranks = ranks;
    this.#shares = shares;
  }

  /** @throws as `Ranks.join` */
  static async create(training: RankTraining): Promise<DataParallel> {
    const ranks = await Ranks.join(training, ["accumulator", "buffer"], NUMBERS);
    return new DataParallel(training, ranks, await UpdateShares.create(training));
  }

  stops(batch: number): Promise<boolean> {
    return this.#ranks.stops(batch);
  }

  async whole(): Promise<void> {
    await this.#shares?.whole();
  }

  groupSize(): number {
    return this.#training.plan.accumulate;
  }

  async run(group: readonly NamedTensors[], moment: Moment): Promise<Outcome> {
    const { session, rates } = this.#training;
    const sizes = this.#ranks.sizesOf(group, moment);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const own = await this.#computeOwn(group, sizes, total, moment);
    const { numbers, report } = await this.#ranks
      .sum(own.last, [own.loss, own.samples], own.failure)
      .catch(async (error: unknown) => {
        /** All ranks keep what was trained before. */
        if (isOfAllRanks(error)) await this.whole();
        throw error;
      });
    const [loss = Number.NaN, samples = 0] = numbers;
    if (samples !== Math.fround(total)) throw outOfStep(samples, total);
    const step = moment.step + 1;
    const learningRate = rates.of(step);
    if (rates.given !== null) await session.setLearningRate(learningRate);
    const sums = this.#ranks.received("accumulator");
    const { statistics } = this.#training;
    const seen = statistics?.isDue(step) === true ? { statistics: statistics.of(this.#means(sums)) } : {};
    const buffers = this.#ranks.received("buffer");
    const given = await this.#shares?.apply(sums, buffers);
    if (given === undefined) await session.applyGradients(this.#means(sums), buffers);
    await this.#ranks.compare(step);
    const exchange = given === undefined ? report : together(report, given);
    return { updates: [{ loss, learningRate, samples: total, exchange, ...seen }], failure: null };
  }

  #means(sums: NamedTensors): NamedTensors {
    const { size } = this.#training.communicator;
    const meanOf = (sum: Tensor): Tensor => {
      const values = realsOf(sum).map((each) => each / size);
      return ortTensor(sum.type, values, sum.dims);
    };
    return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, meanOf(sum)]));
  }

  /** Gradients of this rank's part of each batch, each weighted by its share of the samples of the batch. */
  async #computeOwn(
    group: readonly NamedTensors[],
    sizes: readonly number[],
    total: number,
    moment: Moment,
  ): Promise<Own> {
    const { session, dataset, communicator } = this.#training;
    const lossName = lossNameOf(session);
    let last: Contributions = new Map();
    let [loss, samples] = [0, 0];
    for (const [index, feeds] of group.entries()) {
      const count = samplesOf(dataset, feeds);
      if (count === 0) continue;
      if (last.size > 0) this.#ranks.add(last);
      await session.lazyResetGrad();
      const outputs = await session.runTrainStep(feeds, [lossName]);
      const value = Number(outputs[lossName]?.data[0]);
      if (!Number.isFinite(value)) {
        const failure = notFinite(value, moment, await firstBad(session, feeds), lossName);
        return { last: new Map(), loss: 0, samples: 0, failure };
      }
      /** The sums are divided by the ranks after all: where all have as many samples, nothing is multiplied. */
      const weight = (count * communicator.size) / (sizes[index] ?? count);
      last = await this.#ranks.contributions(weight, "accumulator");
      loss += (value * count) / total;
      samples += count;
    }
    const statistics = samples === 0 ? [] : await this.#ranks.contributions(samples / total, "buffer");
    return { last: new Map([...last, ...statistics]), loss, samples, failure: null };
  }
}

function together(a: ExchangeReport, b: ExchangeReport): ExchangeReport {
  return { pack: a.pack + b.pack, reduce: a.reduce + b.reduce, wait: a.wait + b.wait, bytes: a.bytes + b.bytes };
}

function outOfStep(samples: number, total: number): DistributedError {
  return new DistributedError("E_OUT_OF_STEP", `the ranks had ${samples} samples together, not ${total}`, {
    hint: "This is a bug in onnx-agr, or ranks of other programs take part: report it.",
  });
}
