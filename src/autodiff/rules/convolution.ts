import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { axesFrom, dimsOf, known } from "../../ops/value-types.ts";
import { biasGrad, imageGrad, weightGrad, windowAttributes } from "../formulas/convolution.ts";
import { averagePoolGrad, maxPoolGrad } from "../formulas/pooling.ts";
import { outputSizes, windowOf } from "../formulas/window.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

function weightDims(b: Backward): readonly number[] {
  const dims = known(dimsOf(b.input(1)));
  if (dims === null) throw b.refuse(`the shape of its weight "${b.input(1).name}" is not known`);
  return dims;
}

function conv(b: Backward): InputGradients {
  const { f, dy } = b;
  const [x, weight] = [b.input(0), b.input(1)];
  const dims = weightDims(b);
  const group = b.int("group", 1);
  const image = dimsOf(x)?.slice(2) ?? null;
  const window = windowOf(b, dims.slice(2), image);
  const spatial = known(image);
  const sizes = spatial === null ? null : outputSizes(window, spatial);
  const [outputs = 0, perGroup = 0] = dims;
  const correlation = { window, group, image: x, gradient: dy, channels: perGroup * group, outputs, sizes };
  return [
    b.wants(0) ? imageGrad(f, { dY: dy, x, weight, dims, window, group, spatial }) : null,
    b.wants(1) ? weightGrad(f, correlation) : null,
    b.wants(2) ? biasGrad(f, dy, dims.length) : null,
  ];
}

/** The image and the result change places: dX is a convolution of dY, dW correlates dY as the image with X. */
function convTranspose(b: Backward): InputGradients {
  const { f, dy } = b;
  const [x, weight] = [b.input(0), b.input(1)];
  const dims = weightDims(b);
  const group = b.int("group", 1);
  if (!["NOTSET", "VALID"].includes(b.string("auto_pad", "NOTSET")) || b.ints("output_shape") !== null) {
    throw b.refuse("its pads depend on the size of its output (auto_pad or output_shape)");
  }
  const window = windowOf(b, dims.slice(2), null);
  const [channels = 0, perGroup = 0] = dims;
  const spatial = axesFrom(2, dims.length);
  const sizes = known(dimsOf(x)?.slice(2) ?? null);
  const correlation = {
    window,
    group,
    image: dy,
    gradient: x,
    channels: perGroup * group,
    outputs: channels,
    sizes,
    hasMore: true,
  };
  const image = (): Value => {
    const made = f.emit("Conv", [dy, weight], { attributes: windowAttributes(window, group) });
    return f.slice(
      made,
      spatial.map(() => 0),
      b.sizes.value(b.sizes.of(x, 2)),
      spatial,
    );
  };
  return [
    b.wants(0) ? image() : null,
    b.wants(1) ? weightGrad(f, correlation) : null,
    b.wants(2) ? biasGrad(f, dy, dims.length) : null,
  ];
}

function maxPool(b: Backward): InputGradients {
  const image = dimsOf(b.input(0))?.slice(2) ?? null;
  return [maxPoolGrad(b.f, windowOf(b, null, image), { x: b.input(0), y: b.output(0), dY: b.dy })];
}

function averagePool(b: Backward): InputGradients {
  const image = dimsOf(b.input(0))?.slice(2) ?? null;
  const countIncludePad = b.int("count_include_pad", 0) === 1;
  const shape = b.sizes.value(b.sizes.of(b.input(0)));
  return [averagePoolGrad(b.f, windowOf(b, null, image), { dY: b.dy, shape, countIncludePad })];
}

/** y = (sum |x|^p)^(1/p): dX = sign(x) |x|^(p-1) times the sum over windows of dY y^(1-p). */
function lpPool(b: Backward): InputGradients {
  const { f } = b;
  const p = b.int("p", 2);
  const x = b.input(0);
  const share = f.mul(b.dy, f.where(f.greater(b.output(0), 0), f.pow(b.output(0), 1 - p), 0));
  const window = windowOf(b, null, dimsOf(x)?.slice(2) ?? null);
  const shape = b.sizes.value(b.sizes.of(x));
  const count = window.kernel.reduce((product, size) => product * size, 1);
  const spread = f.mul(averagePoolGrad(f, window, { dY: share, shape, countIncludePad: true }), count);
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
  const p = b.int("p", 2);
  const share = f.mul(b.dy, f.where(f.greater(b.output(0), 0), f.pow(b.output(0), 1 - p), 0));
  return [f.mul(powerSlope(b, b.input(0), p), share)];
}

export const CONVOLUTION_RULES: GradientTable = {
  Conv: { gradient: conv },
  ConvTranspose: { gradient: convTranspose },
  MaxPool: { gradient: maxPool },
  AveragePool: { gradient: averagePool },
  LpPool: { gradient: lpPool },
  GlobalAveragePool: { gradient: globalAveragePool },
  GlobalMaxPool: { gradient: globalMaxPool },
  GlobalLpPool: { gradient: globalLpPool },
};
