import type { Graph, Node, Value } from "../../graph/graph.ts";
import { isProduct, rowOf } from "./operators.ts";

/** Matrices that lie transposed together or not at all. */
export interface Region {
  readonly values: ReadonlySet<Value>;
  /** The products that make or read them. */
  readonly products: readonly Node[];
}

/** The regions of a graph that may lie transposed: everything that makes or reads their values takes them so. */
export function regionsOf(graph: Graph): readonly Region[] {
  const regions = new Map<Value, Set<Value>>();
  const held = new Set<Value>();
  const regionOf = (value: Value): Set<Value> => {
    const own = regions.get(value) ?? new Set([value]);
    regions.set(value, own);
    if (value.producer === null || value.uses.some(({ user }) => user === graph || !isNodeOf(user, graph)))
      held.add(value);
    return own;
  };
  for (const node of graph) {
    const groups = rowOf(node)?.groups(node) ?? [];
    const free = new Set(groups.flat());
    for (const value of [...node.inputs, ...node.outputs]) if (value !== null && !free.has(value)) held.add(value);
    for (const [first, ...others] of groups) {
      if (first === undefined) continue;
      for (const other of others) merge(regions, regionOf(first), regionOf(other));
      regionOf(first);
    }
  }
  return [...new Set(regions.values())]
    .filter((values) => ![...values].some((value) => held.has(value)))
    .map((values) => ({ values, products: productsOf(values) }));
}

const isNodeOf = (user: Node | Graph, graph: Graph): boolean => "graph" in user && user.graph === graph;

function merge(regions: Map<Value, Set<Value>>, a: Set<Value>, b: Set<Value>): void {
  if (a === b) return;
  const [large, small] = a.size < b.size ? [b, a] : [a, b];
  for (const value of small) {
    large.add(value);
    regions.set(value, large);
  }
}

function productsOf(values: ReadonlySet<Value>): readonly Node[] {
  const nodes = [...values].flatMap(({ producer, uses }) => [
    ...(producer === null ? [] : [producer]),
    ...uses.flatMap(({ user }) => ("graph" in user ? [user] : [])),
  ]);
  return [...new Set(nodes)].filter(isProduct);
}
