import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import { unbroadcast } from "../broadcast.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/**
 * The gradient through xh = (x - mean(x)) / sd(x), or x / rms(x) where nothing is subtracted, given that of xh:
 * dX = inv (g - mean(g) - xh mean(g xh)).
 */
function throughNorm(f: Formula, g: Value, xh: Value, inv: Value, axes: readonly number[], centered: boolean): Value {
  const along = f.mul(xh, f.mean(f.mul(g, xh), axes));
  return f.mul(f.sub(centered ? f.sub(g, f.mean(g, axes)) : g, along), inv);
}

/** Mean and inverse deviation over some axes, as the forward pass has them: E((x - m)^2). */
function statistics(f: Formula, x: Value, axes: readonly number[], epsilon: number): { centered: Value; inv: Value } {
  const centered = f.sub(x, f.mean(x, axes));
  return { centered, inv: f.div(1, f.sqrt(f.add(f.mean(f.square(centered), axes), epsilon))) };
}

/** Sums over the leading axes, down to the shape of the scale. */
function perScale(b: Backward, gradient: Value, scale: Value): Value {
  return unbroadcast(b.f, gradient, shapeOf(b.input(0)), scale);
}

/** y = (x - mean(x)) / sd(x); the 1e-9 that ONNX adds to the deviation is left out of the slope. */
function meanVariance(b: Backward): InputGradients {
  const { f } = b;
  const rank = b.rank(0);
  const axes = (b.ints("axes") ?? []).map((axis) => (axis < 0 ? axis + rank : axis));
  const { inv } = statistics(f, b.input(0), axes, 0);
  return [throughNorm(f, b.dy, b.output(0), inv, axes, true)];
}

/** The forward node's outputs 1 and 2, mean and inverse deviation, save computing them again. */
function layerNorm(b: Backward): InputGradients {
  const { f, dy } = b;
  const [x, scale] = [b.input(0), b.input(1)];
  const axes = axesFrom(b.axis(), b.rank(0));
  const [mean, saved] = [b.node.outputs[1], b.node.outputs[2]];
  const { centered, inv } =
    mean && saved ? { centered: f.sub(x, mean), inv: saved } : statistics(f, x, axes, b.float("epsilon"));
  const xh = f.mul(centered, inv);
  return [
    b.wants(0) ? throughNorm(f, f.mul(dy, scale), xh, inv, axes, true) : null,
    b.wants(1) ? perScale(b, f.mul(dy, xh), scale) : null,
    b.wants(2) ? perScale(b, dy, b.input(2)) : null,
  ];
}

/** y = x / sqrt(mean(x^2) + epsilon) scale */
function rmsNorm(b: Backward): InputGradients {
  const { f, dy } = b;
  const [x, scale] = [b.input(0), b.input(1)];
  const axes = axesFrom(b.axis(), b.rank(0));
  const inv = f.div(1, f.sqrt(f.add(f.mean(f.square(x), axes), b.float("epsilon"))));
  const xh = f.mul(x, inv);
  return [
    b.wants(0) ? throughNorm(f, f.mul(dy, scale), xh, inv, axes, false) : null,
    b.wants(1) ? perScale(b, f.mul(dy, xh), scale) : null,
  ];
}

/** layer_norm(input + skip + bias); output 3 is the sum. */
function skipLayerNorm(b: Backward): InputGradients {
  const { f } = b;
  const [gamma, beta, bias] = [b.input(2), b.optional(3), b.optional(4)];
  const skipped = f.add(b.input(0), b.input(1));
  const x = bias === null ? skipped : f.add(skipped, bias);
  const axes = [b.rank(0) - 1];
  const { centered, inv } = statistics(f, x, axes, b.float("epsilon"));
  const xh = f.mul(centered, inv);
  const through = throughNorm(f, f.mul(b.dy, gamma), xh, inv, axes, true);
  const ofSum = b.dyOf(3);
  const dX = ofSum === null ? through : f.add(through, ofSum);
  return [
    dX,
    unbroadcast(f, dX, shapeOf(b.input(0)), b.input(1)),
    perScale(b, f.mul(b.dy, xh), gamma),
    beta === null ? null : perScale(b, b.dy, beta),
    bias === null ? null : perScale(b, dX, bias),
  ];
}

/** y = x D^-beta, D = bias + alpha / size (sum of x^2 over `size` channels around); the sums over the same channels turned round. */
function localResponseNorm(b: Backward): InputGradients {
  const { f, dy, sizes } = b;
  const size = b.int("size");
  const [alpha, beta] = [b.float("alpha"), b.float("beta")];
  const x = b.input(0);
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  const meanAround = (value: Value, first: number, last: number): Value => {
    const mean = f.emit("AveragePool", [f.unsqueeze(f.reshape(value, [0, 0, -1]), [1])], {
      attributes: [
        attribute.ints("kernel_shape", [size, 1]),
        attribute.ints("pads", [first, 0, last, 0]),
        attribute.int("count_include_pad", 1),
      ],
    });
    return f.reshape(f.squeeze(mean, [1]), sizes.target(x));
  };
  const scale = f.add(f.mul(meanAround(f.square(x), before, after), alpha), b.float("bias"));
  const own = f.mul(dy, f.pow(scale, -beta));
  const around = meanAround(f.div(f.mul(own, x), scale), after, before);
  return [f.sub(own, f.mul(f.mul(x, around), 2 * alpha * beta))];
}

/** Statistics are taken over [batch, channels, everything else]. */
const flat = (f: Formula, x: Value): Value => f.reshape(x, [0, 0, -1]);
const OTHERS = [0, 2];
const channel = (f: Formula, perChannel: Value): Value => f.reshape(perChannel, [1, -1, 1]);

/** With statistics of the batch. @param inv the inverse deviation that the forward pass saved */
function batchNormTraining(b: Backward, mean: Value | null, inv: Value | null): InputGradients {
  const { f } = b;
  const [x, scale] = [flat(f, b.input(0)), channel(f, b.input(1))];
  const { centered, inv: saved } =
    mean === null || inv === null
      ? statistics(f, x, OTHERS, b.float("epsilon"))
      : { centered: f.sub(x, channel(f, mean)), inv: channel(f, inv) };
  const dy = flat(f, b.dy);
  const dBias = f.sum(dy, OTHERS);
  const along = f.mul(f.sum(f.mul(dy, centered), OTHERS), saved);
  const dims = shapeOf(b.input(0));
  const isKnown = dims?.every((dim, axis) => axis === 1 || typeof dim === "number");
  const counts = dims?.filter((_, axis) => axis !== 1).map(Number) ?? [];
  const share = isKnown
    ? f.number(1 / counts.reduce((product, size) => product * size, 1))
    : f.div(f.cast(f.dim(b.input(0), 1), f.dtype), f.cast(f.size(b.input(0)), f.dtype));
  const means = f.add(f.mul(centered, f.mul(f.mul(along, saved), share)), f.mul(dBias, share));
  const dX = (): Value => f.reshape(f.mul(f.sub(dy, means), f.mul(scale, saved)), b.sizes.target(b.input(0)));
  /** The last two are the running statistics, which the batch's take the place of. */
  return [b.wants(0) ? dX() : null, f.flat(along), f.flat(dBias), null, null];
}

/** With the statistics that it is given: running ones, which are constants, or some that the graph computes. */
function batchNormInference(b: Backward): InputGradients {
  const { f, dy } = b;
  const spread = [-1, ...axesFrom(2, b.rank(0)).map(() => 1)];
  const each = (value: Value): Value => f.reshape(value, spread);
  const axes = [0, ...axesFrom(2, b.rank(0))];
  const inv = f.div(1, f.sqrt(f.add(b.input(4), b.float("epsilon"))));
  const xh = (): Value => f.mul(f.sub(b.input(0), each(b.input(3))), each(inv));
  const along = (): Value => f.sum(f.mul(dy, xh()), axes, false);
  const scale = f.mul(b.input(1), inv);
  return [
    b.wants(0) ? f.mul(dy, each(scale)) : null,
    b.wants(1) ? along() : null,
    b.wants(2) ? f.sum(dy, axes, false) : null,
    b.wants(3) ? f.neg(f.mul(f.sum(dy, axes, false), scale)) : null,
    b.wants(4) ? f.mul(f.mul(along(), f.mul(scale, inv)), -0.5) : null,
  ];
}

function batchNorm(b: Backward): InputGradients {
  return b.int("training_mode") === 1 ? batchNormTraining(b, null, null) : batchNormInference(b);
}

/**
 * One scale per channel, statistics of each image and channel by itself: the scale comes out of the means, and with it the deviation, so that
 * neither takes a pass over the image but the last.
 */
function instanceNorm(b: Backward): InputGradients {
  const { f } = b;
  const [x, dy] = [flat(f, b.input(0)), flat(f, b.dy)];
  const { centered, inv } = statistics(f, x, [2], b.float("epsilon"));
  const products = f.mul(dy, centered);
  const dX = (): Value => {
    const along = f.mul(f.mul(f.mean(products, [2]), inv), inv);
    const means = f.add(f.mul(centered, along), f.mean(dy, [2]));
    return f.mul(f.sub(dy, means), f.mul(inv, channel(f, b.input(1))));
  };
  return [
    b.wants(0) ? f.reshape(dX(), b.sizes.target(b.input(0))) : null,
    b.wants(1) ? f.sum(f.mul(f.sum(products, [2]), inv), OTHERS, false) : null,
    b.wants(2) ? f.sum(dy, OTHERS, false) : null,
  ];
}

/** Statistics of each image and group of channels. Before opset 21 there is one scale per group, then one per channel. */
function groupNorm(b: Backward): InputGradients {
  const { f } = b;
  const groups = b.int("num_groups");
  const grouped = (value: Value): Value => f.reshape(value, [0, groups, -1]);
  const [x, scale] = [b.input(0), b.input(1)];
  const { centered, inv } = statistics(f, grouped(x), [2], b.float("epsilon"));
  const xh = f.mul(centered, inv);
  const target = b.sizes.target(x);
  const perChannel = b.opset >= 21;
  const weighted = perChannel
    ? grouped(f.reshape(f.mul(flat(f, b.dy), channel(f, scale)), target))
    : f.mul(grouped(b.dy), channel(f, scale));
  const shaped = (value: Value): Value => (perChannel ? flat(f, f.reshape(value, target)) : value);
  const dy = perChannel ? flat(f, b.dy) : grouped(b.dy);
  return [
    b.wants(0) ? f.reshape(throughNorm(f, weighted, xh, inv, [2], true), target) : null,
    f.sum(f.mul(dy, shaped(xh)), OTHERS, false),
    f.sum(dy, OTHERS, false),
  ];
}

/** y = x / n with n = sum |x| or sqrt(sum x^2): dX = (dY - y sum(dY dn/dx ...)) / n. */
function lpNorm(b: Backward): InputGradients {
  const { f, dy } = b;
  const axes = [b.axis()];
  const [x, y] = [b.input(0), b.output(0)];
  const isOne = b.int("p") === 1;
  const norm = isOne ? f.sum(f.emit("Abs", [x]), axes) : f.sqrt(f.sum(f.square(x), axes));
  const slope = isOne ? f.emit("Sign", [x]) : y;
  return [f.div(f.sub(dy, f.mul(slope, f.sum(f.mul(dy, y), axes))), norm)];
}

export const NORMALIZATION_RULES: GradientTable = {
  LayerNormalization: { gradient: layerNorm },
  RMSNormalization: { gradient: rmsNorm },
  SimplifiedLayerNormalization: { gradient: rmsNorm },
  "com.microsoft.SkipLayerNormalization": { gradient: skipLayerNorm },
  LRN: { gradient: localResponseNorm },
  BatchNormalization: { gradient: batchNorm },
  "com.microsoft.BatchNormInternal": {
    gradient: (b) => batchNormTraining(b, b.node.outputs[3] ?? null, b.node.outputs[4] ?? null),
  },
  InstanceNormalization: { gradient: instanceNorm },
  GroupNormalization: { gradient: groupNorm },
  LpNormalization: { gradient: lpNorm },
  MeanVarianceNormalization: { gradient: meanVariance },
};
