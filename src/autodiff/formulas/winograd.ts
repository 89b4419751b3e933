import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import { outputSizes, placesOf, type Window } from "./window.ts";

/** A convolution of float32, of two spatial axes and one group. */
export interface PlaneConvolution {
  readonly window: Window;
  /** [N, C, H, W] */
  readonly x: Value;
  /** [M, C, 3, 3] */
  readonly weight: Value;
  /** [M]; null: none. */
  readonly bias: Value | null;
  readonly channels: number;
  readonly outputs: number;
  /** H and W. */
  readonly spatial: readonly number[];
}

type Matrix = readonly (readonly number[])[];

const KERNEL = 3;
/** Results of a tile along an axis. */
const RESULTS = 4;
/** Points of the interpolation, beside infinity. With these the rounding is least: a third of that with 0, 1, -1, 2, -2. */
const POINTS = [0, 0.75, -0.75, 1.5, -1.5];
/** Pixels that a tile sees along an axis, and products in their place. */
const PARTS = POINTS.length + 1;

/** Coefficients of the polynomial that is zero at these points, lowest first. */
const polynomial = (zeros: readonly number[]): readonly number[] =>
  zeros.reduce<readonly number[]>(
    (known, zero) =>
      Array.from({ length: known.length + 1 }, (_, power) => (known[power - 1] ?? 0) - zero * (known[power] ?? 0)),
    [1],
  );

const OTHERS = POINTS.map((point) => POINTS.filter((each) => each !== point));

/**
 * Toom and Cook's products: along one axis, a tile's results are A' (G g * B' d), with d its pixels and g the kernel. Rows are
 * parts.
 */
const OF_IMAGE: Matrix = [...OTHERS.map((others) => [...polynomial(others), 0]), polynomial(POINTS)];
const OF_KERNEL: Matrix = [
  ...POINTS.map((point, index) => {
    const slope = (OTHERS[index] ?? []).reduce((product, other) => product * (point - other), 1);
    return [1, point, point ** 2].map((power) => power / slope);
  }),
  [0, 0, 1],
];
const OF_RESULTS: Matrix = [
  ...POINTS.map((point) => [1, point, point ** 2, point ** 3]),
  Array.from({ length: RESULTS }, (_, place) => (place === RESULTS - 1 ? 1 : 0)),
];

const tilesOf = (results: number): number => Math.ceil(results / RESULTS);

/** Each tile's matrix at its place in an axis of `size`; what lies outside is left out. Rows are [parts, tiles]. */
function atTiles(own: Matrix, tiles: number, size: number, begin: number): Matrix {
  const places = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);
  return places(PARTS).flatMap((part) =>
    places(tiles).map((tile) => places(size).map((place) => own[part]?.[place + begin - tile * RESULTS] ?? 0)),
  );
}

/** What spreads a kernel, row after row, to its parts along rows and, within each of those, along columns. */
const OF_WHOLE_KERNEL: Matrix = OF_KERNEL.flatMap((alongRow) =>
  OF_KERNEL.map((alongColumn) => alongColumn.flatMap((y) => alongRow.map((x) => x * y))),
);

const constant = (f: Formula, rows: Matrix, hint: string): Value =>
  f.build.constant(Tensor.floats([rows.length, rows[0]?.length ?? 0], rows.flat()), hint);

/** A matrix once for each part along the other axis. */
const stacked = (f: Formula, rows: Matrix, hint: string): Value => {
  const all = Array.from({ length: PARTS }, () => rows.flat()).flat();
  return f.build.constant(Tensor.floats([PARTS, rows.length, rows[0]?.length ?? 0], all), hint);
};

/** A product of two matrices, of which one has changed its axes. */
const gemm = (f: Formula, a: Value, b: Value, turned: "a" | "b"): Value =>
  f.emit("Gemm", [a, b], { attributes: [attribute.int(turned === "a" ? "transA" : "transB", 1)] });

/**
 * Winograd's convolution F(4x4, 3x3): 36 products of matrices for a tile of 4x4 results, where the sum itself takes 144. Image, kernel and
 * results go through products with constants, along one axis after the other; each turns its operand round, so that the matrices of all
 * tiles of all samples lie side by side at the end, and nothing else is laid out anew.
 */
export function winograd(f: Formula, { window, x, weight, bias, channels, outputs, spatial }: PlaneConvolution): Value {
  const [height = 0, width = 0] = spatial;
  const [rows = 0, columns = 0] = outputSizes(window, spatial);
  const [top = 0, left = 0] = window.begin;
  const [down, across] = [tilesOf(rows), tilesOf(columns)];
  const turned = (value: Value): Value => f.transpose(value, [0, 2, 1]);
  const kernels = f.reshape(weight, [outputs * channels, KERNEL ** 2]);
  const spread = gemm(f, constant(f, OF_WHOLE_KERNEL, "of_kernel"), kernels, "b");
  const u = f.reshape(spread, [PARTS ** 2, outputs, channels]);
  /** [parts, tiles across, N, C, H] */
  const alongRows = gemm(
    f,
    constant(f, atTiles(OF_IMAGE, across, width, left), "of_rows"),
    f.reshape(x, [-1, width]),
    "b",
  );
  /** [parts along rows, parts along columns, tiles down, tiles across, N, C] */
  const pixels = f.matmul(
    stacked(f, atTiles(OF_IMAGE, down, height, top), "of_columns"),
    turned(f.reshape(alongRows, [PARTS, -1, height])),
  );
  const v = f.reshape(pixels, [PARTS ** 2, -1, channels]);
  const products = f.reshape(f.matmul(v, turned(u)), [PARTS, PARTS * down, -1]);
  /** [parts along rows, tiles across, N, M, rows] */
  const alongColumns = f.matmul(turned(products), stacked(f, atTiles(OF_RESULTS, down, rows, 0), "to_columns"));
  const inRows = constant(f, atTiles(OF_RESULTS, across, columns, 0), "to_rows");
  const made = gemm(f, f.reshape(alongColumns, [PARTS * across, -1]), inRows, "a");
  const y = f.reshape(made, [-1, outputs, rows, columns]);
  return bias === null ? y : f.add(y, f.reshape(bias, [outputs, 1, 1]));
}

/** What decides whether the products cost less; null: the batch is not known. */
export interface PlaneSizes extends Pick<PlaneConvolution, "window" | "channels" | "outputs" | "spatial"> {
  readonly batch: number | null;
}

/**
 * Nanoseconds on one thread, forward and both gradients: of an entry of the sum, of a product's, of one of a spread kernel, of a pixel in either
 * way, and of a pixel's transforms for each pixel beside it.
 */
const COSTS = { sum: 0.6, product: 0.073, kernel: 3.2, pixel: 5, transform: 0.28 };
/** What is to be gained, of all nanoseconds and of the share. */
const LEAST = 3e6;
const LARGEST_SHARE = 0.87;
/** Samples of a batch that is not known. */
const USUAL_BATCH = 16;

/** Whether the products apply and cost less than the convolution, forward and backward together. The measurements are in docs/building.md. */
export function winogradCostsLess({ window, channels, outputs, spatial, batch }: PlaneSizes): boolean {
  const { kernel, strides, dilations } = window;
  if (kernel.length !== 2 || kernel.some((size) => size !== KERNEL)) return false;
  if ([...strides, ...dilations].some((step) => step !== 1)) return false;
  const results = outputSizes(window, spatial);
  if (results.some((size) => size < 1)) return false;
  const samples = batch ?? USUAL_BATCH;
  const weights = channels * outputs;
  const [down = 0, across = 0] = results.map(tilesOf);
  const pixels = samples * placesOf(spatial) * (channels + outputs);
  const [height = 0, width = 0] = spatial;
  const sum = COSTS.sum * samples * placesOf(results) * weights + COSTS.pixel * pixels;
  const products = COSTS.product * PARTS ** 2 * samples * down * across * weights;
  const spread = COSTS.kernel * PARTS ** 2 * weights;
  const transforms = (COSTS.pixel + (COSTS.transform * (height + width)) / 2) * pixels;
  return sum >= LEAST && products + spread + transforms <= LARGEST_SHARE * sum;
}
