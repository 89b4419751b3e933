import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { outputSizes, placesOf, reach, type Window, windowAttributes } from "./window.ts";

/** Kernels of up to these many positions are turned round by a product with the reversed identity, which is faster than a slice backwards. */
const MOST_REVERSED = 49;

/** The matrix that reverses a row of `size` elements. */
function reversal(f: Formula, size: number): Value {
  const elements = Array.from({ length: size * size }, (_, at) =>
    at > 0 && at % (size - 1) === 0 && at < size * size - 1 ? 1 : 0,
  );
  const single = f.build.constant(Tensor.floats([size, size], elements), "reversal");
  return f.dtype === DataType.float ? single : f.cast(single, f.dtype);
}

/** The weight [M, C / group, ...] turned round, as the convolution takes it that undoes one of stride 1: [C, M / group, ...]. */
function flipped(f: Formula, weight: Value, group: number, dims: readonly number[]): Value {
  const [outputs = 0, perGroup = 0, ...kernel] = dims;
  const spatial = axesFrom(2, dims.length);
  const swapped =
    group === 1
      ? f.transpose(weight, [1, 0, ...spatial])
      : f.reshape(
          f.transpose(f.reshape(weight, [group, outputs / group, perGroup, ...kernel]), [
            0,
            2,
            1,
            ...spatial.map((axis) => axis + 1),
          ]),
          [group * perGroup, outputs / group, ...kernel],
        );
  const places = placesOf(kernel);
  if (places === 1) return swapped;
  if (places > MOST_REVERSED) {
    const all = (value: number): readonly number[] => kernel.map(() => value);
    return f.slice(swapped, all(-1), all(-(2 ** 31)), spatial, all(-1));
  }
  const turned = f.matmul(f.reshape(swapped, [-1, places]), reversal(f, places));
  return f.reshape(turned, [group * perGroup, outputs / group, ...kernel]);
}

export interface ConvInput {
  readonly dY: Value;
  readonly x: Value;
  readonly weight: Value;
  readonly dims: readonly number[];
  readonly window: Window;
  readonly group: number;
  readonly spatial: readonly number[] | null;
}

/** What laying out a number costs Conv beside a multiplication, and what adding one up costs ConvTranspose. */
const LAYING_OUT = 18;
const ADDING_UP = 22;
/** ConvTranspose goes through samples one by one, and small ones on one thread: two threads make Conv as fast. */
const AT_MOST = 0.5;

/**
 * Whether a convolution's image gradient costs less as a ConvTranspose, which multiplies once per pixel of dY and channel and adds up what
 * falls on one pixel, than as a Conv of dY, which lays out every window first. The measurements are in docs/building.md.
 */
export function transposedCostsLess({ dims, window, group, spatial }: Omit<ConvInput, "dY" | "x" | "weight">): boolean {
  const [outputs = 0, perGroup = 0, ...kernel] = dims;
  if (spatial === null || group !== 1 || placesOf(kernel) === 1) return false;
  const laid = outputs * (LAYING_OUT + perGroup) * placesOf(spatial);
  const added = perGroup * (ADDING_UP + outputs) * placesOf(outputSizes(window, spatial));
  return added <= AT_MOST * laid;
}

/** The gradient of a convolution's image. */
export function imageGrad(f: Formula, input: ConvInput): Value {
  const { dY, weight, window, group, dims, spatial } = input;
  const { strides, begin, end } = window;
  const reaches = reach(window);
  const back = (pads: readonly number[]): readonly number[] => pads.map((pad, axis) => (reaches[axis] ?? 1) - 1 - pad);
  const isConvolution =
    strides.every((stride) => stride === 1) && [...back(begin), ...back(end)].every((pad) => pad >= 0);
  if (isConvolution && !transposedCostsLess(input)) {
    const attributes = windowAttributes({ ...window, begin: back(begin), end: back(end) }, group);
    return f.emit("Conv", [dY, flipped(f, weight, group, dims)], { attributes });
  }
  if (spatial === null) return imageGradOfUnknownSize(f, input);
  const extra = outputSizes(window, spatial).map((count, axis) => {
    const full = (count - 1) * (strides[axis] ?? 1) + (reaches[axis] ?? 1);
    return (spatial[axis] ?? 0) + (begin[axis] ?? 0) + (end[axis] ?? 0) - full;
  });
  const attributes = [...windowAttributes(window, group), attribute.ints("output_padding", extra)];
  return f.emit("ConvTranspose", [dY, weight], { attributes });
}

/** Without pads first, then cut and padded to the size that the image turns out to have. */
function imageGradOfUnknownSize(f: Formula, { dY, x, weight, window, group }: ConvInput): Value {
  const { begin } = window;
  const zero = begin.map(() => 0);
  const attributes = windowAttributes({ ...window, begin: zero, end: zero }, group);
  const full = f.emit("ConvTranspose", [dY, weight], { attributes });
  const int = f.typed(DataType.int64);
  const end = int.add(int.sub(int.shape(x, 2), int.shape(full, 2)), int.ints(begin));
  const front = begin.map((pad) => -pad);
  return f.emit("Pad", [full, int.vector(int.ints([0, 0, ...front, 0, 0]), end)]);
}

/** The gradient [M] of a convolution's bias. @param rank of dY */
export const biasGrad = (f: Formula, dY: Value, rank: number): Value => f.sum(dY, [0, ...axesFrom(2, rank)], false);
