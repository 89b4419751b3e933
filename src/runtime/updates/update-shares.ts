import type { Communicator } from "../../distributed/communicator.ts";
import { exchangeBytes, exchangeNumbers, requireAlike } from "../../distributed/consensus.ts";
import { Gather } from "../../distributed/gather.ts";
import type { NamedTensors, Share, SharedUpdates, TensorLayout } from "../session.ts";
import type { RankTraining } from "./ranks.ts";
import type { ExchangeReport } from "./update.ts";

/**
 * Divides parameters among ranks: each in its turn, the largest first, to the rank that has the fewest elements by then.
 * @param sizes of the parameters, by name
 * @returns names by rank, in the order they were given
 */
export function divided(
  sizes: readonly (readonly [name: string, size: number])[],
  ranks: number,
): readonly (readonly string[])[] {
  const loads = Array.from({ length: ranks }, () => 0);
  const owners = new Map<string, number>();
  for (const [name, size] of sizes.toSorted(([, a], [, b]) => b - a)) {
    const rank = loads.indexOf(Math.min(...loads));
    loads[rank] = (loads[rank] ?? 0) + size;
    owners.set(name, rank);
  }
  return loads.map((_, rank) => sizes.flatMap(([name]) => (owners.get(name) === rank ? [name] : [])));
}

/**
 * An update of which each rank makes a part: it renews some of the parameters, and gives them to the others. What the optimizer
 * keeps for them stays with it until the whole state is asked for.
 */
export class UpdateShares {
  readonly #training: RankTraining;
  readonly #updates: SharedUpdates;
  readonly #own: Share;
  readonly #parameters: ParameterGather;
  /** Names of the slots that this rank renews. */
  #slots: readonly string[] = [];
  #isWhole = true;

  private constructor(training: RankTraining, updates: SharedUpdates, own: Share, parameters: ParameterGather) {
    this.#training = training;
    this.#updates = updates;
    this.#own = own;
    this.#parameters = parameters;
  }

  /**
   * @returns null where a rank makes the whole update itself
   * @throws DistributedError `E_RANKS_DIFFER` where ranks save at other moments
   */
  static async create(training: RankTraining): Promise<UpdateShares | null> {
    const { session, communicator, saveEvery } = training;
    /** The state is brought together when it is saved, by all. */
    await requireAlike(communicator, { saveEvery: String(saveEvery) });
    const able = await exchangeNumbers(communicator, [session.can.shareUpdates ? 1 : 0]);
    if (!able.every(([each]) => each === 1)) return null;
    const updates = await session.sharedUpdates();
    const layout = await updates.layout("parameter");
    const sizes = [...layout].map(([name, { size }]) => [name, size] as const);
    const shares = divided(sizes, communicator.size);
    const own = { parameters: shares[communicator.rank] ?? [], sessions: communicator.size };
    const parameters = await ParameterGather.create(communicator, updates, shares, layout);
    return new UpdateShares(training, updates, own, parameters);
  }

  /**
   * @param sums of the gradients over all ranks
   * @param statistics means over all ranks
   * @returns what giving the parameters to all took
   */
  async apply(sums: NamedTensors, statistics: NamedTensors): Promise<ExchangeReport> {
    this.#slots = await this.#updates.apply(this.#own, sums, statistics);
    this.#isWhole = false;
    return this.#parameters.run();
  }

  /** Brings together, on all ranks, what the optimizer keeps. Every rank must call it. */
  async whole(): Promise<void> {
    if (this.#isWhole) return;
    const { communicator } = this.#training;
    const layout = await this.#updates.layout("slot");
    const given = new Set<string>();
    const shares: string[][] = [];
    for (let rank = 0; rank < communicator.size; rank++) {
      const bytes = await exchangeBytes(communicator, new TextEncoder().encode(JSON.stringify(this.#slots)), rank);
      const names = JSON.parse(new TextDecoder().decode(bytes)) as readonly string[];
      /** What several ranks renew is the same on all of them. */
      shares.push(names.filter((name) => !given.has(name)));
      for (const name of names) given.add(name);
    }
    await new TensorGather(communicator, this.#updates, shares, layout).run();
    this.#isWhole = true;
  }
}

/** The parameters, gathered after each update: where the session can, they lie in what is gathered, in two places by turns. */
class ParameterGather {
  readonly #halves: readonly TensorGather[];
  readonly #placed: ReadonlySet<string>;
  #updates = 0;

  private constructor(halves: readonly TensorGather[], placed: ReadonlySet<string>) {
    this.#halves = halves;
    this.#placed = placed;
  }

  static async create(
    communicator: Communicator,
    updates: SharedUpdates,
    shares: readonly (readonly string[])[],
    layout: ReadonlyMap<string, TensorLayout>,
  ): Promise<ParameterGather> {
    const [now, next] = [0, 1].map(() => new TensorGather(communicator, updates, shares, layout));
    if (now === undefined || next === undefined) throw new RangeError("there are no two halves");
    return new ParameterGather([now, next], new Set(await updates.placeParameters(now.all, next.all)));
  }

  async run(): Promise<ExchangeReport> {
    this.#updates++;
    const half = this.#halves[this.#updates % this.#halves.length];
    if (half === undefined) throw new RangeError("there is no half");
    return half.run(this.#placed);
  }
}

const without = (tensors: NamedTensors, names: ReadonlySet<string>): NamedTensors =>
  Object.fromEntries(Object.entries(tensors).filter(([name]) => !names.has(name)));

/** Tensors of the state, of which each rank has some as they are now. */
class TensorGather {
  readonly #updates: SharedUpdates;
  readonly #gather: Gather;
  /** Views of what is gathered: this rank's tensors, and those of the others. */
  readonly #own: NamedTensors;
  readonly #others: NamedTensors;

  constructor(
    communicator: Communicator,
    updates: SharedUpdates,
    shares: readonly (readonly string[])[],
    layout: ReadonlyMap<string, TensorLayout>,
  ) {
    const like = (name: string): TensorLayout => {
      const found = layout.get(name);
      if (found === undefined) throw new RangeError(`the session has no "${name}"`);
      return found;
    };
    const gather = new Gather(
      communicator,
      shares.map((share) => share.map((name) => [name, like(name).bytes] as const)),
    );
    const viewsOf = (ofRank: (rank: number) => boolean): NamedTensors => {
      const names = shares.filter((_, rank) => ofRank(rank)).flat();
      return Object.fromEntries(names.map((name) => [name, like(name).over(gather.of(name))]));
    };
    this.#updates = updates;
    this.#gather = gather;
    this.#own = viewsOf((rank) => rank === communicator.rank);
    this.#others = viewsOf((rank) => rank !== communicator.rank);
  }

  get all(): NamedTensors {
    return { ...this.#own, ...this.#others };
  }

  /** @param placed names of those that the session itself has in what is gathered */
  async run(placed: ReadonlySet<string> = new Set()): Promise<ExchangeReport> {
    const began = performance.now();
    await this.#updates.read(without(this.#own, placed));
    const packed = performance.now();
    await this.#gather.run();
    const gathered = performance.now();
    await this.#updates.put(without(this.#others, placed));
    await this.#updates.turn(Object.keys(this.#others).filter((name) => placed.has(name)));
    const copying = packed - began + performance.now() - gathered;
    const waiting = (gathered - packed) / 1000;
    return { pack: copying / 1000, reduce: waiting, wait: waiting, bytes: this.#gather.bytes };
  }
}
