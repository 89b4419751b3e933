import { type Graph, Node, type NodeInit, Value } from "../graph/graph.ts";

/** A node as it is to be: what is left out stays. */
export interface Replacement extends NodeInit {
  readonly opType?: string;
  readonly inputs?: readonly (Value | null)[];
  /** How many of the outputs to keep. Default all. */
  readonly keep?: number;
  /** Names of outputs beside those there are; null leaves one out. */
  readonly moreOutputs?: readonly (string | null)[];
}

/**
 * Puts a node in the place of another. The outputs keep their names and types; everything that read them reads the new ones.
 * @returns the new node
 */
export function replaceNode(graph: Graph, node: Node, replacement: Replacement): Node {
  const { opType = node.opType, inputs = node.inputs, keep, moreOutputs = [] } = replacement;
  const kept = node.outputs
    .slice(0, keep)
    .map((output) => (output === null ? null : new Value(output.name, output.type)));
  const outputs = [...kept, ...moreOutputs.map((name) => (name === null ? null : new Value(name)))];
  const { name, domain, overload, metadata, docString } = node;
  const attributes = [...node.attributes.values()];
  const made = new Node(opType, inputs, outputs, {
    ...{ name, domain, overload, attributes, metadata, docString },
    ...replacement,
  });
  graph.insertBefore(node, made);
  for (const [index, output] of node.outputs.entries()) {
    const next = made.outputs[index];
    if (output === null || !next) continue;
    output.replaceAllUsesWith(next);
    if (graph.isDeclared(output)) graph.declare(next);
  }
  graph.remove(node);
  return made;
}
