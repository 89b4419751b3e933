import { UsageError } from "../../errors.ts";

/** Means and standard deviations per channel (axis 1; one of each where a sample has one axis or none), or those of the data. */
export type Normalization = "computed" | { readonly mean: readonly number[]; readonly std: readonly number[] };

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
 * @returns what was done, in words
 * @throws UsageError `E_OPTION` where the numbers do not fit the channels, or a deviation is no positive number
 */
export function normalized(
  values: Float32Array | Float64Array,
  dims: readonly number[],
  normalization: Normalization,
): string {
  const channels = channelsOf(dims);
  const { mean, std } = normalization === "computed" ? momentsOf(values, channels) : given(normalization, channels);
  const { count, run } = channels;
  for (let index = 0; index < values.length; index++) {
    const channel = Math.floor(index / run) % count;
    values[index] = ((values[index] ?? 0) - (mean[channel] ?? 0)) / (std[channel] ?? 1);
  }
  const few = (numbers: readonly number[]): string =>
    `${numbers
      .slice(0, 4)
      .map((each) => each.toPrecision(4))
      .join(", ")}${numbers.length > 4 ? ", ..." : ""}`;
  return `minus ${few(mean)}, divided by ${few(std)}${normalization === "computed" ? " (mean and deviation of these data)" : ""}`;
}

function given(
  { mean, std }: Exclude<Normalization, string>,
  { count }: Channels,
): { mean: readonly number[]; std: readonly number[] } {
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

/** A channel that is the same everywhere keeps its deviation of 1. */
function momentsOf(
  values: ArrayLike<number>,
  { count, run }: Channels,
): { mean: readonly number[]; std: readonly number[] } {
  const [sums, squares] = [new Float64Array(count), new Float64Array(count)];
  const each = values.length / count;
  const channelOf = (index: number): number => Math.floor(index / run) % count;
  for (let index = 0; index < values.length; index++)
    sums[channelOf(index)] = (sums[channelOf(index)] ?? 0) + (values[index] ?? 0);
  const mean = Array.from(sums, (sum) => sum / each);
  for (let index = 0; index < values.length; index++) {
    const channel = channelOf(index);
    squares[channel] = (squares[channel] ?? 0) + ((values[index] ?? 0) - (mean[channel] ?? 0)) ** 2;
  }
  return { mean, std: Array.from(squares, (sum) => Math.sqrt(sum / each) || 1) };
}
