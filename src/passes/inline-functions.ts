import { GraphError } from "../errors.ts";
import type { Attribute } from "../graph/attribute.ts";
import { cloneNode } from "../graph/clone.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import { type GraphFunction, type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";

/** Functions within functions, so deep: checkModel has refused cycles before. */
const MOST_ROUNDS = 64;

/**
 * Puts the body of each model-local function in the place of the nodes that call it, so that other passes see operators
 * alone. The functions are removed from the model.
 * @returns how many nodes were replaced
 * @throws GraphError `E_FUNCTION_CYCLE`
 */
export function inlineFunctions(model: Model): number {
  const functions = new Map(model.functions.map((each) => [keyOf(each.domain, each.name, each.overload), each]));
  if (functions.size === 0) return 0;
  const names = new Names(model);
  let count = 0;
  for (let round = 0; ; round++) {
    if (round === MOST_ROUNDS) throw new GraphError("E_FUNCTION_CYCLE", "functions call each other without an end");
    const calls = [...walkGraphs(model.graph)].flatMap((graph) =>
      graph.nodes.flatMap((node) => {
        const called = functions.get(keyOf(node.domain, node.opType, node.overload));
        return called === undefined ? [] : [{ graph, node, called }];
      }),
    );
    if (calls.length === 0) break;
    for (const { graph, node, called } of calls) inline(graph, node, called, names);
    count += calls.length;
  }
  for (const { opsets } of functions.values()) {
    for (const [domain, version] of opsets) if (!model.opsets.has(domain)) model.opsets.set(domain, version);
  }
  model.functions.splice(0);
  return count;
}

const keyOf = (domain: string, name: string, overload: string): string => `${domain}.${name}.${overload}`;

function inline(graph: Graph, node: Node, called: GraphFunction, names: Names): void {
  const known = new Map<Value, Value | null>(
    called.body.inputs.map((input, index) => [input, node.inputs[index] ?? null]),
  );
  const prefix = node.name || node.outputs.find((output) => output !== null)?.name || called.name;
  for (const inner of called.body.nodes) {
    const copy = cloneNode(
      inner,
      (value) => known.get(value) ?? null,
      (name) => names.fresh(`${prefix}/${name || inner.opType}`),
    );
    for (const [index, input] of inner.inputs.entries()) {
      if (input !== null && known.get(input) === null) copy.setInput(index, null);
    }
    bindAttributes(copy, node, called);
    graph.insertBefore(node, copy);
    for (const [index, output] of inner.outputs.entries()) {
      if (output !== null) known.set(output, copy.outputs[index] ?? null);
    }
  }
  const kept = node.outputs.map((output, index) => {
    const result = called.body.outputs[index];
    return [output, result === undefined ? null : (known.get(result) ?? null)] as const;
  });
  for (const [output, made] of kept) {
    if (output === null) continue;
    if (made === null)
      throw new GraphError("E_GRAPH", `${describeNode(node)}: function "${called.name}" has no such output`);
    made.type ??= output.type;
    output.replaceAllUsesWith(made);
  }
  graph.remove(node);
  for (const [output, made] of kept) {
    if (output !== null && made?.producer?.graph === graph && graph.outputs.includes(made)) made.name = output.name;
  }
}

/** Attributes that refer to the function's take the value the call gives, or the function's default. */
function bindAttributes(copy: Node, call: Node, called: GraphFunction): void {
  for (const each of [...copy.attributes.values()]) {
    if (each.kind !== "reference") continue;
    const { attribute: name } = each.value;
    const given = call.attributes.get(name) ?? called.defaults.find((entry) => entry.name === name);
    if (given === undefined) copy.attributes.delete(each.name);
    else copy.attributes.set(each.name, { ...given, name: each.name } as Attribute);
  }
}
