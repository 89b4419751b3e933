import { dropUnusedDomains } from "../../edits/unused-domains.ts";
import type { Model } from "../../graph/model.ts";
import { lowerOwnModel } from "../lower-training-ops/index.ts";
import { simplify } from "../simplify.ts";
import { constantState, namesOf } from "./gradients.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/**
 * Makes an eval model one of standard operators. Changes the model it is given.
 * @param trainable names of the trainable parameters
 * @param constants names of inputs that are parameters without a gradient, or running statistics
 * @throws as `lowerOwnModel`
 */
export function toEvaluation(model: Model, trainable: ReadonlySet<string>, constants: ReadonlySet<string>): StepModel {
  const { graph } = model;
  lowerOwnModel(model);
  simplify(model);
  dropUnusedDomains(model);
  const parameters = graph.inputs.filter(({ name }) => trainable.has(name));
  const others = graph.inputs.filter(({ name }) => constants.has(name));
  return {
    model,
    inputs: namesOf(graph.inputs.filter(({ name }) => !trainable.has(name) && !constants.has(name))),
    outputs: namesOf(graph.outputs),
    state: [
      ...parameters.map(({ name }): StateTensor => ({ name, next: null, kind: "parameter" })),
      ...constantState(others, []),
    ],
    learningRate: null,
    step: null,
    reset: null,
    gradients: [],
  };
}
