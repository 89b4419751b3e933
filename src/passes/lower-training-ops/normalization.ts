import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom, rankOf } from "../../ops/value-types.ts";
import { mapTuple } from "../../tuples.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.4";
const BATCH_SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.6";

/** The normalized axes, counted from the end, so that a rank that is not known does no harm where the scale's is. */
function normalizedAxes(call: Call, x: Value, scale: Value): readonly number[] {
  const axis = call.int("axis");
  const rank = rankOf(x);
  const count = axis < 0 ? -axis : rank === null ? rankOf(scale) : rank - axis;
  if (count === null) throw call.refuse(`neither the rank of "${x.name}" nor that of "${scale.name}" is known`);
  return axesFrom(-count, 0);
}

/** Sums over the leading axes, down to the shape of the scale. */
const perScale = (f: Formula, value: Value, scale: Value): Value =>
  f.sum(f.reshape(value, f.vector(-1, f.shape(scale))), [0], false);

/** dX = gi - mean(gi) - xh mean(gi xh), with gi = dY scale inv; the mean of gi falls away where no mean was subtracted. */
function inputGrad(f: Formula, gi: Value, xh: Value, axes: readonly number[], centered: boolean): Value {
  const along = f.mul(xh, f.mean(f.mul(gi, xh), axes));
  return f.sub(centered ? f.sub(gi, f.mean(gi, axes)) : gi, along);
}

interface LayerNorm {
  readonly xh: (f: Formula, call: Call) => Value;
  readonly scale: number;
  readonly inv: number;
  readonly centered: boolean;
}

const layerNormGrad =
  ({ xh: normalized, scale: scaleAt, inv, centered }: LayerNorm) =>
  (f: Formula, call: Call): readonly (Value | null)[] => {
    const [dY, scale] = [call.input(0), call.input(scaleAt)];
    const xh = normalized(f, call);
    const axes = normalizedAxes(call, call.input(1), scale);
    const gi = f.mul(f.mul(dY, scale), call.input(inv));
    const dX = call.wants(0) ? inputGrad(f, gi, xh, axes, centered) : null;
    const dScale = call.wants(1) ? perScale(f, f.mul(dY, xh), scale) : null;
    return [dX, dScale, ...(centered ? [call.wants(2) ? perScale(f, dY, scale) : null] : [])];
  };

/** The channels' statistics are taken over [batch, channels, everything else]. */
const byChannel = (f: Formula, x: Value): Value => f.reshape(x, [0, 0, -1]);
const OTHERS = [0, 2];
const channel = (f: Formula, perChannel: Value): Value => f.reshape(perChannel, [1, -1, 1]);

function batchNorm(f: Formula, call: Call): readonly (Value | null)[] {
  const [x, scale, bias, mean, variance] = mapTuple([0, 1, 2, 3, 4], (index) => call.input(index));
  if (call.int("training_mode") === 0) throw call.refuse("training_mode is 0");
  const momentum = call.float("momentum");
  const flat = byChannel(f, x);
  const batchMean = f.mean(flat, OTHERS);
  const centered = f.sub(flat, batchMean);
  const batchVariance = f.mean(f.square(centered), OTHERS);
  const inv = f.div(1, f.sqrt(f.add(batchVariance, call.float("epsilon"))));
  const y = f.add(f.mul(centered, f.mul(inv, channel(f, scale))), channel(f, bias));
  const running = (old: Value, batch: Value): Value => f.add(f.mul(momentum, old), f.mul(1 - momentum, f.flat(batch)));
  return [
    f.reshape(y, f.shape(x)),
    running(mean, batchMean),
    running(variance, batchVariance),
    f.flat(batchMean),
    f.flat(inv),
  ];
}

function batchNormGrad(f: Formula, call: Call): readonly (Value | null)[] {
  const [dY, x, scale, mean, invStd] = mapTuple([0, 1, 2, 3, 4], (index) => call.input(index));
  const [flat, inv] = [byChannel(f, dY), channel(f, invStd)];
  const xh = f.mul(f.sub(byChannel(f, x), channel(f, mean)), inv);
  const factor = f.mul(channel(f, scale), inv);
  const dX = f.mul(factor, inputGrad(f, flat, xh, OTHERS, true));
  return [
    call.wants(0) ? f.reshape(dX, f.shape(x)) : null,
    call.wants(1) ? f.sum(f.mul(flat, xh), OTHERS, false) : null,
    call.wants(2) ? f.sum(flat, OTHERS, false) : null,
  ];
}

/** x / sqrt(mean(x^2) + epsilon) * scale */
function rmsNorm(f: Formula, call: Call): readonly Value[] {
  const [x, scale] = [call.input(0), call.input(1)];
  const axes = normalizedAxes(call, x, scale);
  const inv = f.div(1, f.sqrt(f.add(f.mean(f.square(x), axes), call.float("epsilon"))));
  return [f.mul(f.mul(x, inv), scale), inv];
}

/** layer_norm(input + skip + bias): outputs 1 and 2, mean and inverse deviation, and 3, the sum. */
function skipLayerNorm(f: Formula, call: Call): readonly Value[] {
  const [gamma, beta, bias] = [call.input(2), call.optional(3) ?? f.zeros(f.shape(call.input(2))), call.optional(4)];
  const skipped = f.add(call.input(0), call.input(1));
  const sum = bias === null ? skipped : f.add(skipped, bias);
  const attributes = [attribute.int("axis", -1), attribute.float("epsilon", call.float("epsilon"))];
  return [...f.build.emitAll("LayerNormalization", [sum, gamma, beta], 3, { attributes }), sum];
}

export const NORMALIZATION: readonly Lowering[] = [
  {
    op: "LayerNormalizationGrad",
    source: SOURCE,
    lower: layerNormGrad({
      xh: (f, call) => f.mul(f.sub(call.input(1), call.input(3)), call.input(4)),
      scale: 2,
      inv: 4,
      centered: true,
    }),
  },
  {
    op: "InvertibleLayerNormalizationGrad",
    source: SOURCE,
    lower: layerNormGrad({
      xh: (f, call) => f.div(f.sub(call.input(1), call.input(3)), call.input(2)),
      scale: 2,
      inv: 4,
      centered: true,
    }),
  },
  {
    op: "SimplifiedLayerNormalizationGrad",
    source: SOURCE,
    lower: layerNormGrad({
      xh: (f, call) => f.mul(call.input(1), call.input(3)),
      scale: 2,
      inv: 3,
      centered: false,
    }),
  },
  {
    domain: "",
    op: "SimplifiedLayerNormalization",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: rmsNorm,
  },
  { op: "SkipLayerNormalization", source: "onnxruntime/core/graph/contrib_ops/bert_defs.cc", lower: skipLayerNorm },
  {
    op: "BatchNormInternal",
    source: BATCH_SOURCE,
    lower: batchNorm,
    renews: [
      [1, 3],
      [2, 4],
    ],
  },
  { op: "BatchNormalizationGrad", source: BATCH_SOURCE, lower: batchNormGrad },
];
