import { sigmoidDerivative, swish, swishDerivative, tanhDerivative } from "../../autodiff/formulas/activations.ts";
import { gelu, geluDerivative, tanhGelu, tanhGeluDerivative } from "../../autodiff/formulas/gelu.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.3";

const geluGrad = (f: Formula, dY: Value, x: Value): Value => f.mul(dY, geluDerivative(f, x));

const fastGeluGrad = (f: Formula, dY: Value, x: Value): Value => f.mul(dY, tanhGeluDerivative(f, x));

export const ACTIVATIONS: readonly Lowering[] = [
  {
    op: "ReluGrad",
    source: SOURCE,
    lower: (f, call) => [f.where(f.greater(call.input(1), 0), call.input(0), 0)],
  },
  {
    op: "SigmoidGrad",
    source: SOURCE,
    lower: (f, call) => [f.mul(call.input(0), sigmoidDerivative(f, call.input(1)))],
  },
  {
    op: "TanhGrad",
    source: SOURCE,
    lower: (f, call) => [f.mul(call.input(0), tanhDerivative(f, call.input(1)))],
  },
  {
    op: "LeakyReluGrad",
    source: SOURCE,
    lower: (f, call) => {
      const scaled = f.mul(call.float("alpha"), call.input(0));
      return [f.where(f.greater(call.input(1), 0), call.input(0), scaled)];
    },
  },
  {
    op: "QuickGelu",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: (f, call) => [swish(f, call.input(0), call.float("alpha"))],
  },
  {
    op: "QuickGeluGrad",
    source: SOURCE,
    lower: (f, call) => [f.mul(call.input(0), swishDerivative(f, call.input(1), call.float("alpha")))],
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
      return [tanhGelu(f, bias === null ? call.input(0) : f.add(call.input(0), bias))];
    },
  },
  { op: "FastGeluGrad", source: SOURCE, lower: (f, call) => [fastGeluGrad(f, call.input(0), call.input(1))] },
  {
    op: "BiasFastGeluGrad_dX",
    source: SOURCE,
    lower: (f, call) => [fastGeluGrad(f, call.input(0), f.add(call.input(1), call.input(2)))],
  },
];
