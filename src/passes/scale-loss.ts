import { requireOption } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { tensorType } from "../graph/value-type.ts";
import { Builder } from "../ops/builder.ts";
import { Formula } from "../ops/formula.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import type { TrainingGraph } from "./training-graph.ts";

/**
 * What the loss is multiplied by before gradients are taken, so that small ones do not vanish in float16: a number, or one
 * that the training finds, from `initial` on.
 */
export type LossScale = number | { readonly initial: number };

/** As PyTorch's GradScaler begins. */
export const INITIAL_LOSS_SCALE = 65536;

/** A loss to take gradients of, and how they become those of the loss as it was. */
export interface ScaledLoss {
  readonly loss: Value;
  /** The input that takes the scale, a float32 scalar; null where it is a constant or there is none. */
  readonly scale: TrainingGraph["lossScale"];
  readonly unscale: (gradients: ReadonlyMap<Value, Value>) => ReadonlyMap<Value, Value>;
}

/**
 * Multiplies a loss by its scale. Changes the model it is given.
 * @param types has seen the graph; sees every node that is added
 * @throws UsageError `E_OPTION`
 */
export function scaleLoss(model: Model, loss: Value, scale: LossScale | null, types: TypeInference): ScaledLoss {
  if (scale === null) return { loss, scale: null, unscale: (gradients) => gradients };
  const first = typeof scale === "number" ? scale : scale.initial;
  requireOption(Number.isFinite(Math.fround(first)) && first > 0, "lossScale", "a number above 0");
  const names = new Names(model);
  const write = (emit: (f: Formula) => Value): Value => {
    const build = new Builder({ prefix: "loss_scale", names, onEmit: (node) => types.node(node) });
    const value = emit(new Formula(build, model.opset));
    model.graph.append(build.nodes);
    return value;
  };
  const input =
    typeof scale === "number" ? null : new Value(names.fresh("loss_scale/scale"), tensorType(DataType.float, []));
  const scaled = write((f) => f.mul(loss, input ?? first));
  return {
    loss: scaled,
    scale: input === null ? null : { input, initial: first },
    unscale: (gradients) => {
      const inverse = write((f) => f.div(1, input ?? f.number(first)));
      const unscaled = new Map(
        [...new Set(gradients.values())].map((gradient) => {
          const { name } = gradient;
          gradient.name = names.fresh(`${name}/scaled`);
          const value = write((f) => f.mul(gradient, inverse));
          value.name = name;
          value.type = gradient.type;
          return [gradient, value];
        }),
      );
      return new Map([...gradients].map(([parameter, gradient]) => [parameter, unscaled.get(gradient) ?? gradient]));
    },
  };
}
