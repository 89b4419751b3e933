import { GraphError, PassError } from "../errors.ts";
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
 * @param domain only the functions of this domain. Default: all
 * @returns how many nodes were replaced
 * @throws GraphError `E_FUNCTION_CYCLE`; PassError `E_BUDGET`
 */
export function inlineFunctions(model: Model, domain?: string): number {
  const inlined = model.functions.filter((each) => domain === undefined || each.domain === domain);
  const functions = new Map(inlined.map((each) => [keyOf(each.domain, each.name, each.overload), each]));
  if (functions.size === 0) return 0;
  checkSize(model, functions);
  const names = new Names(model);
  let count = 0;
  for (let round = 0; ; round++) {
    if (round === MOST_ROUNDS) throw endless();
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
  const others = model.functions.filter((each) => !inlined.includes(each));
  model.functions.splice(0, model.functions.length, ...others);
  return count;
}

/** What the calls may come to, in nodes: functions that call another twice double at every level. */
const MOST_NODES = 500_000;

/** @throws PassError `E_BUDGET` where they come to more, before any is replaced; GraphError `E_FUNCTION_CYCLE` */
function checkSize(model: Model, functions: ReadonlyMap<string, GraphFunction>): void {
  const sizes = new Map<GraphFunction, number>();
  const sizeOf = (node: Node, depth: number): number => {
    const called = functions.get(keyOf(node.domain, node.opType, node.overload));
    if (called === undefined) return 1;
    if (depth === MOST_ROUNDS) throw endless();
    const size = sizes.get(called) ?? nodesIn(called.body).reduce((sum, inner) => sum + sizeOf(inner, depth + 1), 0);
    sizes.set(called, size);
    return size;
  };
  let total = 0;
  for (const node of nodesIn(model.graph)) {
    total += sizeOf(node, 0);
    if (total <= MOST_NODES || sizes.size === 0) continue;
    throw new PassError(
      "E_BUDGET",
      `with ${describeNode(node)} the model comes to ${total} nodes once functions are replaced by their bodies, and no more than ${MOST_NODES} are written`,
      { field: node.name, hint: "Export the model without functions that call each other so often." },
    );
  }
}

const nodesIn = (graph: Graph): readonly Node[] => [...walkGraphs(graph)].flatMap(({ nodes }) => nodes);

const endless = (): GraphError => new GraphError("E_FUNCTION_CYCLE", "functions call each other without an end");

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
    if (output !== null && made?.producer?.graph === graph && isOutputOf(graph, made)) made.name = output.name;
  }
}

const isOutputOf = (graph: Graph, value: Value): boolean => value.uses.some(({ user }) => user === graph);

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
