import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call, Lowering } from "./lowering.ts";
import { dropoutGrad } from "./softmax.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.10";
const CONTRIB = "onnxruntime/core/graph/contrib_ops/contrib_defs.cc";

/** Dropout with its mask; in a training build the fused operators drop whatever `training_mode` says, unless it is false. */
function dropout(f: Formula, call: Call, data: Value, ratio: Value | null, training: Value | null): Value[] {
  const seed = call.node.attributes.get("seed");
  const rate = ratio ?? f.number(0.5);
  const mode = training ?? f.build.constant(Tensor.from(DataType.bool, [], Uint8Array.of(0)));
  return f.build.emitAll("Dropout", [data, rate, mode], 2, {
    attributes: seed?.kind === "int" ? [attribute.int("seed", seed.value)] : [],
  });
}

export const DROPOUT: readonly Lowering[] = [
  {
    op: "DropoutGrad",
    source: SOURCE,
    lower: (f, call) => [dropoutGrad(f, call.input(0), call.input(1), call.optional(2))],
  },
  {
    op: "BitmaskDropout",
    source: CONTRIB,
    lower: (f, call) => dropout(f, call, call.input(0), call.optional(1), call.optional(2)),
  },
  {
    op: "BitmaskDropoutGrad",
    source: SOURCE,
    lower: (f, call) => [dropoutGrad(f, call.input(0), call.input(1), call.optional(2))],
  },
  {
    op: "BiasDropout",
    source: CONTRIB,
    lower: (f, call) => biasDropout(f, call),
  },
  {
    op: "BitmaskBiasDropout",
    source: CONTRIB,
    lower: (f, call) => biasDropout(f, call),
  },
];

/** dropout(data + bias) + residual */
function biasDropout(f: Formula, call: Call): readonly (Value | null)[] {
  const residual = call.optional(2);
  const sum = f.add(call.input(0), call.input(1));
  const [dropped, mask = null] = dropout(f, call, sum, call.optional(3), call.optional(4));
  if (dropped === undefined) throw call.refuse("Dropout has no output");
  return [residual === null ? dropped : f.add(dropped, residual), mask];
}
