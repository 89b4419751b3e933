import {
  type Convolved,
  convGradients,
  convTransposeGradients,
} from "../../autodiff/formulas/convolution-gradients.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.5";

const convolved = (call: Call): Convolved => ({
  node: call,
  wants: (index) => call.wants(index),
  dY: call.input(0),
  x: call.input(1),
  weight: call.input(2),
});

export const CONVOLUTION: readonly Lowering[] = [
  { op: "ConvGrad", source: SOURCE, lower: (f, call) => convGradients(f, convolved(call)) },
  { op: "ConvTransposeGrad", source: SOURCE, lower: (f, call) => convTransposeGradients(f, convolved(call)) },
];
