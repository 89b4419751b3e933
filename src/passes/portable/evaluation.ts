import type { Model } from "../../graph/model.ts";
import { lowerTrainingOps } from "../lower-training-ops/index.ts";
import { simplify } from "../simplify.ts";
import { readTensors, userInputNames } from "./gradients.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/**
 * Makes an eval model of ONNX Runtime one of standard operators. Changes the model it is given.
 * @param trainable names of the trainable parameters
 * @param frozen names of inputs that are parameters without a gradient
 * @throws as `lowerTrainingOps`
 */
export function toEvaluation(model: Model, trainable: ReadonlySet<string>, frozen: ReadonlySet<string>): StepModel {
  const { graph } = model;
  lowerTrainingOps(model);
  simplify(model);
  const parameters = graph.inputs.filter(({ name }) => trainable.has(name));
  return {
    model,
    inputs: userInputNames(graph, new Set([...trainable, ...frozen])),
    outputs: graph.outputs.map(({ name }) => name),
    state: [
      ...parameters.map(({ name }): StateTensor => ({ name, next: null, kind: "parameter" })),
      ...readTensors(graph.inputs, frozen, new Map()),
    ],
    learningRate: null,
    step: null,
    reset: null,
    gradients: [],
  };
}
