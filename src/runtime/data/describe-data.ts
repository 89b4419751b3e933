import { type Kind, requireArgument, withFields } from "../../arguments.ts";
import { NAMED_TENSORS, type NamedTensor } from "../../graph/attribute.ts";
import { DataType, dataTypeName, layoutOf, type TypedArray } from "../../graph/data-type.ts";
import { fromBfloat, fromHalf } from "../../graph/half.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { DataContent } from "./formats/format.ts";
import { picturesIn } from "./picture-layout.ts";

/** Samples that are looked at together, where they are not in memory. */
const CHUNK_BYTES = 2 ** 26;
/** Of a column of classes, at most. */
const MAX_CLASSES = 1000;

export const DATA_CONTENT: Kind = withFields({ tensors: NAMED_TENSORS }, "what readData gives");

/** What a tensor of data holds. */
export interface TensorDescription {
  readonly name: string;
  /** A code of `DataType`. */
  readonly dtype: number;
  readonly shape: readonly number[];
  /** Of the elements that are finite; null where there is none, or elements are no numbers here. */
  readonly range: { readonly least: number; readonly greatest: number } | null;
  /** Mean and standard deviation of those, per channel of pictures, else of all. */
  readonly moments: { readonly mean: readonly number[]; readonly std: readonly number[] } | null;
  /** How many are NaN or infinite. */
  readonly notFinite: number;
  /** How often each whole number occurs, of tensors of one axis that have few. */
  readonly counts: readonly { readonly value: number; readonly count: number; readonly class?: string }[] | null;
}

/** Says what data hold: every element is looked at, some at a time where they are not in memory. */
export async function describeData(content: DataContent): Promise<readonly TensorDescription[]> {
  requireArgument("content", content, DATA_CONTENT);
  const described: TensorDescription[] = [];
  for (const each of content.tensors) described.push(await describe(content, each));
  return described;
}

async function describe(content: DataContent, { name, tensor }: NamedTensor): Promise<TensorDescription> {
  const { dtype, dims } = tensor;
  const sums = new Sums(channelsOf(tensor), dims.length === 1);
  if (isNumeric(dtype)) {
    const size = dims[0] ?? 1;
    const streamed = content.streamed?.get(name);
    if (streamed === undefined) sums.add(dtype, tensor.values());
    else {
      const rows = Math.max(1, Math.floor(CHUNK_BYTES / streamed.sampleBytes));
      for (let first = 0; first < size; first += rows) {
        const samples = Uint32Array.from({ length: Math.min(rows, size - first) }, (_, index) => first + index);
        sums.add(dtype, (await streamed.read(samples, { seed: 0, epoch: 0 })).values());
      }
    }
  }
  const { range, moments, notFinite } = sums;
  const words = content.classes?.[name];
  const counts = sums.counts?.map(({ value, count }) => {
    const text = words?.[value];
    return { value, count, ...(text === undefined ? {} : { class: text }) };
  });
  return { name, dtype, shape: dims, range, moments, notFinite, counts: counts ?? null };
}

/** Elements of eight bits of float are bit patterns in memory. */
const isNumeric = (dtype: number): boolean =>
  layoutOf(dtype)?.array !== undefined && !dataTypeName(dtype).startsWith("float8");

/** How many channels there are, and how many elements of one lie next to each other. */
type Channels = readonly [count: number, run: number];

function channelsOf(tensor: Tensor): Channels {
  const pictures = picturesIn(tensor);
  if (pictures === null) return [1, 1];
  const { channels, height, width, isChannelsLast } = pictures;
  return [channels, isChannelsLast ? 1 : height * width];
}

class Sums {
  readonly #channels: Channels;
  readonly #isColumn: boolean;
  readonly #sums: Float64Array;
  readonly #squares: Float64Array;
  readonly #finite: Float64Array;
  readonly #counts = new Map<number, number>();
  #seen = 0;
  #whole = 0;
  #least = Number.POSITIVE_INFINITY;
  #greatest = Number.NEGATIVE_INFINITY;
  /** What sums of squares are taken about, so that they lose no digits. */
  #about: number | null = null;

  constructor(channels: Channels, isColumn: boolean) {
    this.#channels = channels;
    this.#isColumn = isColumn;
    [this.#sums, this.#squares, this.#finite] = [
      new Float64Array(channels[0]),
      new Float64Array(channels[0]),
      new Float64Array(channels[0]),
    ];
  }

  /** @param values of whole samples */
  add(dtype: number, values: TypedArray): void {
    const numberOf =
      dtype === DataType.float16 ? fromHalf : dtype === DataType.bfloat16 ? fromBfloat : (value: number) => value;
    const [channels, run] = this.#channels;
    for (let index = 0; index < values.length; index++) {
      this.#seen++;
      const value = numberOf(Number(values[index]));
      if (!Number.isFinite(value)) continue;
      this.#about ??= value;
      const channel = Math.floor(index / run) % channels;
      const from = value - this.#about;
      this.#finite[channel] = (this.#finite[channel] ?? 0) + 1;
      this.#sums[channel] = (this.#sums[channel] ?? 0) + from;
      this.#squares[channel] = (this.#squares[channel] ?? 0) + from * from;
      if (value < this.#least) this.#least = value;
      if (value > this.#greatest) this.#greatest = value;
      if (!this.#isColumn || this.#counts.size > MAX_CLASSES || !Number.isInteger(value)) continue;
      this.#whole++;
      this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
    }
  }

  get #finiteCount(): number {
    return this.#finite.reduce((sum, count) => sum + count, 0);
  }

  get notFinite(): number {
    return this.#seen - this.#finiteCount;
  }

  get range(): TensorDescription["range"] {
    return this.#finiteCount === 0 ? null : { least: this.#least, greatest: this.#greatest };
  }

  get moments(): TensorDescription["moments"] {
    if (this.#finiteCount === 0) return null;
    const about = this.#about ?? 0;
    const each = Array.from(this.#finite, (count, channel) => {
      const mean = (this.#sums[channel] ?? 0) / count;
      return { mean: about + mean, std: Math.sqrt(Math.max(0, (this.#squares[channel] ?? 0) / count - mean ** 2)) };
    });
    return { mean: each.map(({ mean }) => mean), std: each.map(({ std }) => std) };
  }

  get counts(): readonly { readonly value: number; readonly count: number }[] | null {
    if (!this.#isColumn || this.#counts.size > MAX_CLASSES || this.#whole !== this.#seen || this.#seen === 0)
      return null;
    return [...this.#counts].sort(([a], [b]) => a - b).map(([value, count]) => ({ value, count }));
  }
}
