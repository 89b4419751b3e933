import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { outputSizes, placesOf, positions, type Window } from "./window.ts";

/** A convolution over a plane and the max pool behind it, whose windows are squares side by side. */
export interface PooledConvolution {
  readonly window: Window;
  /** Sizes of the image's plane. */
  readonly spatial: readonly number[];
  /** Width of the pool's windows. */
  readonly block: number;
  readonly channels: number;
  readonly outputs: number;
}

export interface PooledOperands {
  /** [N, C, ...spatial] */
  readonly x: Value;
  /** [M, C, ...kernel] */
  readonly weight: Value;
  /** [M]; null: none. */
  readonly bias: Value | null;
}

/** How many blocks of pixels along each axis the results of one block are made of. */
const reachedBlocks = ({ window: { kernel }, block }: PooledConvolution): readonly number[] =>
  kernel.map((size) => Math.ceil((block + size - 1) / block));

/** Pictures have up to so many channels, and want no gradient. */
const MOST_CHANNELS = 3;
/** The largest matrix that spreads a kernel. */
const MOST_ENTRIES = 2 ** 16;
/** What laying out a number for a convolution and its weight gradient costs beside a multiplication, and what taking a result apart for the pool. */
const LAYING_OUT = 18;
const TAKING_APART = 44;

/** Whether this costs less than the convolution and the pool by themselves, forward and backward. The measurements are in docs/building.md. */
export function pooledCostsLess(call: PooledConvolution): boolean {
  const { window, block, channels, outputs } = call;
  const [places, blocks] = [placesOf(window.kernel), placesOf(reachedBlocks(call))];
  if (channels > MOST_CHANNELS || places === 1 || places * block ** 4 * blocks > MOST_ENTRIES) return false;
  const laid = 2 * LAYING_OUT * channels * (places - blocks);
  const multiplied = 2 * channels * outputs * (block ** 2 * blocks - places);
  return laid + TAKING_APART * outputs > multiplied;
}

/**
 * The convolution of blocks of pixels, which are channels, to blocks of results, which are channels too: so a pool's window is the same place of
 * all blocks, few windows are laid out, and nothing is taken apart on the way back. Kernels are spread to what each place of a block of
 * results takes of the blocks of pixels. What is added to a convolution's products are zeros.
 * @returns [N, M, ...] as the pool gives it
 */
export function pooledConvolution(f: Formula, call: PooledConvolution, { x, weight, bias }: PooledOperands): Value {
  const { window, spatial, block, channels, outputs } = call;
  const [reached, results] = [reachedBlocks(call), outputSizes(window, spatial)];
  const [blocks, places] = [results.map((size) => size / block), block ** 2];
  const behind = blocks.map(
    (count, axis) => block * (count + (reached[axis] ?? 1) - 1) - (spatial[axis] ?? 0) - (window.begin[axis] ?? 0),
  );
  const isPadded = [...window.begin, ...behind].some((pad) => pad !== 0);
  const padded = isPadded ? f.emit("Pad", [x, f.ints([0, 0, ...window.begin, 0, 0, ...behind])]) : x;
  const pixels = f.emit("SpaceToDepth", [padded], { attributes: [attribute.int("blocksize", block)] });
  const spread = f.matmul(f.reshape(weight, [outputs * channels, -1]), spreading(f, call, reached));
  const kernels = f.transpose(f.reshape(spread, [outputs, channels, places, places, -1]), [2, 0, 3, 1, 4]);
  const made = f.emit(
    "Conv",
    [
      pixels,
      f.reshape(kernels, [places * outputs, places * channels, ...reached]),
      bias === null
        ? null
        : f.concat(
            axesFrom(0, places).map(() => bias),
            0,
          ),
    ],
    { attributes: [attribute.ints("kernel_shape", reached)] },
  );
  const rows = f.reshape(made, [0, 1, places, outputs * blocks.reduce((product, count) => product * count, 1)]);
  const attributes = [attribute.ints("kernel_shape", [places, 1]), attribute.ints("strides", [places, 1])];
  return f.reshape(f.emit("MaxPool", [rows], { attributes }), [0, outputs, ...blocks]);
}

/** [kernel, results of a block * pixels of a block * blocks]: 1 where a result takes a pixel by this place of the kernel. */
function spreading(f: Formula, { window: { kernel }, block }: PooledConvolution, reached: readonly number[]): Value {
  const inBlock = positions([block, block]);
  const rows = positions(kernel).map((place) =>
    inBlock.flatMap((result) =>
      inBlock.flatMap((pixel) =>
        positions(reached).map((at) =>
          place.every((own, axis) => own === block * (at[axis] ?? 0) + (pixel[axis] ?? 0) - (result[axis] ?? 0))
            ? 1
            : 0,
        ),
      ),
    ),
  );
  const matrix = f.build.constant(Tensor.floats([rows.length, rows[0]?.length ?? 0], rows.flat()), "spreading");
  return f.dtype === DataType.float ? matrix : f.cast(matrix, f.dtype);
}
