import { DataType } from "../graph/data-type.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Dataset } from "../runtime/data/dataset.ts";
import type { Pixels } from "./png.ts";

/** Sides of what is taken for a picture: smaller is a feature map, larger too much for a page. */
const [SMALLEST, LARGEST] = [4, 512];
/** Samples that tell of what range the numbers are. */
const LOOKED_AT = 256;

/** Samples that are pictures: [N,C,H,W] with one channel or three, as models of images take them. */
export class Pictures {
  readonly #tensor: Tensor;
  /** Where a sample is in the tensor. */
  readonly #placeOf: (sample: number) => number;
  readonly #low: number;
  readonly #high: number;

  private constructor(tensor: Tensor, placeOf: (sample: number) => number) {
    this.#tensor = tensor;
    this.#placeOf = placeOf;
    const size = tensor.size / (tensor.dims[0] ?? 1);
    const looked = tensor.values().subarray(0, LOOKED_AT * size);
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const each of looked) {
      const value = Number(each);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    [this.#low, this.#high] = [low, high > low ? high : low + 1];
  }

  /**
   * Null where no tensor of the data has pictures.
   * @param samples those that are shown: of data that are not in memory they are read, and no others
   */
  static async of({ tensors, axes, source }: Dataset, samples: readonly number[]): Promise<Pictures | null> {
    const found = tensors.find(({ name, tensor }) => isOfPictures(tensor) && (axes?.[name] ?? 0) === 0);
    if (found !== undefined) return new Pictures(found.tensor, (sample) => sample);
    if (source === undefined || samples.length === 0) return null;
    const read = await source.read(Uint32Array.from(samples), { seed: 0, epoch: 0 });
    const own = read.find(({ tensor }) => isOfPictures(tensor));
    return own === undefined ? null : new Pictures(own.tensor, (sample) => samples.indexOf(sample));
  }

  /** A sample: its numbers from the least to the greatest of the data, or of those shown, are black to white. */
  of(sample: number): Pixels {
    const [, channels = 1, height = 1, width = 1] = this.#tensor.dims;
    const area = height * width;
    const row = this.#placeOf(sample);
    const values = this.#tensor.values().subarray(row * channels * area, (row + 1) * channels * area);
    const data = new Uint8Array(channels * area);
    for (let at = 0; at < values.length; at++) {
      const share = (Number(values[at]) - this.#low) / (this.#high - this.#low);
      data[(at % area) * channels + Math.floor(at / area)] = Math.round(255 * Math.min(1, Math.max(0, share)));
    }
    return { width, height, channels: channels === 3 ? 3 : 1, data };
  }
}

function isOfPictures({ dtype, dims }: Tensor): boolean {
  const [, channels = 0, ...sides] = dims;
  const isNumber = dtype === DataType.float || dtype === DataType.uint8;
  return (
    isNumber &&
    dims.length === 4 &&
    [1, 3].includes(channels) &&
    sides.every((side) => side >= SMALLEST && side <= LARGEST)
  );
}
