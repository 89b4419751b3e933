import type { Graph, Node, Value } from "../../graph/graph.ts";
import { subgraphsOf, valuesReadBy, walkGraphs } from "../../graph/model.ts";
import { isHeld } from "../../ops/constants.ts";

/**
 * How many layers lie between each parameter and the end of the graph: nodes that read a parameter of two axes or more, on the
 * longest way. A bias and the weight before it are of one layer.
 * @param parameters initializers of the graph
 */
export function layersBehind(graph: Graph, parameters: readonly Value[]): ReadonlyMap<Value, number> {
  const read = new Map(graph.nodes.map((node) => [node, valuesReadBy(node)]));
  const made = madeOfParameters(graph, parameters, read);
  const weights = new Set(parameters.filter(({ tensor }) => (tensor?.dims.length ?? 0) > 1));
  const isWeight = (value: Value): boolean => weights.has(made.get(value) ?? value);
  const outer = outerNodes(graph);
  const isLayer = (node: Node): boolean =>
    !node.outputs.some((output) => output !== null && made.has(output)) && (read.get(node)?.some(isWeight) ?? false);
  const layers = new Set(graph.nodes.filter(isLayer));
  const behind = new Map<Node, number>();
  const after = (value: Value): number => {
    const users = value.uses.flatMap(({ user }) => ("opType" in user ? [outer.get(user) ?? user] : []));
    return users.reduce((most, user) => Math.max(most, (behind.get(user) ?? 0) + (layers.has(user) ? 1 : 0)), 0);
  };
  for (const node of graph.nodes.toReversed()) {
    behind.set(
      node,
      node.outputs.reduce((most, output) => Math.max(most, output === null ? 0 : after(output)), 0),
    );
  }
  const depths = new Map<Value, number>(parameters.map((parameter) => [parameter, 0]));
  for (const [node, values] of read) {
    if (node.outputs.some((output) => output !== null && made.has(output))) continue;
    for (const value of values) {
      const parameter = made.get(value) ?? value;
      const known = depths.get(parameter);
      if (known !== undefined) depths.set(parameter, Math.max(known, behind.get(node) ?? 0));
    }
  }
  return depths;
}

/** Values that are made of one parameter and constants alone: a weight that is turned or stretched first. */
function madeOfParameters(
  graph: Graph,
  parameters: readonly Value[],
  read: ReadonlyMap<Node, readonly Value[]>,
): ReadonlyMap<Value, Value> {
  const made = new Map<Value, Value>();
  const own = new Set(parameters);
  for (const node of graph) {
    const inputs = read.get(node) ?? [];
    const sources = new Set(inputs.flatMap((value) => (own.has(value) ? [value] : [made.get(value) ?? []].flat())));
    const isMade = inputs.every((value) => made.has(value) || own.has(value) || isHeld(value));
    const [source] = sources;
    if (source === undefined || sources.size > 1 || !isMade) continue;
    for (const output of node.outputs) if (output !== null) made.set(output, source);
  }
  return made;
}

/** Nodes inside others, each with the node of the graph itself that it lies in. */
function outerNodes(graph: Graph): ReadonlyMap<Node, Node> {
  return new Map(
    graph.nodes.flatMap((node) =>
      subgraphsOf(node)
        .flatMap((inner) => [...walkGraphs(inner)])
        .flatMap((inner) => inner.nodes.map((each) => [each, node] as const)),
    ),
  );
}
