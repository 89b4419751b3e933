import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { type Kind, NUMBER, optional, withFields } from "../../arguments.ts";
import { requireOption, UsageError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Tensor } from "../../graph/tensor.ts";

/** What is done to the images of a training at random. Each sample's draws depend on seed, epoch and sample alone. */
export interface Augmentation {
  /** Left and right change places, for half of the samples. Default false. */
  readonly flip?: boolean;
  /** Pixels by which an image is moved at most, along each axis; zeros come in. Default 0. */
  readonly crop?: number;
  /** The side, in pixels, of a square of zeros anywhere on the image. Default: none. */
  readonly cutout?: number;
  /** Images and targets are mixed with those of another sample, by a share of the distribution Beta(mixup, mixup). Default: none. */
  readonly mixup?: number;
}

export const AUGMENTATION: Kind = withFields(
  {
    flip: optional({ what: "true or false", holds: (given) => typeof given === "boolean" }),
    ...{ crop: optional(NUMBER), cutout: optional(NUMBER), mixup: optional(NUMBER) },
  },
  "an object: { flip, crop, cutout, mixup }",
);

/** What befalls one sample. */
export interface Draw {
  readonly flip: boolean;
  /** Rows and columns that the image is moved by. */
  readonly shift: readonly [down: number, right: number];
  /** Where the middle of the square of zeros lies, as shares of the image. */
  readonly middle: readonly [down: number, right: number];
  /** The share of the sample itself. */
  readonly share: number;
}

/** @throws UsageError `E_OPTION` for numbers that are none */
export function checkAugmentation({ crop, cutout, mixup }: Augmentation): void {
  const isWhole = (given: number | undefined): boolean =>
    given === undefined || (Number.isSafeInteger(given) && given >= 1);
  requireOption(isWhole(crop), "augment.crop", "a whole number of pixels from 1 on");
  requireOption(isWhole(cutout), "augment.cutout", "a whole number of pixels from 1 on");
  requireOption(mixup === undefined || (mixup > 0 && mixup <= 100), "augment.mixup", "above 0 and at most 100");
}

/** Spreads every bit of a number over all of them (the finalizer of MurmurHash3). */
function spread(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/** A generator of its own for what `purpose` draws of a sample in an epoch. */
export const generatorOf = (seed: number, epoch: number, sample: number, purpose: number): RandomGenerator =>
  xoroshiro128plus(spread(spread(spread(spread(seed) + epoch) + sample) + purpose));

/** From 0 up to 1, of 32 bits. */
export const uniform = (random: RandomGenerator): number => uniformInt(random, 0, 0xffffffff) / 2 ** 32;

const [DRAWS, PARTNERS] = [1, 2];

/** The other sample that each is mixed with. */
export const partnersOf = (samples: Uint32Array, size: number, seed: number, epoch: number): Uint32Array =>
  samples.map((sample) => uniformInt(generatorOf(seed, epoch, sample, PARTNERS), 0, size - 1));

/** Every draw is made whatever is asked for, so that one option does not change what another draws. */
export function drawAll(
  { crop = 0, mixup }: Augmentation,
  samples: Uint32Array,
  seed: number,
  epoch: number,
): readonly Draw[] {
  return Array.from(samples, (sample) => {
    const random = generatorOf(seed, epoch, sample, DRAWS);
    const flip = uniform(random) < 0.5;
    const moved = (): number => Math.floor(uniform(random) * (2 * crop + 1)) - crop;
    const shift = [moved(), moved()] as const;
    const middle = [uniform(random), uniform(random)] as const;
    return { flip, shift, middle, share: mixup === undefined ? 1 : beta(random, mixup) };
  });
}

/** A draw of Beta(a, a), by Jöhnk's method for small a, and as the share of one of two Gamma draws for larger. */
function beta(random: RandomGenerator, a: number): number {
  for (;;) {
    if (a <= 1) {
      const [x, y] = [(1 - uniform(random)) ** (1 / a), (1 - uniform(random)) ** (1 / a)];
      if (x + y <= 1 && x + y > 0) return x / (x + y);
    } else {
      const [x, y] = [gamma(random, a), gamma(random, a)];
      return x / (x + y);
    }
  }
}

/** A draw of Gamma(a, 1) for a > 1, by the method of Marsaglia and Tsang. */
function gamma(random: RandomGenerator, a: number): number {
  const d = a - 1 / 3;
  for (;;) {
    const normal = Math.sqrt(-2 * Math.log(1 - uniform(random))) * Math.cos(2 * Math.PI * uniform(random));
    const v = (1 + normal / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - uniform(random)) < 0.5 * normal ** 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

const isFloat = ({ dtype }: Tensor): boolean => dtype === DataType.float || dtype === DataType.double;

/**
 * The tensors of a batch after the draws of their samples.
 * @param others the samples that those of the batch are mixed with; null: none
 * @throws UsageError `E_OPTION` where there is not one input of images, or mixed targets are whole numbers
 */
export function augmented(
  tensors: readonly NamedTensor[],
  others: readonly NamedTensor[] | null,
  draws: readonly Draw[],
  augmentation: Augmentation,
): readonly NamedTensor[] {
  const images = tensors.filter(({ tensor }) => tensor.dims.length === 4 && isFloat(tensor));
  const [image, second] = images;
  if (image === undefined || second !== undefined) {
    const found = images.map(({ name }) => name).join(", ") || "none";
    throw new UsageError("E_OPTION", `--augment is for one input of images [N,C,H,W] of floats; there are ${found}`, {
      field: "augment",
      hint: "Leave it out, or prepare the images before the training.",
    });
  }
  const moved = tensors.map((each) =>
    each === image ? { ...each, tensor: movedImages(each.tensor, draws, augmentation) } : each,
  );
  if (others === null) return moved;
  return moved.map(({ name, tensor }) => {
    const other = others.find((each) => each.name === name)?.tensor;
    if (other === undefined) throw new Error(`no partners of ${name}`);
    if (!isFloat(tensor)) {
      throw new UsageError(
        "E_OPTION",
        `mixup mixes targets, and "${name}" holds whole numbers, which have no mixture`,
        {
          field: "augment",
          hint: "Leave mixup out, or train with targets of floats: one-hot classes and a loss that takes them.",
        },
      );
    }
    return {
      name,
      tensor: mixed(tensor, name === image.name ? movedImages(other, draws, augmentation) : other, draws),
    };
  });
}

function movedImages(tensor: Tensor, draws: readonly Draw[], { flip, cutout, crop }: Augmentation): Tensor {
  if (flip !== true && crop === undefined && cutout === undefined) return tensor;
  const [, channels = 0, height = 0, width = 0] = tensor.dims;
  const from = tensor.realValues();
  const to = from.slice().fill(0);
  for (const [sample, draw] of draws.entries()) {
    const [down, right] = draw.shift;
    const holeOf = (middle: number, size: number): readonly [number, number] => {
      const first = cutout === undefined ? 0 : Math.floor(middle * size) - Math.floor(cutout / 2);
      return [first, first + (cutout ?? 0)];
    };
    const [top, bottom] = holeOf(draw.middle[0], height);
    const [left, end] = holeOf(draw.middle[1], width);
    for (let channel = 0; channel < channels; channel++) {
      const start = (sample * channels + channel) * height * width;
      for (let y = Math.max(0, down); y < Math.min(height, height + down); y++) {
        for (let x = Math.max(0, right); x < Math.min(width, width + right); x++) {
          if (y >= top && y < bottom && x >= left && x < end) continue;
          const column = x - right;
          const taken = flip === true && draw.flip ? width - 1 - column : column;
          to[start + y * width + x] = from[start + (y - down) * width + taken] ?? 0;
        }
      }
    }
  }
  return Tensor.from(tensor.dtype, tensor.dims, to);
}

function mixed(tensor: Tensor, other: Tensor, draws: readonly Draw[]): Tensor {
  const [from, partners] = [tensor.realValues(), other.realValues()];
  const to = from.slice();
  const width = from.length / draws.length;
  for (let index = 0; index < to.length; index++) {
    const share = draws[Math.floor(index / width)]?.share ?? 1;
    to[index] = share * (from[index] ?? 0) + (1 - share) * (partners[index] ?? 0);
  }
  return Tensor.from(tensor.dtype, tensor.dims, to);
}
