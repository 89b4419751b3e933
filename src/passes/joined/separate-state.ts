import { attribute } from "../../graph/attribute.ts";
import { Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import type { StateTensor, StepModel } from "../portable/step-model.ts";
import type { JoinedState } from "./write-join.ts";

/**
 * Takes joined state apart at the border of a model: inputs and outputs are those that there were before it was joined.
 * @param state of the model from then
 */
export function separateState(
  step: StepModel,
  joined: readonly JoinedState[],
  state: readonly StateTensor[],
): StepModel {
  const { graph } = step.model;
  const names = new Names(step.model);
  const f = new Formula(new Builder({ prefix: "joined/before", names }), step.model.opset);
  const g = new Formula(new Builder({ prefix: "joined/after", names }), step.model.opset);
  const inputs = new Map(graph.inputs.map((value) => [value.name, value]));
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  for (const { name, next, states } of joined) {
    const [whole, renewed] = [inputs.get(name), outputs.get(next)];
    if (whole === undefined || renewed === undefined) throw new Error(`the model has no state "${name}"`);
    const parts = states.map(({ state: { name }, input: { type } }) => new Value(name, type));
    const shapes = parts.map((part) => known(dimsOf(part)) ?? []);
    const made = f.concat(
      parts.map((part, index) => (shapes[index]?.length === 1 ? part : f.reshape(part, [-1]))),
      0,
    );
    whole.replaceAllUsesWith(made);
    const sizes = shapes.map((shape) => shape.reduce((product, dim) => product * dim, 1));
    const pieces = g.build.emitAll("Split", [renewed, g.ints(sizes)], sizes.length, {
      attributes: [attribute.int("axis", 0)],
    });
    inputs.delete(whole.name);
    outputs.delete(renewed.name);
    for (const [index, part] of parts.entries()) {
      const { state, next: value } = states[index] ?? {};
      const piece = pieces[index];
      if (piece === undefined || value === undefined || !state?.next) continue;
      const given = shapes[index]?.length === 1 ? piece : g.reshape(piece, shapes[index] ?? []);
      given.name = state.next;
      given.type = value.type;
      inputs.set(part.name, part);
      outputs.set(state.next, given);
    }
  }
  const [first] = graph.nodes;
  if (first === undefined) graph.append(f.build.nodes);
  else graph.insertBefore(first, f.build.nodes);
  graph.append(g.build.nodes);
  graph.replaceInputs(
    inOrder(
      inputs,
      state.map(({ name }) => name),
    ),
  );
  graph.replaceOutputs(
    inOrder(
      outputs,
      state.map(({ next }) => next),
    ),
  );
  return { ...step, state: state.map((each) => ({ ...each })) };
}

/** Values by name: those of the list as it has them, all others before. */
function inOrder(values: ReadonlyMap<string, Value>, names: readonly (string | null)[]): readonly Value[] {
  const last = names.flatMap((name) => values.get(name ?? "") ?? []);
  const isLast = new Set(last);
  return [...[...values.values()].filter((value) => !isLast.has(value)), ...last];
}
