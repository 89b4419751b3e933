import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { type Graph, Node, Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import type { StepModel } from "./step-model.ts";

/**
 * The `gradients` model of a portable set for one value of its reset: with true it puts the gradients in the place of the
 * accumulated ones, which it does not read; with false it adds. Choosing in the graph costs passes over every gradient.
 * Changes the model it is given.
 * @returns null, and the model as it was, where it has no reset, or does with it something other than choose
 */
export function withoutReset(step: StepModel, resets: boolean): StepModel | null {
  const { model } = step;
  const { graph } = model;
  const reset = graph.inputs.find(({ name }) => name === step.reset);
  if (reset === undefined) return null;
  const choices = choicesBy(reset);
  if (choices === null) return null;
  const names = new Names(model);
  for (const { node, output, chosen } of choices) {
    const value = chosen[resets ? 0 : 1];
    const at = graph.outputs.indexOf(output);
    if (at >= 0) giveAs(graph, at, value, names);
    output.replaceAllUsesWith(value);
    graph.remove(node);
  }
  graph.replaceInputs(graph.inputs.filter((value) => value !== reset));
  removeDeadNodes(graph);
  return { ...step, reset: null };
}

interface Choice {
  readonly node: Node;
  readonly output: Value;
  readonly chosen: readonly [Value, Value];
}

/** The nodes that choose by a flag; null where it is used in another way, too. */
function choicesBy(flag: Value): readonly Choice[] | null {
  const choices: Choice[] = [];
  for (const { user, index } of flag.uses) {
    if (!(user instanceof Node) || user.domain !== "" || index !== 0) return null;
    const [output] = user.outputs;
    if (!output) return null;
    if (user.opType === "Reshape") {
      const further = choicesBy(output);
      if (further === null) return null;
      choices.push(...further);
      continue;
    }
    const [, first, second] = user.inputs;
    if (user.opType !== "Where" || !first || !second) return null;
    choices.push({ node: user, output, chosen: [first, second] });
  }
  return choices;
}

/** Makes a value a graph output in the place of another, under that one's name: a copy of it where it must keep its own. */
function giveAs(graph: Graph, at: number, value: Value, names: Names): void {
  const before = graph.outputs[at];
  if (before === undefined) return;
  const { name, type } = before;
  before.name = names.fresh(`${name}/chosen`);
  const keepsName = value.producer === null || graph.outputs.includes(value);
  const given = keepsName ? new Value("") : value;
  given.name = name;
  given.type = type;
  if (keepsName) graph.append(new Node("Identity", [value], [given], { name: names.fresh(`${name}/Identity`) }));
  graph.setOutput(at, given);
}
