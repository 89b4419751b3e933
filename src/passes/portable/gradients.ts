import type { Graph, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { lowerTrainingOps } from "../lower-training-ops/index.ts";
import { simplify } from "../simplify.ts";
import { accumulatorsOf, userOutputs } from "./accumulators.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/**
 * Makes a training model of ONNX Runtime the first half of a step: forward and backward, the gradients added to their
 * accumulators or, where `reset` is true, put in their place. Changes the model it is given.
 * @param frozen names of inputs that are parameters without a gradient
 * @throws as `lowerTrainingOps`; PassError `E_NO_GRADIENTS`
 */
export function toGradients(model: Model, frozen: ReadonlySet<string>): StepModel {
  const { graph } = model;
  const accumulators = accumulatorsOf(graph);
  const outputs = userOutputs(graph).map(({ name }) => name);
  const parameters = accumulators.map(({ name }) => name);
  const buffers = accumulators.map(({ buffer }) => buffer.name);
  const reset = accumulators.find((each) => each.reset !== null)?.reset?.name ?? null;
  graph.replaceOutputs(userOutputs(graph));
  const { state } = lowerTrainingOps(model);
  simplify(model);
  return {
    model,
    inputs: userInputNames(graph, new Set([...parameters, ...frozen, ...buffers, reset ?? ""])),
    outputs,
    state: inOrderOf(graph.inputs, [
      ...parameters.map((name): StateTensor => ({ name, next: null, kind: "parameter" })),
      ...readTensors(graph.inputs, frozen, new Map(state)),
      ...buffers.map((name): StateTensor => ({ name, next: new Map(state).get(name) ?? null, kind: "accumulator" })),
    ]),
    learningRate: null,
    step: null,
    reset,
    gradients: accumulators.map(({ name, buffer }) => [name, buffer.name] as const),
  };
}

function inOrderOf(inputs: readonly Value[], state: readonly StateTensor[]): readonly StateTensor[] {
  const places = new Map(inputs.map(({ name }, index) => [name, index]));
  return state.toSorted((a, b) => (places.get(a.name) ?? 0) - (places.get(b.name) ?? 0));
}

/** Frozen parameters, and the running statistics among them. */
export function readTensors(
  inputs: readonly Value[],
  frozen: ReadonlySet<string>,
  renewed: ReadonlyMap<string, string>,
): readonly StateTensor[] {
  return inputs
    .filter(({ name }) => frozen.has(name))
    .map(({ name }) => {
      const next = renewed.get(name) ?? null;
      return { name, next, kind: next === null ? "frozen" : "buffer" };
    });
}

export function userInputNames(graph: Graph, others: ReadonlySet<string>): readonly string[] {
  return graph.inputs.map(({ name }) => name).filter((name) => !others.has(name));
}
