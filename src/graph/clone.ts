import { type Attribute, graphsOf } from "./attribute.ts";
import { Graph, Node, Value } from "./graph.ts";

/** Says what stands for a value in the copy; null where the copy makes a value of its own. */
export type Substitute = (value: Value) => Value | null;

/** Names for the values and nodes of a copy. */
export type Rename = (name: string) => string;

/**
 * Copies a node with the graphs inside it.
 * @param substitute for values made outside the node
 */
export function cloneNode(node: Node, substitute: Substitute, rename: Rename): Node {
  const inner = new Map<Value, Value>();
  const resolve: Substitute = (value) => inner.get(value) ?? substitute(value);
  return cloneWithin(node, resolve, rename, inner);
}

function cloneWithin(node: Node, resolve: Substitute, rename: Rename, made: Map<Value, Value>): Node {
  const inputs = node.inputs.map((value) => (value === null ? null : (resolve(value) ?? value)));
  const attributes = [...node.attributes.values()].map((each) => cloneAttribute(each, resolve, rename, made));
  const outputs = node.outputs.map((value) => (value === null ? null : copyOf(value, rename, made)));
  return new Node(node.opType, inputs, outputs, {
    name: rename(node.name),
    domain: node.domain,
    overload: node.overload,
    attributes,
    metadata: node.metadata,
    docString: node.docString,
  });
}

function copyOf(value: Value, rename: Rename, made: Map<Value, Value>): Value {
  const copy = new Value(rename(value.name), value.type);
  copy.tensor = value.tensor;
  made.set(value, copy);
  return copy;
}

function cloneAttribute(each: Attribute, resolve: Substitute, rename: Rename, made: Map<Value, Value>): Attribute {
  if (graphsOf(each).length === 0) return each;
  if (each.kind === "graph") return { ...each, value: cloneGraph(each.value, resolve, rename, made) };
  if (each.kind === "graphs") {
    return { ...each, value: each.value.map((graph) => cloneGraph(graph, resolve, rename, made)) };
  }
  return each;
}

function cloneGraph(graph: Graph, resolve: Substitute, rename: Rename, made: Map<Value, Value>): Graph {
  const copy = new Graph(graph.name);
  copy.inputs.push(...graph.inputs.map((value) => copyOf(value, rename, made)));
  copy.initializers.push(...graph.initializers.map((value) => copyOf(value, rename, made)));
  for (const node of graph.nodes) copy.append(cloneWithin(node, resolve, rename, made));
  for (const output of graph.outputs) copy.addOutput(resolve(output) ?? output);
  return copy;
}
