import { GraphError } from "../errors.ts";
import { graphsOf, type SparseTensor } from "./attribute.ts";
import { LinkedList } from "./linked-list.ts";
import { describeNode, Node } from "./node.ts";
import { Value } from "./value.ts";

export { A_NODE, describeNode, Node, type NodeInit } from "./node.ts";
export { type Use, Value } from "./value.ts";

/** A declared type of an intermediate value (`value_info`). */
export interface ValueInfo {
  readonly value: Value;
  /** What the file says of the value beside its type, as it was read. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Nodes, and lists of nodes. */
export type Nodes = readonly (Node | Iterable<Node>)[];

function* flat(nodes: Nodes): Generator<Node> {
  for (const each of nodes) {
    if (each instanceof Node) yield each;
    else yield* each;
  }
}

/**
 * A graph or function body: inputs, initializers, nodes in topological order, outputs.
 *
 * Each node that is appended, inserted or removed takes constant time. Iterating over a graph survives edits:
 * - it visits the nodes there were when it began, in the order of then;
 * - nodes appended or inserted meanwhile are not visited;
 * - nodes removed before their turn are skipped, those moved within the graph are visited where they were;
 * - removing the node that is being visited, or putting others around it, does not disturb it.
 */
export class Graph implements Iterable<Node> {
  name: string;
  docString = "";
  readonly inputs: Value[] = [];
  readonly initializers: Value[] = [];
  readonly sparseInitializers: { readonly value: Value; readonly tensor: SparseTensor }[] = [];
  readonly metadata = new Map<string, string>();
  readonly #outputs: Value[] = [];
  readonly #nodes = new LinkedList<Node>();
  readonly #valueInfo = new Map<Value, ValueInfo[]>();

  constructor(name = "") {
    this.name = name;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  /** A snapshot of the nodes in order. */
  get nodes(): readonly Node[] {
    return this.#nodes.items;
  }

  get nodeCount(): number {
    return this.#nodes.size;
  }

  /** The node behind this one; null behind the last. */
  nodeAfter(node: Node): Node | null {
    return this.#nodes.after(node);
  }

  /** Declared types of intermediate values. */
  get valueInfo(): readonly ValueInfo[] {
    return [...this.#valueInfo.values()].flat();
  }

  isDeclared(value: Value): boolean {
    return this.#valueInfo.has(value);
  }

  /** Adds a value to those whose type is declared. */
  declare(value: Value, metadata: ReadonlyMap<string, string> = new Map()): ValueInfo {
    const info: ValueInfo = { value, metadata };
    const others = this.#valueInfo.get(value);
    if (others === undefined) this.#valueInfo.set(value, [info]);
    else others.push(info);
    return info;
  }

  /** Takes a value from those whose type is declared. */
  undeclare(value: Value): void {
    this.#valueInfo.delete(value);
  }

  /** Declares the types of intermediate values no more. */
  clearValueInfo(): void {
    this.#valueInfo.clear();
  }

  /** Makes these the inputs, in place of those there were. */
  replaceInputs(values: readonly Value[]): void {
    refill(this.inputs, values);
  }

  /** Makes these the initializers, in place of those there were. */
  replaceInitializers(values: readonly Value[]): void {
    refill(this.initializers, values);
  }

  *[Symbol.iterator](): Iterator<Node> {
    for (const node of this.nodes) if (node.graph === this) yield node;
  }

  addOutput(value: Value): void {
    this.#outputs.push(value);
    Value.link(value, this, this.#outputs.length - 1);
  }

  setOutput(index: number, next: Value): void {
    const previous = this.#outputs[index];
    if (previous === undefined) throw new GraphError("E_GRAPH", `Graph "${this.name}" has no output ${index}`);
    Value.unlink(previous, this, index);
    Value.link(next, this, index);
    this.#outputs[index] = next;
  }

  /** Makes these the outputs, in place of those there were. */
  replaceOutputs(values: readonly Value[]): void {
    this.release();
    this.#outputs.length = 0;
    for (const value of values) this.addOutput(value);
  }

  append(...nodes: Nodes): void {
    for (const node of flat(nodes)) this.#insert(node, null);
  }

  /** @throws GraphError `E_GRAPH` where the anchor is in another graph or none */
  insertBefore(anchor: Node, ...nodes: Nodes): void {
    if (!this.#nodes.has(anchor)) {
      throw new GraphError("E_GRAPH", `${describeNode(anchor)} is not in graph "${this.name}"`);
    }
    for (const node of flat(nodes)) this.#insert(node, anchor);
  }

  /** A node is in one graph at a time. */
  #insert(node: Node, before: Node | null): void {
    if (node.graph !== null && node.graph !== this) node.graph.#nodes.remove(node);
    Node.setGraph(node, this);
    this.#nodes.insert(node, before);
  }

  /** @throws GraphError `E_GRAPH`, naming the users, while an output of the nodes is still read elsewhere. */
  remove(...nodes: Nodes): void {
    const removed = new Set(flat(nodes));
    const doomed = new Set(usersWithin(removed));
    for (const node of removed) {
      for (const output of node.outputs) {
        const use = output?.uses.find(({ user }) => !doomed.has(user));
        if (use === undefined) continue;
        const user =
          use.user instanceof Node ? `${describeNode(use.user)} (input ${use.index})` : "the graph's outputs";
        throw new GraphError(
          "E_GRAPH",
          `Cannot remove ${describeNode(node)}: its output "${output?.name}" is read by ${user}`,
        );
      }
    }
    for (const user of doomed) user.release();
    for (const node of removed) {
      Node.setGraph(node, null);
      this.#nodes.remove(node);
      for (const output of node.outputs) if (output !== null) this.#valueInfo.delete(output);
    }
  }

  /** @internal Forgets that the outputs are read here: the graph is going away. */
  release(): void {
    for (const [index, value] of this.#outputs.entries()) Value.unlink(value, this, index);
  }
}

/** Not by `push(...values)`: a call takes some 100,000 arguments at most. */
function refill(list: Value[], values: readonly Value[]): void {
  const next = [...values];
  list.length = 0;
  for (const value of next) list.push(value);
}

/** The nodes, and the nodes and graphs inside them: everything that reads values there. */
function* usersWithin(nodes: Iterable<Node>): Generator<Node | Graph> {
  for (const node of nodes) {
    yield node;
    for (const attribute of node.attributes.values()) {
      for (const graph of graphsOf(attribute)) {
        yield graph;
        yield* usersWithin(graph.nodes);
      }
    }
  }
}
