/** One axis of a convolution's transposition. */
export interface TransposedAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** What is cut off before the first result. */
  readonly begin: number;
  readonly image: number;
  readonly results: number;
}

/** Every `stride`-th result, from one on: a convolution of stride 1 of the whole image. */
export interface Phase {
  /** Places of the kernel that take part, in the order of the pixels that they meet. Never none. */
  readonly taps: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Phases {
  /** One for each of the first `stride` results; null: no place of the kernel meets these. */
  readonly all: readonly (Phase | null)[];
  /** Of the phases' kernels. */
  readonly dilation: number;
  /** Results of each phase, so many that together they are all results, or some more. */
  readonly places: number;
}

/** An axis as convolutions of stride 1, which lay out no products to be added up; null where these would have to cut the image. */
export function phasesOf({ kernel, stride, dilation, begin, image, results }: TransposedAxis): Phases | null {
  const places = Math.ceil(results / stride);
  const all = Array.from({ length: stride }, (_, first): Phase | null => {
    const met = Array.from({ length: kernel }, (_, tap) => ({ tap, pixel: (first + begin - dilation * tap) / stride }))
      .filter(({ pixel }) => Number.isInteger(pixel))
      .reverse();
    const [low, high] = [met[0], met.at(-1)];
    if (low === undefined || high === undefined) return null;
    return { taps: met.map(({ tap }) => tap), begin: 0 - low.pixel, end: places + high.pixel - image };
  });
  if (all.some((phase) => phase !== null && (phase.begin < 0 || phase.end < 0))) return null;
  return { all, dilation: dilation / commonDivisor(dilation, stride), places };
}

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));
