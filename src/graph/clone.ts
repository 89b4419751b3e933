import { GraphError } from "../errors.ts";
import { type Attribute, graphsOf } from "./attribute.ts";
import { Graph, Node, Value } from "./graph.ts";
import { sources } from "./serde/sources.ts";

/** Says what stands for a value in the copy; null where the value itself does. */
export type Substitute = (value: Value) => Value | null;

/** Names for the values and nodes of a copy. */
export type Rename = (name: string) => string;

/**
 * Copies a node with the graphs inside it.
 * @param substitute for values made outside the node
 */
export function cloneNode(node: Node, substitute: Substitute, rename: Rename): Node {
  return new Copier(substitute, rename).node(node);
}

/**
 * Copies nodes and graphs that read each other's values. Tensors, types and attributes cannot change and are shared; so is the
 * message each object was decoded from. All else is the copy's own.
 */
export class Copier {
  readonly #made = new Map<Value, Value>();
  readonly #substitute: Substitute;
  readonly #rename: Rename;

  /** @param substitute for values that are not copied */
  constructor(substitute: Substitute = () => null, rename: Rename = (name) => name) {
    this.#substitute = substitute;
    this.#rename = rename;
  }

  /** What was made of a value. @throws GraphError `E_GRAPH` for one that was not copied */
  copyOf(value: Value): Value {
    const copy = this.#made.get(value);
    if (copy !== undefined) return copy;
    throw new GraphError("E_GRAPH", `"${value.name}" is not in what was copied`, { field: value.name });
  }

  graph(graph: Graph): Graph {
    const copy = new Graph(graph.name);
    copy.docString = graph.docString;
    for (const [key, value] of graph.metadata) copy.metadata.set(key, value);
    for (const value of graph.inputs) copy.inputs.push(this.#copy(value));
    for (const value of graph.initializers) copy.initializers.push(this.#copy(value));
    for (const { value, tensor } of graph.sparseInitializers) {
      copy.sparseInitializers.push({ value: this.#copy(value), tensor });
    }
    for (const node of graph.nodes) copy.append(this.node(node));
    for (const info of graph.valueInfo) {
      const declared = copy.declare(this.#made.get(info.value) ?? this.#copy(info.value), info.metadata);
      carry(sources.valueInfo, info, declared);
    }
    for (const output of graph.outputs) copy.addOutput(this.#resolve(output));
    carry(sources.graph, graph, copy);
    carry(sources.output, graph, copy);
    return copy;
  }

  node(node: Node): Node {
    const inputs = node.inputs.map((value) => (value === null ? null : this.#resolve(value)));
    const attributes = [...node.attributes.values()].map((each) => this.attribute(each));
    const outputs = node.outputs.map((value) => (value === null ? null : this.#copy(value)));
    const { opType, domain, overload, metadata, docString } = node;
    const name = this.#rename(node.name);
    const copy = new Node(opType, inputs, outputs, { name, domain, overload, attributes, metadata, docString });
    carry(sources.node, node, copy);
    return copy;
  }

  attribute(each: Attribute): Attribute {
    if (graphsOf(each).length === 0) return each;
    if (each.kind === "graph") return this.#carried(each, { ...each, value: this.graph(each.value) });
    if (each.kind === "graphs") {
      return this.#carried(each, { ...each, value: each.value.map((graph) => this.graph(graph)) });
    }
    return each;
  }

  #carried(from: Attribute, to: Attribute): Attribute {
    carry(sources.attribute, from, to);
    return to;
  }

  /** An initializer that is an input too is one value. */
  #copy(value: Value): Value {
    const known = this.#made.get(value);
    if (known !== undefined) return known;
    const copy = new Value(this.#rename(value.name), value.type);
    copy.tensor = value.tensor;
    carry(sources.input, value, copy);
    carry(sources.decodedType, value, copy);
    this.#made.set(value, copy);
    return copy;
  }

  #resolve(value: Value): Value {
    return this.#made.get(value) ?? this.#substitute(value) ?? value;
  }
}

/** Gives the copy what is known of the original. */
export function carry<K extends object, V>(known: WeakMap<K, V>, from: K, to: K): void {
  const entry = known.get(from);
  if (entry !== undefined) known.set(to, entry);
}
