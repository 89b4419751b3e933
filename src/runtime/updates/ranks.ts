import type { StateKind } from "../../artifacts/portable/plan.ts";
import type { Communicator } from "../../distributed/communicator.ts";
import { exchangeNumbers, firstFailure, ofAllRanks } from "../../distributed/consensus.ts";
import { type Contributions, Exchange } from "../../distributed/exchange.ts";
import { BackendError, NumericError } from "../../errors.ts";
import { type Dataset, sizeOfBatch } from "../data/dataset.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import type { Statistics } from "../statistics/statistics.ts";
import type { TrainingPlan } from "../training-plan.ts";
import {
  contributionsOf,
  isDouble,
  layoutOf,
  receivedFrom,
  requireSameState,
  type Shared,
  sharedOf,
} from "./shared-state.ts";
import { type ExchangeReport, LOWER_RATE, type Moment, type Rates } from "./update.ts";

/** Updates between two comparisons of the parameters of all ranks. */
export const COMPARED_EVERY = 100;

/** Beside the numbers of an updater: whether a loss is not finite, whether the training is to end. */
const FLAGS = 2;

/** What this rank trains, and with whom. */
export interface RankTraining {
  readonly session: TrainingSession;
  readonly dataset: Dataset;
  readonly plan: TrainingPlan;
  readonly communicator: Communicator;
  readonly rates: Rates;
  readonly signal: AbortSignal | undefined;
  readonly statistics: Statistics | null;
  /** Updates between two moments of saving. */
  readonly saveEvery: number;
}

/** The ranks of a training: what they add up, and when they end. */
export class Ranks {
  readonly #training: RankTraining;
  readonly #shared: readonly Shared[];
  readonly #exchange: Exchange;
  /** What the session lent for the sums that come next. */
  readonly #lent = new Map<StateKind, NamedTensors>();
  #isStopped = false;

  private constructor(training: RankTraining, shared: readonly Shared[], numbers: number) {
    this.#training = training;
    this.#shared = shared;
    const options = { isDouble: isDouble(shared), scalars: numbers + FLAGS };
    this.#exchange = new Exchange(training.communicator, layoutOf(shared), options);
  }

  /**
   * @param kinds of the state that is added up
   * @param numbers how many numbers are added up with it
   * @throws BackendError `E_UNSUPPORTED`; DistributedError `E_DISTRIBUTED_TYPE`, `E_RANKS_APART`
   */
  static async join(training: RankTraining, kinds: readonly StateKind[], numbers: number): Promise<Ranks> {
    const { session, communicator } = training;
    requireRanks(session);
    const shared = await sharedOf(session, kinds);
    await requireSameState(communicator, session, 0);
    const ranks = new Ranks(training, shared, numbers);
    const mayPlace = session.can.shareUpdates && training.plan.accumulate === 1 && !isDouble(shared);
    if (mayPlace && kinds.includes("accumulator"))
      await (await session.sharedUpdates()).placeGradients(ranks.received("accumulator"));
    return ranks;
  }

  /** Whether a rank has asked for the end. */
  async stops(batch: number): Promise<boolean> {
    const { communicator, signal } = this.#training;
    if (batch > 0) return this.#isStopped;
    const asked = await exchangeNumbers(communicator, [signal?.aborted === true ? 1 : 0]);
    return asked.some(([each]) => each === 1);
  }

  /** Samples of all ranks together, in each batch of a group. */
  sizesOf(group: readonly NamedTensors[], { batch }: Moment): readonly number[] {
    const { dataset, plan } = this.#training;
    return group.map((_, index) => sizeOfBatch(dataset, batch + index, plan.batchSize));
  }

  /** The state of some kinds as it is now, times a weight. Default: of all kinds. */
  async contributions(weight: number, ...kinds: readonly StateKind[]): Promise<Contributions> {
    const parts: Contributions[] = [];
    for (const shared of this.#shared) {
      if (kinds.length > 0 && !kinds.includes(shared.kind)) continue;
      const lent = shared.tensors.length === 0 ? {} : await this.#training.session.lendState(shared.kind);
      this.#lent.set(shared.kind, lent);
      parts.push(contributionsOf(shared.kind, lent, weight));
    }
    return new Map(parts.flatMap((part) => [...part]));
  }

  /** Adds to what this rank gives with the next `sum`. */
  add(contributions: Contributions): void {
    this.#exchange.add(contributions);
  }

  /**
   * Adds up over all ranks.
   * @throws NumericError `E_NOT_FINITE` on all ranks where one had a failure
   */
  async sum(
    contributions: Contributions,
    numbers: readonly number[],
    failure: NumericError | null,
  ): Promise<{ readonly numbers: readonly number[]; readonly report: ExchangeReport }> {
    const { communicator, signal } = this.#training;
    const flags = [failure === null ? 0 : 1, signal?.aborted === true ? 1 : 0];
    const { scalars, times } = await this.#exchange.sum(contributions, [...numbers, ...flags]);
    const [failures = 0, stops = 0] = scalars.slice(numbers.length);
    if (failures > 0) await throwNotFinite(communicator, failure);
    this.#isStopped = stops > 0;
    return { numbers: scalars.slice(0, numbers.length), report: { ...times, bytes: this.#exchange.bytes } };
  }

  /** What the last `sum` gave for the state of a kind. */
  received(kind: StateKind): NamedTensors {
    const shared = this.#shared.find((each) => each.kind === kind);
    const lent = this.#lent.get(kind);
    this.#lent.delete(kind);
    return shared === undefined ? {} : receivedFrom(shared, (name) => this.#exchange.of(name), lent);
  }

  /** @throws DistributedError `E_RANKS_APART`, now and then, where the ranks do not have the same parameters any more */
  async compare(step: number): Promise<void> {
    const { communicator, session } = this.#training;
    if (step % COMPARED_EVERY === 0) await requireSameState(communicator, session, step);
  }
}

/** @throws NumericError `E_NOT_FINITE` on all ranks, with what the first rank says where it was on that one */
async function throwNotFinite(communicator: Communicator, own: NumericError | null): Promise<never> {
  const first = await firstFailure(communicator, own?.message ?? null);
  const at = communicator.size === 1 ? "" : `, on rank ${first?.rank ?? 0}`;
  const details = { field: own?.field ?? "", hint: LOWER_RATE };
  throw ofAllRanks(new NumericError("E_NOT_FINITE", `${first?.message ?? ""}${at}`, details));
}

/** @throws BackendError `E_UNSUPPORTED` for a runtime that does not give out gradients */
function requireRanks({ can, runtime }: TrainingSession): void {
  if (can.getGradients && can.keepState) return;
  throw new BackendError("E_UNSUPPORTED", `${runtime} cannot train on several ranks: it does not give out gradients`, {
    hint: "Use ort-node (--runtime ort-node).",
  });
}
