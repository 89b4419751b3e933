import { DataError, UsageError } from "../../errors.ts";

/** Means and standard deviations: per channel (axis 1; one of each where a sample has one axis or none), or one for all. */
export interface NormalizationNumbers {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Those that are given, or those of the data. */
export type Normalization = "computed" | NormalizationNumbers;

/** Numbers that are printed to be given again: nobody types more of them. */
const MOST_SAID = 64;

interface Channels {
  readonly count: number;
  /** Values of one channel of one sample, next to each other. */
  readonly run: number;
}

/** Samples of two axes have their channels along the last: each feature is one. */
function channelsOf(dims: readonly number[]): Channels {
  if (dims.length < 2) return { count: 1, run: 1 };
  return { count: dims[1] ?? 1, run: dims.slice(2).reduce((size, dim) => size * dim, 1) };
}

/**
 * Normalizes in place: (x - mean) / std, per channel.
 * @throws UsageError `E_OPTION` where the numbers do not fit the channels, or a deviation is no positive number
 */
export function normalize(
  values: Float32Array | Float64Array,
  dims: readonly number[],
  moments: NormalizationNumbers,
): void {
  const { count, run } = channelsOf(dims);
  const { mean, std } = perChannel(moments, count);
  for (let index = 0; index < values.length; index++) {
    const channel = Math.floor(index / run) % count;
    values[index] = ((values[index] ?? 0) - (mean[channel] ?? 0)) / (std[channel] ?? 1);
  }
}

/** What was done, in words. */
export function normalizationTold({ mean, std }: NormalizationNumbers): string {
  const few = (numbers: readonly number[]): string =>
    `${numbers
      .slice(0, 4)
      .map((each) => each.toPrecision(4))
      .join(", ")}${numbers.length > 4 ? ", ..." : ""}`;
  return `minus ${few(mean)}, divided by ${few(std)}`;
}

/** How the same numbers are given for other data; null where nobody would. */
export function normalizationOption({ mean, std }: NormalizationNumbers): string | null {
  if (mean.length > MOST_SAID) return null;
  const all = (numbers: readonly number[]): string =>
    numbers.map((each) => String(Number(each.toPrecision(9)))).join(" ");
  return `for other data: --normalize "${all(mean)},${all(std)}" (normalize)`;
}

function perChannel({ mean, std }: NormalizationNumbers, count: number): NormalizationNumbers {
  for (const [name, numbers] of [
    ["mean", mean],
    ["std", std],
  ] as const) {
    if (numbers.length === 1 || numbers.length === count) continue;
    throw new UsageError("E_OPTION", `${numbers.length} numbers of ${name} for ${count} channels`, {
      field: "normalize",
    });
  }
  const bad = std.find((each) => !(each > 0));
  if (bad !== undefined)
    throw new UsageError("E_OPTION", `a deviation must be positive, not ${bad}`, { field: "normalize" });
  const each = (numbers: readonly number[]): readonly number[] =>
    Array.from({ length: count }, (_, channel) => numbers[channel] ?? numbers[0] ?? 0);
  return { mean: each(mean), std: each(std) };
}

/**
 * Sums up the moments of samples that come some at a time, one value after the other (Welford 1962): the numbers are the same bit for bit
 * however the samples are cut.
 */
export class MomentSums {
  readonly #name: string;
  #mean = new Float64Array();
  #squares = new Float64Array();
  /** Samples so far, and values of each channel. */
  #samples = 0;
  #each = 0;

  /** @param name the input that the samples are of */
  constructor(name: string) {
    this.#name = name;
  }

  /** @throws DataError `E_DATA` for a value that is not finite, with its sample */
  add(values: ArrayLike<number>, dims: readonly number[]): void {
    const { count, run } = channelsOf(dims);
    if (this.#mean.length === 0) [this.#mean, this.#squares] = [new Float64Array(count), new Float64Array(count)];
    for (let at = 0, channel = 0; at < values.length; at += run, channel = (channel + 1) % count) {
      let [mean, squares] = [this.#mean[channel] ?? 0, this.#squares[channel] ?? 0];
      if (channel === 0 && at > 0) this.#each += run;
      for (let index = 0; index < run; index++) {
        const from = (values[at + index] ?? 0) - mean;
        mean += from / (this.#each + index + 1);
        squares += from * ((values[at + index] ?? 0) - mean);
      }
      if (!Number.isFinite(squares)) throw this.#notFinite(this.#samples + Math.floor(at / (run * count)));
      this.#mean[channel] = mean;
      this.#squares[channel] = squares;
    }
    if (values.length > 0) this.#each += run;
    this.#samples += dims[0] ?? 0;
  }

  #notFinite(sample: number): DataError {
    return new DataError("E_DATA", `"${this.#name}" has no mean: a number of sample ${sample} is not finite`, {
      field: this.#name,
      hint: "Mend the sample or leave it out, or give numbers: --normalize <mean>,<deviation>.",
    });
  }

  /** A channel that is the same everywhere keeps its deviation of 1. */
  get moments(): NormalizationNumbers {
    return {
      mean: Array.from(this.#mean),
      std: Array.from(this.#squares, (sum) => Math.sqrt(sum / this.#each) || 1),
    };
  }
}
