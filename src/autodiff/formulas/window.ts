import { attribute } from "../../graph/attribute.ts";
import type { NodeView } from "../../ops/node-view.ts";
import { axesFrom } from "../../ops/value-types.ts";

/** The window of a convolution or pool, one number per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** A window as the attributes of Conv and ConvTranspose. */
export const windowAttributes = ({ kernel, strides, dilations, begin, end }: Window, group: number) => [
  attribute.ints("kernel_shape", kernel),
  attribute.ints("strides", strides),
  attribute.ints("dilations", dilations),
  attribute.ints("pads", [...begin, ...end]),
  attribute.int("group", group),
];

/** How far a window reaches: d (k - 1) + 1. */
export const reach = ({ kernel, dilations }: Pick<Window, "kernel" | "dilations">): readonly number[] =>
  kernel.map((size, axis) => (dilations[axis] ?? 1) * (size - 1) + 1);

/** Number of places of a window. */
export const placesOf = (kernel: readonly number[]): number => kernel.reduce((product, size) => product * size, 1);

/** A window of more places than this would take more memory than the image. */
const MOST_PLACES = 2 ** 20;

/** The first numbers of a list that may be long. */
const shortList = (numbers: readonly number[]): string =>
  numbers.length > 8 ? `${numbers.slice(0, 8).join(",")},...` : numbers.join(",");

/** Every position of a kernel, last axis fastest. */
export function positions(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (all, size) => all.flatMap((head) => axesFrom(0, size).map((index) => [...head, index])),
    [[]],
  );
}

/** Number of window positions along each axis. */
export function outputSizes(window: Window, input: readonly number[]): readonly number[] {
  const reaches = reach(window);
  return input.map((size, axis) => {
    const padded = size + (window.begin[axis] ?? 0) + (window.end[axis] ?? 0);
    return Math.floor((padded - (reaches[axis] ?? 1)) / (window.strides[axis] ?? 1)) + 1;
  });
}

/** A node that has a window, and the error for one whose window cannot be told. */
export interface Windowed extends Pick<NodeView, "gives" | "int" | "ints" | "string"> {
  readonly refuse: (reason: string) => Error;
}

/**
 * The window a node's attributes describe, `auto_pad` resolved.
 * @param kernel where the node does not say
 * @param spatial sizes of the image, which `auto_pad` needs
 * @throws what `refuse` makes where they are needed and not known
 */
export function windowOf(
  node: Windowed,
  kernel: readonly number[] | null,
  spatial: readonly (number | null)[] | null,
): Window {
  const size = node.ints("kernel_shape") ?? kernel;
  if (size === null) throw node.refuse("its kernel_shape is not known");
  if (!(placesOf(size) <= MOST_PLACES)) {
    throw node.refuse(`its window [${shortList(size)}] has more than ${MOST_PLACES} places`);
  }
  if (kernel !== null && size.length !== kernel.length) {
    throw node.refuse(
      `its kernel_shape [${shortList(size)}] has ${size.length} axes, and its weight has ${kernel.length}`,
    );
  }
  const ones = size.map(() => 1);
  const window = {
    kernel: size,
    strides: node.ints("strides") ?? ones,
    dilations: node.ints("dilations") ?? ones,
  };
  const auto = node.string("auto_pad");
  if (auto === "VALID") return { ...window, begin: size.map(() => 0), end: size.map(() => 0) };
  if (auto !== "SAME_UPPER" && auto !== "SAME_LOWER") {
    const pads = node.ints("pads") ?? [...size, ...size].map(() => 0);
    return { ...window, begin: pads.slice(0, size.length), end: pads.slice(size.length) };
  }
  const reaches = reach(window);
  const totals = size.map((_, axis) => {
    const [input, stride] = [spatial?.[axis] ?? null, window.strides[axis] ?? 1];
    if (stride === 1) return (reaches[axis] ?? 1) - 1;
    if (input === null)
      throw node.refuse(
        `auto_pad ${auto} needs the spatial sizes of the input, which are not known; --dim (sizes) fixes them`,
      );
    return Math.max(0, (Math.ceil(input / stride) - 1) * stride + (reaches[axis] ?? 1) - input);
  });
  const [small, large] = [totals.map((each) => Math.floor(each / 2)), totals.map((each) => Math.ceil(each / 2))];
  return auto === "SAME_UPPER" ? { ...window, begin: small, end: large } : { ...window, begin: large, end: small };
}
