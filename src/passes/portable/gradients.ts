import { dropUnusedDomains } from "../../edits/unused-domains.ts";
import { DataType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import type { Lookahead } from "../../optim/transform.ts";
import { giveCarried } from "../carried-state.ts";
import { lowerOwnModel } from "../lower-training-ops/index.ts";
import { recordState } from "../lower-training-ops/state.ts";
import { simplify } from "../simplify.ts";
import type { TrainingGraph } from "../training-graph.ts";
import { moveForward } from "./lookahead.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/** A gradient that is added up over steps. */
interface Accumulated {
  readonly name: string;
  /** A new input. */
  readonly sum: Value;
  readonly next: Value;
}

/**
 * Makes a training graph the first half of a step: forward and backward, the gradients added to their sums or, where `reset` is
 * true, put in their place. Changes the model of the graph it is given.
 * @param lookahead where the optimizer wants gradients taken; null: at the parameters
 * @throws as `lowerOwnModel`
 */
export function toGradients(
  { model, inputs, outputs, parameters, constants, lossScale, carried }: TrainingGraph,
  lookahead: Lookahead | null = null,
): StepModel {
  const { graph } = model;
  const [fed, given] = [namesOf(inputs), namesOf(outputs)];
  const points = moveForward(
    model,
    parameters.map(({ parameter }) => parameter),
    lookahead,
  );
  const names = new Names(model);
  const reset = new Value(names.fresh("reset_gradients"), tensorType(DataType.bool, [1]));
  const sums = parameters.map(({ parameter: { name, type }, gradient }): Accumulated => {
    const sum = new Value(names.fresh(`${name}/gradient/sum`), type);
    const build = new Builder({ prefix: sum.name, names });
    const f = new Formula(build, model.opset, elementTypeOf(sum));
    const longer = f.add(sum, gradient);
    const next = f.where(f.reshape(reset, []), gradient, longer);
    next.name = names.fresh(`${sum.name}/next`);
    next.type = type;
    graph.append(build.nodes);
    return { name, sum, next };
  });
  graph.replaceOutputs(outputs);
  for (const { sum } of sums) graph.inputs.push(sum);
  graph.inputs.push(reset);
  const takenOver = giveCarried(model, names, carried);
  const { state: renewed } = lowerOwnModel(model);
  for (const { next } of sums) graph.addOutput(next);
  recordState(
    model,
    sums.map(({ sum, next }) => [sum.name, next.name] as const),
  );
  simplify(model);
  dropUnusedDomains(model);
  return {
    model,
    inputs: fed,
    outputs: given,
    state: inOrderOf(graph.inputs, [
      ...parameters.map(({ parameter: { name } }): StateTensor => ({ name, next: null, kind: "parameter" })),
      ...[...points.values()].map(({ offset }): StateTensor => ({ name: offset.name, next: null, kind: "slot" })),
      ...constantState(constants, renewed),
      ...scaleState(lossScale),
      ...takenOver,
      ...sums.map(({ sum, next }): StateTensor => ({ name: sum.name, next: next.name, kind: "accumulator" })),
    ]),
    learningRate: null,
    step: null,
    reset: reset.name,
    gradients: sums.map(({ name, sum }) => [name, sum.name] as const),
  };
}

/** The loss's scale, where the graph takes it: `apply` renews it. */
function scaleState(lossScale: TrainingGraph["lossScale"]): readonly StateTensor[] {
  if (lossScale === null) return [];
  const { input, initial } = lossScale;
  return [{ name: input.name, next: null, kind: "slot", shape: [], initial }];
}

function inOrderOf(inputs: readonly Value[], state: readonly StateTensor[]): readonly StateTensor[] {
  const places = new Map(inputs.map(({ name }, index) => [name, index]));
  return state.toSorted((a, b) => (places.get(a.name) ?? 0) - (places.get(b.name) ?? 0));
}

/**
 * Frozen parameters, and the running statistics among them.
 * @param renewed which output renews which input
 */
export function constantState(
  constants: readonly Value[],
  renewed: readonly (readonly [input: string, output: string])[],
): readonly StateTensor[] {
  const outputs = new Map(renewed);
  return constants.map(({ name }) => {
    const next = outputs.get(name) ?? null;
    return { name, next, kind: next === null ? "frozen" : "buffer" };
  });
}

export const namesOf = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
