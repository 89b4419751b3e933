import { Copier } from "../../graph/clone.ts";
import { Graph, Value } from "../../graph/graph.ts";
import { Model } from "../../graph/model.ts";
import { constantOf } from "../../ops/constants.ts";
import type { Region } from "./region.ts";

/**
 * Writes a region of a step as a model of its own.
 * @param outputs of the step, by what they give of it
 * @param further outputs of the step that become inputs
 */
export function writeUpdate(
  step: Model,
  { renewed, read, nodes }: Region,
  outputs: ReadonlyMap<Value, Value>,
  further: readonly Value[],
): Model {
  const graph = new Graph("update");
  const made = new Map<Value, Value>();
  const inputs = [...renewed.map(({ input }) => input), ...read];
  for (const value of new Set([...further, ...inputs, ...outputs.keys()])) {
    const copy = new Value((outputs.get(value) ?? value).name, value.type);
    made.set(value, copy);
    graph.inputs.push(copy);
  }
  const constant = (value: Value): Value | null => {
    const known = made.get(value);
    const tensor = constantOf(value);
    if (known !== undefined || tensor === null) return known ?? null;
    const copy = new Value(value.name, value.type);
    copy.tensor = tensor;
    made.set(value, copy);
    graph.initializers.push(copy);
    return copy;
  };
  const copier = new Copier(constant);
  for (const node of nodes) graph.append(copier.node(node));
  for (const { next } of renewed) graph.addOutput(copier.copyOf(next));
  const model = new Model(step.irVersion, graph);
  for (const [domain, version] of step.opsets) model.opsets.set(domain, version);
  return model;
}
