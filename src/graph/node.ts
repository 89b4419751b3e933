import { instanceOf, type Kind, requireArgument } from "../arguments.ts";
import { GraphError } from "../errors.ts";
import type { Attribute } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import { Value } from "./value.ts";

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

/** `node "fc1/MatMul" (MatMul)`, for messages. */
export function describeNode(node: Node): string {
  requireArgument("node", node, A_NODE);
  const op = node.domain === "" ? node.opType : `${node.domain}.${node.opType}`;
  if (node.name !== "") return `node "${node.name}" (${op})`;
  const output = node.outputs.find((value) => value !== null);
  return output === undefined || output === null
    ? `a node without outputs (${op})`
    : `the node that makes "${output.name}" (${op})`;
}

export const A_NODE: Kind = instanceOf(Node, "a Node of a graph");
