import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { axesFrom, dimsOf } from "../../ops/value-types.ts";
import { averagePoolGrad, countsOf } from "../formulas/average-pool.ts";
import { type Convolved, convGradients, convTransposeGradients } from "../formulas/convolution-gradients.ts";
import { placeKernels } from "../formulas/place-kernels.ts";
import { maxPoolGrad } from "../formulas/pooling.ts";
import { placesOf, windowOf } from "../formulas/window.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

const convolved = (b: Backward): Convolved => ({
  node: b,
  wants: (index) => b.wants(index),
  x: b.input(0),
  weight: b.input(1),
  dY: b.dy,
});

function maxPool(b: Backward): InputGradients {
  const image = dimsOf(b.input(0))?.slice(2) ?? null;
  return [maxPoolGrad(b.f, windowOf(b, null, image), { x: b.input(0), y: b.output(0), dY: b.dy, refuse: b.refuse })];
}

function averagePool(b: Backward): InputGradients {
  const image = dimsOf(b.input(0))?.slice(2) ?? null;
  const shape = b.sizes.value(b.sizes.of(b.input(0)));
  return [averagePoolGrad(b.f, windowOf(b, null, image), { dY: b.dy, shape, counts: countsOf(b) })];
}

/** y = (sum |x|^p)^(1/p): dX = sign(x) |x|^(p-1) times the sum over windows of dY y^(1-p). */
function lpPool(b: Backward): InputGradients {
  const { f } = b;
  const p = b.int("p");
  const x = b.input(0);
  const share = f.mul(b.dy, f.where(f.greater(b.output(0), 0), f.pow(b.output(0), 1 - p), 0));
  const window = windowOf(b, null, dimsOf(x)?.slice(2) ?? null);
  const shape = b.sizes.value(b.sizes.of(x));
  const count = placesOf(window.kernel);
  const spread = f.mul(averagePoolGrad(f, window, { dY: share, shape, counts: "window" }), count);
  return [f.mul(spread, powerSlope(b, x, p))];
}

/** sign(x) |x|^(p-1) */
function powerSlope({ f }: Backward, x: Value, p: number): Value {
  if (p === 1) return f.emit("Sign", [x]);
  return p === 2 ? x : f.mul(f.emit("Sign", [x]), f.pow(f.emit("Abs", [x]), p - 1));
}

const spatialAxes = (b: Backward): readonly number[] => axesFrom(2, b.rank(0));

function globalAveragePool(b: Backward): InputGradients {
  const { f, sizes } = b;
  const spatial = sizes.of(b.input(0), 2);
  const count = Array.isArray(spatial)
    ? spatial.reduce((product: number, size: number) => product * size, 1)
    : f.cast(f.typed(DataType.int64).reduce("ReduceProd", sizes.value(spatial), null, false), f.dtype);
  return [f.expand(f.div(b.dy, count), f.shape(b.input(0)))];
}

function globalMaxPool(b: Backward): InputGradients {
  const { f } = b;
  const isLargest = f.cast(f.equal(b.input(0), b.output(0)), f.dtype);
  return [f.mul(isLargest, f.div(b.dy, f.sum(isLargest, spatialAxes(b))))];
}

function globalLpPool(b: Backward): InputGradients {
  const { f } = b;
  const p = b.int("p");
  const share = f.mul(b.dy, f.where(f.greater(b.output(0), 0), f.pow(b.output(0), 1 - p), 0));
  return [f.mul(powerSlope(b, b.input(0), p), share)];
}

/** Each value was put at a place of the whole result: dX is dY there. */
function maxUnpool(b: Backward): InputGradients {
  const { f, sizes } = b;
  if (b.optional(2) !== null) throw b.refuse("it has an output_shape, by which its places are not counted");
  const picked = f.gatherElements(f.flat(b.dy), f.flat(b.input(1)), 0);
  return [f.reshape(picked, sizes.target(b.input(0)))];
}

/** y adds up what each block covers: dX lays the places of dY's blocks side by side. */
function col2im(b: Backward): InputGradients {
  const { f, sizes } = b;
  const kernel = b.constants(2);
  if (kernel === null) throw b.refuse("it has no block_shape");
  const plane = f.reshape(b.dy, sizes.concat([-1, 1], sizes.of(b.dy, 2)));
  const given = ["dilations", "pads", "strides"].flatMap((name) => b.node.attributes.get(name) ?? []);
  const attributes = [attribute.ints("kernel_shape", kernel), ...given];
  const columns = f.emit("Conv", [plane, placeKernels(f, kernel)], { attributes });
  return [f.reshape(columns, sizes.value(sizes.of(b.input(0))))];
}

export const CONVOLUTION_RULES: GradientTable = {
  Conv: { gradient: (b) => convGradients(b.f, convolved(b)) },
  ConvTranspose: { gradient: (b) => convTransposeGradients(b.f, convolved(b)) },
  MaxPool: { gradient: maxPool },
  AveragePool: { gradient: averagePool },
  LpPool: { gradient: lpPool },
  GlobalAveragePool: { gradient: globalAveragePool },
  GlobalMaxPool: { gradient: globalMaxPool },
  GlobalLpPool: { gradient: globalLpPool },
  MaxUnpool: { gradient: maxUnpool },
  Col2Im: { gradient: col2im },
};
