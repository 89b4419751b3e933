import { GraphError } from "../errors.ts";
import { type Attribute, graphsOf, type SparseTensor } from "./attribute.ts";
import type { Tensor } from "./tensor.ts";
import type { ValueType } from "./value-type.ts";

/** One place a value is read: input `index` of a node, or output `index` of a graph. */
export interface Use {
  readonly user: Node | Graph;
  readonly index: number;
}

/** A named edge of the graph: a graph input, an initializer, or what a node computes. */
export class Value {
  name: string;
  type: ValueType | null;
  /** The constant this value holds where it is an initializer. */
  tensor: Tensor | null = null;
  #producer: Node | null = null;
  readonly #uses = new Map<Node | Graph, number[]>();

  constructor(name: string, type: ValueType | null = null) {
    this.name = name;
    this.type = type;
  }

  get producer(): Node | null {
    return this.#producer;
  }

  /** A snapshot: safe to iterate while rewiring. */
  get uses(): readonly Use[] {
    return [...this.#uses].flatMap(([user, indices]) => indices.map((index) => ({ user, index })));
  }

  /** Makes everything that reads this value read `next` instead, in subgraphs too. A graph output takes `next`'s name. */
  replaceAllUsesWith(next: Value): void {
    for (const { user, index } of this.uses) {
      if (user instanceof Node) user.setInput(index, next);
      else user.setOutput(index, next);
    }
  }

  /** @internal */
  static link(value: Value, user: Node | Graph, index: number): void {
    const indices = value.#uses.get(user);
    if (indices === undefined) value.#uses.set(user, [index]);
    else indices.push(index);
  }

  /** @internal */
  static unlink(value: Value, user: Node | Graph, index: number): void {
    const left = (value.#uses.get(user) ?? []).filter((at) => at !== index);
    if (left.length === 0) value.#uses.delete(user);
    else value.#uses.set(user, left);
  }

  /** @internal */
  static setProducer(value: Value, node: Node): void {
    value.#producer = node;
  }
}

export interface NodeInit {
  readonly name?: string;
  /** Default `""`, which is `ai.onnx`. */
  readonly domain?: string;
  readonly overload?: string;
  readonly attributes?: readonly Attribute[];
  readonly metadata?: ReadonlyMap<string, string>;
  readonly docString?: string;
}

export class Node {
  readonly opType: string;
  readonly domain: string;
  readonly overload: string;
  name: string;
  docString: string;
  readonly metadata: Map<string, string>;
  readonly attributes: Map<string, Attribute>;
  readonly outputs: readonly (Value | null)[];
  readonly #inputs: (Value | null)[];
  #graph: Graph | null = null;

  /** @param outputs null stands for an optional output that is left out. */
  constructor(
    opType: string,
    inputs: readonly (Value | null)[],
    outputs: readonly (Value | null)[],
    init: NodeInit = {},
  ) {
    this.opType = opType;
    this.domain = init.domain ?? "";
    this.overload = init.overload ?? "";
    this.name = init.name ?? "";
    this.docString = init.docString ?? "";
    this.metadata = new Map(init.metadata);
    this.attributes = new Map((init.attributes ?? []).map((attribute) => [attribute.name, attribute]));
    this.outputs = outputs;
    this.#inputs = [...inputs];
    for (const [index, value] of inputs.entries()) if (value !== null) Value.link(value, this, index);
    for (const value of outputs) if (value !== null) Value.setProducer(value, this);
  }

  get inputs(): readonly (Value | null)[] {
    return this.#inputs;
  }

  get graph(): Graph | null {
    return this.#graph;
  }

  /** The only way to rewire a node; keeps `uses` exact. */
  setInput(index: number, next: Value | null): void {
    const previous = this.#inputs[index];
    if (previous === undefined) {
      throw new GraphError("E_GRAPH", `${describeNode(this)} has no input ${index}`);
    }
    if (previous !== null) Value.unlink(previous, this, index);
    if (next !== null) Value.link(next, this, index);
    this.#inputs[index] = next;
  }

  /** @internal */
  static setGraph(node: Node, graph: Graph | null): void {
    node.#graph = graph;
  }

  /** @internal Forgets that the inputs are read here: the node is going away. */
  release(): void {
    for (const [index, value] of this.#inputs.entries()) if (value !== null) Value.unlink(value, this, index);
  }
}

/** A declared type of an intermediate value (`value_info`). */
export interface ValueInfo {
  readonly value: Value;
}

/**
 * A graph or function body: inputs, initializers, nodes in topological order, outputs.
 *
 * Iterating over it survives changes: nodes inserted meanwhile are not visited, nodes removed meanwhile are skipped.
 */
export class Graph implements Iterable<Node> {
  name: string;
  docString = "";
  readonly inputs: Value[] = [];
  readonly initializers: Value[] = [];
  readonly sparseInitializers: { readonly value: Value; readonly tensor: SparseTensor }[] = [];
  valueInfo: ValueInfo[] = [];
  readonly metadata = new Map<string, string>();
  readonly #outputs: Value[] = [];
  #nodes: readonly Node[] = [];

  constructor(name = "") {
    this.name = name;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  /** A snapshot of the nodes in order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  get nodeCount(): number {
    return this.#nodes.length;
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

  append(...nodes: readonly Node[]): void {
    for (const node of nodes) Node.setGraph(node, this);
    this.#nodes = [...this.#nodes, ...nodes];
  }

  insertBefore(anchor: Node, ...nodes: readonly Node[]): void {
    const at = this.#nodes.indexOf(anchor);
    if (at < 0) throw new GraphError("E_GRAPH", `${describeNode(anchor)} is not in graph "${this.name}"`);
    for (const node of nodes) Node.setGraph(node, this);
    this.#nodes = [...this.#nodes.slice(0, at), ...nodes, ...this.#nodes.slice(at)];
  }

  /** @throws GraphError `E_GRAPH`, naming the users, while an output of the nodes is still read elsewhere. */
  remove(...nodes: readonly Node[]): void {
    const removed = new Set(nodes);
    const doomed = new Set(usersWithin(nodes));
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
    for (const node of removed) Node.setGraph(node, null);
    this.#nodes = this.#nodes.filter((node) => !removed.has(node));
    const gone = new Set<Value | null>(nodes.flatMap((node) => node.outputs));
    this.valueInfo = this.valueInfo.filter(({ value }) => !gone.has(value));
  }

  /** @internal Forgets that the outputs are read here: the graph is going away. */
  release(): void {
    for (const [index, value] of this.#outputs.entries()) Value.unlink(value, this, index);
  }
}

/** The nodes, and the nodes and graphs inside them: everything that reads values there. */
function* usersWithin(nodes: readonly Node[]): Generator<Node | Graph> {
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

/** `node "fc1/MatMul" (MatMul)`, for messages. */
export function describeNode(node: Node): string {
  const op = node.domain === "" ? node.opType : `${node.domain}.${node.opType}`;
  if (node.name !== "") return `node "${node.name}" (${op})`;
  const output = node.outputs.find((value) => value !== null);
  return output === undefined || output === null
    ? `a node without outputs (${op})`
    : `the node that makes "${output.name}" (${op})`;
}
