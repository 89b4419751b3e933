import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.3";

const SQRT_2 = Math.SQRT2;
/** 1 / sqrt(2 pi), the normal density at zero. */
const DENSITY = 0.3989422804014327;
/** sqrt(2 / pi) and the cubic's factor of the tanh approximation, Hendrycks and Gimpel, arXiv 1606.08415. */
const TANH_SCALE = 0.7978845608028654;
const CUBIC = 0.044715;

const normalCdf = (f: Formula, x: Value): Value => f.mul(0.5, f.add(1, f.erf(f.div(x, SQRT_2))));

export const gelu = (f: Formula, x: Value): Value => f.mul(x, normalCdf(f, x));

const tanhOf = (f: Formula, x: Value): Value => {
  const cubic = f.mul(f.mul(CUBIC, x), f.square(x));
  return f.tanh(f.mul(TANH_SCALE, f.add(x, cubic)));
};

export const fastGelu = (f: Formula, x: Value): Value => f.mul(f.mul(0.5, x), f.add(1, tanhOf(f, x)));

function geluGrad(f: Formula, dY: Value, x: Value): Value {
  const density = f.mul(DENSITY, f.exp(f.mul(-0.5, f.square(x))));
  return f.mul(dY, f.add(normalCdf(f, x), f.mul(x, density)));
}

function fastGeluGrad(f: Formula, dY: Value, x: Value): Value {
  const tanh = tanhOf(f, x);
  const slope = f.add(TANH_SCALE, f.mul(3 * TANH_SCALE * CUBIC, f.square(x)));
  const inner = f.mul(f.mul(f.mul(0.5, x), f.sub(1, f.square(tanh))), slope);
  return f.mul(dY, f.add(f.mul(0.5, f.add(1, tanh)), inner));
}

export const ACTIVATIONS: readonly Lowering[] = [
  {
    op: "ReluGrad",
    source: SOURCE,
    lower: (f, call) => [f.where(f.greater(call.input(1), 0), call.input(0), 0)],
  },
  {
    op: "SigmoidGrad",
    source: SOURCE,
    lower: (f, call) => [f.mul(call.input(0), f.mul(call.input(1), f.sub(1, call.input(1))))],
  },
  {
    op: "TanhGrad",
    source: SOURCE,
    lower: (f, call) => [f.mul(call.input(0), f.sub(1, f.square(call.input(1))))],
  },
  {
    op: "LeakyReluGrad",
    source: SOURCE,
    lower: (f, call) => {
      const scaled = f.mul(call.float("alpha", 0.01), call.input(0));
      return [f.where(f.greater(call.input(1), 0), call.input(0), scaled)];
    },
  },
  {
    op: "QuickGelu",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: (f, call) => [f.mul(call.input(0), f.sigmoid(f.mul(call.float("alpha", 1.702), call.input(0))))],
  },
  {
    op: "QuickGeluGrad",
    source: SOURCE,
    lower: (f, call) => {
      const scaled = f.mul(call.float("alpha", 1.702), call.input(1));
      const gate = f.sigmoid(scaled);
      return [f.mul(call.input(0), f.mul(gate, f.add(1, f.mul(scaled, f.sub(1, gate)))))];
    },
  },
  {
    op: "Gelu",
    source: "onnxruntime/core/graph/contrib_ops/bert_defs.cc",
    lower: (f, call) => [gelu(f, call.input(0))],
  },
  { op: "GeluGrad", source: SOURCE, lower: (f, call) => [geluGrad(f, call.input(0), call.input(1))] },
  {
    op: "BiasGelu",
    source: "onnxruntime/core/graph/contrib_ops/bert_defs.cc",
    lower: (f, call) => [gelu(f, f.add(call.input(0), call.input(1)))],
  },
  {
    op: "BiasGeluGrad_dX",
    source: SOURCE,
    lower: (f, call) => [geluGrad(f, call.input(0), f.add(call.input(1), call.input(2)))],
  },
  {
    op: "FastGelu",
    source: "onnxruntime/core/graph/contrib_ops/bert_defs.cc",
    lower: (f, call) => {
      const bias = call.optional(1);
      return [fastGelu(f, bias === null ? call.input(0) : f.add(call.input(0), bias))];
    },
  },
  { op: "FastGeluGrad", source: SOURCE, lower: (f, call) => [fastGeluGrad(f, call.input(0), call.input(1))] },
  {
    op: "BiasFastGeluGrad_dX",
    source: SOURCE,
    lower: (f, call) => [fastGeluGrad(f, call.input(0), f.add(call.input(1), call.input(2)))],
  },
];
