import { graphsOf } from "../../graph/attribute.ts";
import { cloneNode } from "../../graph/clone.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import { requireRepeatable } from "../repeatable.ts";
import type { Backward, GradientTable, Inner } from "../rule.ts";

/**
 * The gradient of a choice is the same choice between the branches' gradients. What a branch computed cannot be read from
 * outside, so each branch of the gradient computes it again.
 */
function chosen(b: Backward, inner: Inner): ReadonlyMap<Value, Value> {
  requireRepeatable(b);
  const { node, f } = b;
  const [condition] = node.inputs;
  const wanted = [...new Set(valuesReadBy(node))].filter((value) => value !== condition && b.isWanted(value));
  const prefix = `${node.name || "If"}/grad`;
  const copy = cloneNode(
    node,
    () => null,
    /** Not below the prefix: the names of graphs inside graphs would double at each level. */
    (name) => inner.names.fresh(name === "" ? `${prefix}/node` : `${name}/again`),
  );
  for (const graph of [...copy.attributes.values()].flatMap(graphsOf)) {
    const seeds = new Map<Value, Value>();
    for (const [index, output] of graph.outputs.entries()) {
      const dy = b.dyOf(index);
      if (dy === null) continue;
      if (seeds.has(output)) throw b.refuse("one value is two outputs of a branch");
      seeds.set(output, dy);
    }
    const gradients = inner.differentiate(graph, seeds, wanted);
    finish(graph, wanted, gradients, inner, prefix, b.opset);
  }
  copy.release();
  const attributes = [...copy.attributes.values()];
  const results = f.build.emitAll("If", [b.input(0)], wanted.length, { attributes });
  return new Map(wanted.flatMap((value, index) => (results[index] === undefined ? [] : [[value, results[index]]])));
}

/** Makes the gradients a branch's outputs; zeros for what it does not depend on. */
function finish(
  graph: Graph,
  wanted: readonly Value[],
  gradients: ReadonlyMap<Value, Value>,
  { names }: Inner,
  prefix: string,
  opset: number,
): void {
  const build = new Builder({ prefix, names });
  const outputs = wanted.map((value) => {
    const f = new Formula(build, opset, elementTypeOf(value));
    const output = f.identity(gradients.get(value) ?? f.zeros(f.shape(value)));
    output.type = value.type;
    return output;
  });
  graph.append(build.nodes);
  graph.replaceOutputs(outputs);
}

export const CONTROL_RULES: GradientTable = { If: { gradient: () => [], captured: chosen } };
