import { DistributedError } from "../errors.ts";
import { turn } from "../event-loop.ts";
import type { Communicator, Summable } from "./communicator.ts";

/** What a sum over ranks is made of: tensors by name, and how many elements each has, in the order all ranks have. */
export type Layout = readonly (readonly [name: string, length: number])[];

/** What a rank gives to the sum: elements by name, each times a weight. */
export type Contributions = ReadonlyMap<string, { readonly values: Summable; readonly weight: number }>;

/** Seconds that one exchange took. */
export interface ExchangeTimes {
  /** Copying into the buffer. */
  readonly pack: number;
  /** Inside the library, beside the copying. */
  readonly reduce: number;
  /** Of those, the ones in which nothing else was done. */
  readonly wait: number;
}

/** Buckets are all about as large, between 8 and 25 MB where there is so much: large enough to be fast, small enough to overlap. */
const BUCKET_BYTES = 2 ** 24;

/** Places of the buffer where a bucket ends. */
function bucketEnds(length: number, bytesPerElement: number): readonly number[] {
  const count = Math.max(1, Math.round((length * bytesPerElement) / BUCKET_BYTES));
  return Array.from({ length: count }, (_, index) => Math.round(((index + 1) * length) / count));
}

/**
 * Sums tensors of all ranks in one flat buffer, and a few numbers with them. One bucket of the buffer is under way while the next
 * is filled. The order of the sums is the same in every step.
 */
export class Exchange {
  readonly #communicator: Communicator;
  readonly #layout: Layout;
  readonly #places = new Map<string, readonly [from: number, to: number]>();
  readonly #buffer: Summable;
  readonly #ends: readonly number[];
  readonly #scalars: number;
  #isEmpty = true;

  /**
   * @param isDouble whether the sums are made in float64
   * @param scalars how many numbers go with the tensors
   */
  constructor(
    communicator: Communicator,
    layout: Layout,
    { isDouble, scalars }: { isDouble: boolean; scalars: number },
  ) {
    this.#communicator = communicator;
    this.#layout = layout;
    this.#scalars = scalars;
    let end = 0;
    for (const [name, length] of layout) {
      if (this.#places.has(name)) throw new RangeError(`"${name}" is in the layout twice`);
      this.#places.set(name, [end, end + length]);
      end += length;
    }
    const length = end + scalars;
    this.#buffer = isDouble ? new Float64Array(length) : new Float32Array(length);
    this.#ends = bucketEnds(end + scalars, this.#buffer.BYTES_PER_ELEMENT);
  }

  get bytes(): number {
    return this.#buffer.byteLength;
  }

  get buckets(): number {
    return this.#ends.length;
  }

  /** Adds to what this rank gives. Tensors that are not there add nothing. */
  add(given: Contributions): void {
    if (this.#isEmpty) this.#buffer.fill(0);
    this.#isEmpty = false;
    this.#fill(given, 0, this.#buffer.length);
  }

  /**
   * Sums over the ranks. Before it, adds `last`, bucket by bucket.
   * @param scalars as many as the exchange has
   * @returns the sums of the scalars
   */
  async sum(
    last: Contributions,
    scalars: readonly number[],
  ): Promise<{ readonly scalars: readonly number[]; readonly times: ExchangeTimes }> {
    if (scalars.length !== this.#scalars)
      throw new RangeError(`there are ${scalars.length} scalars, not ${this.#scalars}`);
    const begin = this.#buffer.length - this.#scalars;
    const times = { pack: 0, reduce: 0, wait: 0 };
    const underWay: Promise<void>[] = [];
    let from = 0;
    let reduced = 0;
    for (const to of this.#ends) {
      /** The bucket before this one gets its thread. */
      if (from > 0) await turn();
      const began = performance.now();
      this.#fill(last, from, to);
      this.#buffer.set(scalars.slice(Math.max(0, from - begin), Math.max(0, to - begin)), Math.max(from, begin));
      const packed = performance.now();
      times.pack += packed - began;
      const bucket = this.#communicator.allReduceSum(this.#buffer.subarray(from, to)).then(() => {
        const now = performance.now();
        times.reduce += now - Math.max(packed, reduced);
        reduced = now;
      });
      /** One that fails while another is filled is told below. */
      bucket.catch(() => undefined);
      underWay.push(bucket);
      from = to;
    }
    const began = performance.now();
    await Promise.all(underWay);
    /** Of the all-reduce: what this thread lost after it is not. */
    times.wait = Math.min(performance.now() - began, times.reduce);
    this.#isEmpty = true;
    const seconds = { pack: times.pack / 1000, reduce: times.reduce / 1000, wait: times.wait / 1000 };
    return { scalars: [...this.#buffer.subarray(begin)], times: seconds };
  }

  /** The sums of a tensor, until the next `add` or `sum`; not copied. What is written there before the next `sum` may be given to it. */
  of(name: string): Summable {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`there is no "${name}" in the layout`);
    return this.#buffer.subarray(...place);
  }

  #fill(given: Contributions, from: number, to: number): void {
    for (const [name, length] of this.#layout) {
      const [begin, end] = this.#places.get(name) ?? [0, 0];
      const [first, after] = [Math.max(begin, from), Math.min(end, to)];
      if (first >= after) continue;
      const contribution = given.get(name);
      if (contribution === undefined) {
        if (this.#isEmpty) this.#buffer.fill(0, first, after);
        continue;
      }
      const { values, weight } = contribution;
      if (values.length !== length) {
        throw new DistributedError("E_EXCHANGE", `"${name}" has ${values.length} elements, not ${length}`, {
          field: name,
        });
      }
      if (this.#isEmpty && weight === 1 && isPlaced(values, this.#buffer, begin)) continue;
      weigh(this.#buffer, first, values.subarray(first - begin, after - begin), weight, this.#isEmpty);
    }
  }
}

/** Whether elements lie where they are to be put. */
function isPlaced(values: Summable, buffer: Summable, begin: number): boolean {
  return values.buffer === buffer.buffer && values.byteOffset === buffer.byteOffset + begin * buffer.BYTES_PER_ELEMENT;
}

/** Puts weighted values in the place of others, or adds them. */
function weigh(buffer: Summable, at: number, values: Summable, weight: number, replaces: boolean): void {
  const { length } = values;
  if (replaces && weight === 1) buffer.set(values, at);
  else if (replaces) for (let index = 0; index < length; index++) buffer[at + index] = weight * (values[index] ?? 0);
  else {
    for (let index = 0; index < length; index++) {
      buffer[at + index] = (buffer[at + index] ?? 0) + weight * (values[index] ?? 0);
    }
  }
}
