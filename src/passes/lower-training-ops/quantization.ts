import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.12";

export const QUANTIZATION: readonly Lowering[] = [
  {
    op: "FakeQuant",
    source: SOURCE,
    lower: (f, call) => {
      const [x, scale, given] = [call.input(0), call.input(1), call.input(2)];
      const zero = f.emit("Floor", [given]);
      const [least, most] = [call.int("quant_min"), call.int("quant_max")];
      const quantized = f.add(f.round(f.div(x, scale)), zero);
      const clamped = f.min(f.max(quantized, least), most);
      const within = f.equal(quantized, clamped);
      return [f.mul(f.sub(clamped, zero), scale), call.wants(1) ? within : null];
    },
  },
  { op: "FakeQuantGrad", source: SOURCE, lower: (f, call) => [f.where(call.input(1), call.input(0), 0)] },
];
