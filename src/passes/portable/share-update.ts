import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { Node, type Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/**
 * The part of an `apply` model that renews some of its parameters, with the slots that their next values depend on in this step
 * or a later one. It takes gradients that were summed over several sessions, and divides them. What depends on all gradients,
 * such as their norm, still reads all. Slots on which no parameter depends go with the first parameter. Changes the model it is given.
 * @param parameters names; those that the model does not renew are left out
 * @param sessions how many the sums are of
 */
export function shareUpdate(step: StepModel, parameters: ReadonlySet<string>, sessions: number): StepModel {
  const { model } = step;
  const { graph } = model;
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  const renewed = step.state.filter(({ next }) => next !== null);
  const nextOf = ({ next }: StateTensor): readonly Value[] =>
    [outputs.get(next ?? "")].filter((value) => value !== undefined);
  const isParameter = ({ kind }: StateTensor): boolean => kind === "parameter";
  const all = renewed.filter(isParameter);
  const reaching = closure(all, renewed, nextOf);
  const idle = parameters.has(all[0]?.name ?? "") ? renewed.filter((each) => !reaching.has(each)) : [];
  const own = closure([...all.filter(({ name }) => parameters.has(name)), ...idle], renewed, nextOf);
  const kept = new Set([...own].flatMap(nextOf));
  graph.replaceOutputs(graph.outputs.filter((value) => kept.has(value)));
  removeDeadNodes(graph);
  const names = new Names(model);
  const build = new Builder({ prefix: "mean", names });
  for (const value of graph.inputs) {
    if (!value.isUsed || !step.gradients.some(([, input]) => input === value.name)) continue;
    const uses = [...value.uses];
    const mean = new Formula(build, model.opset, elementTypeOf(value)).div(value, sessions);
    mean.type = value.type;
    for (const { user, index } of uses) {
      if (user instanceof Node) user.setInput(index, mean);
      else user.setOutput(index, mean);
    }
  }
  const [first] = graph.nodes;
  if (first !== undefined) graph.insertBefore(first, build.nodes);
  graph.replaceInputs(graph.inputs.filter(({ isUsed }) => isUsed));
  const there = new Set(graph.inputs.map(({ name }) => name));
  const optional = (name: string | null): string | null => (name !== null && there.has(name) ? name : null);
  return {
    ...step,
    state: step.state.flatMap((each): StateTensor[] => {
      if (own.has(each)) return [each];
      return there.has(each.name) ? [{ ...each, next: null }] : [];
    }),
    learningRate: optional(step.learningRate),
    step: optional(step.step),
    gradients: step.gradients.filter(([, input]) => there.has(input)),
  };
}

/** State and the slots that its next values depend on, and those that theirs depend on. */
function closure(
  roots: readonly StateTensor[],
  renewed: readonly StateTensor[],
  nextOf: (state: StateTensor) => readonly Value[],
): ReadonlySet<StateTensor> {
  const slots = new Map(renewed.flatMap((each) => (each.kind === "slot" ? [[each.name, each] as const] : [])));
  const found = new Set(roots);
  const seen = new Set<Value>();
  const open = roots.flatMap(nextOf);
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    const { producer } = value;
    if (producer !== null) {
      open.push(...valuesReadBy(producer));
      continue;
    }
    const slot = slots.get(value.name);
    if (slot === undefined || found.has(slot)) continue;
    found.add(slot);
    open.push(...nextOf(slot));
  }
  return found;
}
