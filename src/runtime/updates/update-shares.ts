import type { Tensor } from "onnxruntime-common";
import type { Communicator } from "../../distributed/communicator.ts";
import { exchangeBytes, exchangeNumbers, requireAlike } from "../../distributed/consensus.ts";
import { Gather } from "../../distributed/gather.ts";
import { bytesIn, ortTensor } from "../ort-tensor.ts";
import type { NamedTensors, Share, SharedUpdates } from "../session.ts";
import type { RankTraining } from "./ranks.ts";
import type { ExchangeReport } from "./update.ts";

type Elements = Float32Array<ArrayBuffer>;

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
  readonly #parameters: TensorGather;
  /** Names of the slots that this rank renews. */
  #slots: readonly string[] = [];
  #isWhole = true;

  private constructor(training: RankTraining, updates: SharedUpdates, own: Share, parameters: TensorGather) {
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
    const lent = await session.lendState("parameter");
    const sizes = Object.entries(lent).map(([name, { size }]) => [name, size] as const);
    const shares = divided(sizes, communicator.size);
    const own = { parameters: shares[communicator.rank] ?? [], sessions: communicator.size };
    const updates = await session.sharedUpdates();
    return new UpdateShares(training, updates, own, new TensorGather(communicator, updates, shares, lent));
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
    const { session, communicator } = this.#training;
    const lent = await session.lendState("slot");
    const given = new Set<string>();
    const shares: string[][] = [];
    for (let rank = 0; rank < communicator.size; rank++) {
      const bytes = await exchangeBytes(communicator, new TextEncoder().encode(JSON.stringify(this.#slots)), rank);
      const names = JSON.parse(new TextDecoder().decode(bytes)) as readonly string[];
      /** What several ranks renew is the same on all of them. */
      shares.push(names.filter((name) => !given.has(name)));
      for (const name of names) given.add(name);
    }
    await new TensorGather(communicator, this.#updates, shares, lent).run();
    this.#isWhole = true;
  }
}

/** Tensors of the state, of which each rank has some as they are now. */
class TensorGather {
  readonly #updates: SharedUpdates;
  readonly #gather: Gather;
  readonly #own: readonly string[];
  /** Of the others, as views of what was gathered. */
  readonly #others: NamedTensors;

  /** @param tensors all of them, of which types and shapes are looked at */
  constructor(
    communicator: Communicator,
    updates: SharedUpdates,
    shares: readonly (readonly string[])[],
    tensors: NamedTensors,
  ) {
    const like = (name: string): Tensor => {
      const tensor = tensors[name];
      if (tensor === undefined) throw new RangeError(`the session has no "${name}"`);
      return tensor;
    };
    this.#updates = updates;
    this.#own = shares[communicator.rank] ?? [];
    this.#gather = new Gather(
      communicator,
      shares.map((share) => share.map((name) => [name, bytesIn(like(name)).byteLength] as const)),
    );
    const others = shares.filter((share) => share !== this.#own).flat();
    this.#others = Object.fromEntries(others.map((name) => [name, viewOf(this.#gather.of(name), like(name))]));
  }

  async run(): Promise<ExchangeReport> {
    const began = performance.now();
    const lent = await this.#updates.lend(this.#own);
    const lending = performance.now();
    const { pack, gather } = await this.#gather.run(
      Object.entries(lent).map(([name, tensor]) => [name, bytesIn(tensor)] as const),
    );
    const putting = performance.now();
    await this.#updates.put(this.#others);
    const copying = (lending - began + performance.now() - putting) / 1000;
    return { pack: pack + copying, reduce: gather, wait: gather, bytes: this.#gather.bytes };
  }
}

/** A tensor of the type and shape of another, whose elements are these bytes. */
function viewOf(bytes: Uint8Array<ArrayBuffer>, { type, dims, data }: Tensor): Tensor {
  const ElementsOf = data.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => Elements;
  return ortTensor(type, new ElementsOf(bytes.buffer, bytes.byteOffset, data.length), dims);
}
