import { GraphError } from "../errors.ts";
import { describeNode, type Graph, type Node, type Value } from "./graph.ts";
import { subgraphsOf } from "./model.ts";

/**
 * Checks that every value of a graph is made before it is read, and that names tell values apart.
 * @throws GraphError `E_GRAPH`, naming the node or the graph's output
 */
export function checkStructure(graph: Graph): void {
  checkScope(graph, { values: new Set(), names: new Map() });
}

/** What can be read in a graph. */
interface Scope {
  readonly values: Set<Value>;
  /** Names of this graph alone: those of a graph inside may be the same. */
  readonly names: Map<string, Value>;
}

function checkScope(graph: Graph, outer: Scope): void {
  const scope: Scope = { values: new Set(outer.values), names: new Map() };
  const make = (value: Value, by: string): void => {
    const other = scope.names.get(value.name);
    if (other !== undefined && other !== value) {
      throw new GraphError("E_GRAPH", `"${value.name}" is made twice; the second time by ${by}`, { field: value.name });
    }
    scope.values.add(value);
    scope.names.set(value.name, value);
  };
  for (const value of graph.inputs) make(value, "an input");
  for (const value of graph.initializers) make(value, "an initializer");
  for (const { value } of graph.sparseInitializers) make(value, "a sparse initializer");
  for (const node of graph) {
    for (const value of node.inputs) if (value !== null) requireMade(scope, value, node);
    for (const inner of subgraphsOf(node)) checkScope(inner, scope);
    for (const value of node.outputs) if (value !== null) make(value, describeNode(node));
  }
  for (const value of graph.outputs) requireMade(scope, value, graph);
}

function requireMade({ values }: Scope, value: Value, by: Node | Graph): void {
  if (values.has(value)) return;
  const reader = "opType" in by ? describeNode(by) : `an output of graph "${by.name}"`;
  throw new GraphError("E_GRAPH", `${reader} reads "${value.name}", which is not made before it`, {
    field: value.name,
  });
}
