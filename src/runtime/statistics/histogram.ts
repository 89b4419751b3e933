/**
 * How often numbers fall into buckets that grow with them: four to an octave, as wide on either side of zero. So a number and its
 * bucket's limits differ by at most a quarter, whatever its size.
 */
export interface Histogram {
  readonly count: number;
  readonly least: number;
  readonly greatest: number;
  readonly sum: number;
  readonly squares: number;
  /** The largest number that each bucket holds, and how many it has; of empty ones in a row only the last before one that is not. */
  readonly buckets: readonly (readonly [limit: number, count: number])[];
}

/** Bits of a float32 that a bucket leaves open: 21 of its 23 bits of mantissa. */
const OPEN_BITS = 21;
const SIDE = 2 ** (31 - OPEN_BITS);

/** Counts numbers; those that are not finite in float32 are left out. */
export class HistogramCounter {
  readonly #float = new Float32Array(1);
  readonly #bits = new Uint32Array(this.#float.buffer);
  /** Of numbers from +0 on, then of those from -0 down. */
  readonly #counts = new Float64Array(2 * SIDE);
  #count = 0;
  #least = Number.POSITIVE_INFINITY;
  #greatest = Number.NEGATIVE_INFINITY;
  #sum = 0;
  #squares = 0;

  add(value: number): void {
    this.#float[0] = value;
    if (!Number.isFinite(this.#float[0])) return;
    const bucket = (this.#bits[0] ?? 0) >>> OPEN_BITS;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
    this.#sum += value;
    this.#squares += value * value;
    if (value < this.#least) this.#least = value;
    if (value > this.#greatest) this.#greatest = value;
  }

  get histogram(): Histogram {
    const negative = [...this.#counts.subarray(SIDE)].map((count, at) => [this.#limit(SIDE + at), count] as const);
    const all = [
      ...negative.toReversed(),
      ...[...this.#counts.subarray(0, SIDE)].map((count, at) => [this.#limit(at), count] as const),
    ];
    /** Of empty buckets in a row the last is enough: it says where the next one begins. */
    const buckets = all.filter(([, count], at) => count > 0 || (all[at + 1]?.[1] ?? 0) > 0);
    return {
      count: this.#count,
      least: this.#count === 0 ? 0 : this.#least,
      greatest: this.#count === 0 ? 0 : this.#greatest,
      sum: this.#sum,
      squares: this.#squares,
      buckets,
    };
  }

  /** The largest number of a bucket: of negative ones that which is nearest to zero. */
  #limit(bucket: number): number {
    this.#bits[0] = bucket < SIDE ? ((bucket + 1) << OPEN_BITS) - 1 : bucket << OPEN_BITS;
    return this.#float[0] ?? 0;
  }
}
