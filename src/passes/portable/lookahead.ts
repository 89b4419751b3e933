import { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { Lookahead } from "../../optim/transform.ts";
import type { GradientPoint } from "../../optim/written.ts";

/**
 * Lets a graph read each parameter w as w - share * offset, with the offset a new input: its gradients are then those at that point.
 * @param lookahead null: nothing is done
 * @returns by parameter
 */
export function moveForward(
  model: Model,
  parameters: readonly Value[],
  lookahead: Lookahead | null,
): ReadonlyMap<Value, GradientPoint> {
  if (lookahead === null) return new Map();
  const { graph } = model;
  const { transform, slot, share } = lookahead;
  const names = new Names(model);
  const build = new Builder({ prefix: transform, names });
  const f = new Formula(build, model.opset);
  const points = parameters.map((parameter) => {
    const uses = [...parameter.uses];
    const offset = new Value(names.fresh(`${parameter.name}/${transform}/${slot}`), parameter.type);
    const value = f.sub(parameter, f.mul(offset, share));
    value.type = parameter.type;
    for (const { user, index } of uses) {
      if (user instanceof Node) user.setInput(index, value);
      else user.setOutput(index, value);
    }
    graph.inputs.push(offset);
    return [parameter, { value, offset }] as const;
  });
  const [first] = graph.nodes;
  if (first === undefined) graph.append(build.nodes);
  else graph.insertBefore(first, build.nodes);
  return new Map(points);
}
