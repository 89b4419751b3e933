import { logSoftmaxGradient } from "../../autodiff/formulas/activations.ts";
import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom, rankOf } from "../../ops/value-types.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.2";

type Rule = (f: Formula, dY: Value, y: Value, axis: number) => Value;

/** dX = y (dY - sum(y dY)) */
const softmaxGrad: Rule = (f, dY, y, axis) => f.mul(y, f.sub(dY, f.sum(f.mul(y, dY), [axis])));

/** Before opset 13 softmax ran over all axes from `axis` on, as one. */
const flattened =
  (rule: Rule) =>
  (f: Formula, call: Call): readonly Value[] => {
    const [dY, y] = [call.input(0), call.input(1)];
    const attributes = [attribute.int("axis", call.int("axis"))];
    const flat = (value: Value): Value => f.emit("Flatten", [value], { attributes });
    return [f.reshape(rule(f, flat(dY), flat(y), 1), f.shape(y))];
  };

const along =
  (rule: Rule) =>
  (f: Formula, call: Call): readonly Value[] => [rule(f, call.input(0), call.input(1), call.int("axis"))];

/** Adds a bias to scores: as `is_inner_broadcast` says, the same for all leading axes or for the axes in the middle. */
function biased(f: Formula, call: Call): Value {
  const [scores, bias] = [call.input(0), call.input(1)];
  if (call.int("is_inner_broadcast") === 0) return f.add(scores, bias);
  const rank = rankOf(scores) ?? call.rank(0);
  const missing = rank - call.rank(1);
  return f.add(scores, missing <= 0 ? bias : f.unsqueeze(bias, axesFrom(1, 1 + missing)));
}

export const SOFTMAX: readonly Lowering[] = [
  { op: "SoftmaxGrad", source: SOURCE, lower: flattened(softmaxGrad) },
  { op: "SoftmaxGrad_13", source: SOURCE, lower: along(softmaxGrad) },
  { op: "LogSoftmaxGrad", source: SOURCE, lower: flattened(logSoftmaxGradient) },
  { op: "LogSoftmaxGrad_13", source: SOURCE, lower: along(logSoftmaxGradient) },
  {
    op: "BiasSoftmax",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: (f, call) => [
      f.emit("Softmax", [biased(f, call)], { attributes: [attribute.int("axis", call.int("axis"))] }),
    ],
  },
  {
    op: "SoftmaxDropoutGrad",
    source: SOURCE,
    lower: (f, call) => {
      const kept = dropoutGrad(f, call.input(0), call.input(1), call.optional(3));
      return [softmaxGrad(f, kept, call.input(2), call.int("axis"))];
    },
  },
];

/** mask ? dY / (1 - ratio) : 0; the ratio is 0.5 where none is given, and 0 of it leaves dY alone. */
export function dropoutGrad(f: Formula, dY: Value, mask: Value, ratio: Value | null): Value {
  const keep = f.sub(1, ratio === null ? 0.5 : f.cast(f.reshape(ratio, []), f.dtype));
  return f.where(mask, f.div(dY, keep), 0);
}
