/** A convolution over planes, with what decides about its cost. Sizes that are not known are estimates. */
export interface Convolution {
  /** Samples. */
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly group: number;
  /** Places of a kernel, of an image and of a result. */
  readonly kernel: number;
  readonly pixels: number;
  readonly results: number;
}

/** How ONNX Runtime takes a convolution in blocks: what of the channels is laid out in blocks. */
export type Form = "dense" | "depthwise" | "few-channels";

/**
 * The form that a convolution has in blocks of this many channels; null where it has none. Where the channels of a group do not fill
 * blocks, a kernel would read another group's.
 */
export function formOf({ channels, outputs, group }: Convolution, block: number): Form | null {
  const perGroup = channels / group;
  if (group === 1 && channels < block) return "few-channels";
  if (channels % LANES !== 0) return null;
  if (perGroup === 1 && outputs === group) return "depthwise";
  if (group === 1) return "dense";
  return perGroup % block === 0 && (outputs / group) % block === 0 ? "dense" : null;
}

/** ONNX Runtime reorders channels by fours. */
export const LANES = 4;

export const roundedUp = (count: number, to: number): number => Math.ceil(count / to) * to;

/**
 * What elements and nodes cost, in floating-point operations of a large matrix product. Measured on two threads of a processor with
 * AVX-512; docs/training.md has the convolutions that they were measured by.
 */
const COSTS = {
  /** One element of the patches that a convolution lays out before its product. */
  patch: 19,
  /** The same as a product of one row per channel. */
  depthwise: 13,
  /** In blocks: an operation, an operation on channels that are not in blocks, and an element of image, result and kernel that changes places. */
  blocked: { dense: 0.84, depthwise: 1.5, "few-channels": 1 } satisfies Readonly<Record<Form, number>>,
  image: 14,
  result: 18,
  weight: 106,
  /** The nodes that change places. */
  nodes: 3.8e6,
};

/** Kernels of more places are gradients, of which a weight gradient is taken: few rows of results, which threads share badly. */
const LARGEST_KERNEL = 121;

/** Whether a convolution costs less in blocks, with what changes places before and after it. */
export function blockedCostsLess(convolution: Convolution, form: Form, block: number): boolean {
  const { batch, channels, outputs, group, kernel, pixels, results } = convolution;
  if (form !== "depthwise" && kernel > LARGEST_KERNEL) return false;
  const operations = (inputs: number, made: number): number => 2 * batch * results * kernel * (inputs / group) * made;
  const own = operations(channels, outputs);
  const patches = kernel === 1 ? 0 : batch * results * kernel * channels;
  const plain = form === "depthwise" ? COSTS.depthwise * own : own + COSTS.patch * patches;
  const inputs = form === "dense" ? roundedUp(channels, block) : channels;
  const made = roundedUp(outputs, block);
  const image = form === "few-channels" ? 0 : COSTS.image * batch * inputs * pixels;
  const moved = image + COSTS.result * batch * made * results + (COSTS.weight * made * inputs * kernel) / group;
  return COSTS.blocked[form] * operations(inputs, made) + moved + COSTS.nodes < plain;
}
