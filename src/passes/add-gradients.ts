import { type DifferentiateOptions, differentiate } from "../autodiff/differentiate.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import type { TypeInference } from "../ops/inference/inference.ts";

/**
 * Adds the gradients of a loss with respect to parameters to a graph.
 * @param parameters inputs or initializers
 * @param constants values whose gradient is not followed to what they are made of
 * @param straightThrough goes back through quantization by estimation
 * @returns their gradients, named `<parameter>_grad`; nothing for those that the loss does not depend on
 * @throws as `differentiate`
 */
export function addGradients(
  model: Model,
  loss: Value,
  parameters: readonly Value[],
  types: TypeInference = inferTypes(model),
  options: Pick<DifferentiateOptions, "constants" | "straightThrough" | "refusals"> = {},
): ReadonlyMap<Value, Value> {
  const { graph } = model;
  const gradients = differentiate(graph, loss, parameters, {
    names: new Names(model),
    opset: model.opset,
    types,
    ...options,
  });
  const names = new Names(model);
  const own = new Set<Value>();
  for (const [parameter, gradient] of gradients) {
    if (own.has(gradient)) continue;
    own.add(gradient);
    gradient.name = names.fresh(`${parameter.name}_grad`);
  }
  return gradients;
}
