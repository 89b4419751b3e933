import { GraphError } from "../errors.ts";
import type { Attribute } from "../graph/attribute.ts";
import { describeNode, type Node } from "../graph/graph.ts";

function wrongKind(node: Node, { name, kind }: Attribute): GraphError {
  return new GraphError("E_ATTRIBUTE", `${describeNode(node)}: attribute "${name}" may not be of kind ${kind}`, {
    field: name,
  });
}

const utf8 = new TextDecoder();

/** @throws GraphError `E_ATTRIBUTE` where the attribute is of another kind; so do the others. */
export function intAttribute<T>(node: Node, name: string, fallback: T): number | T {
  const found = node.attributes.get(name);
  if (found === undefined) return fallback;
  if (found.kind !== "int") throw wrongKind(node, found);
  return Number(found.value);
}

export function floatAttribute(node: Node, name: string, fallback: number): number {
  const found = node.attributes.get(name);
  if (found === undefined) return fallback;
  if (found.kind !== "float") throw wrongKind(node, found);
  return found.value;
}

export function stringAttribute(node: Node, name: string, fallback: string): string {
  const found = node.attributes.get(name);
  if (found === undefined) return fallback;
  if (found.kind !== "string") throw wrongKind(node, found);
  return utf8.decode(found.value);
}

export function intsAttribute<T>(node: Node, name: string, fallback: T): readonly number[] | T {
  const found = node.attributes.get(name);
  if (found === undefined) return fallback;
  if (found.kind !== "ints") throw wrongKind(node, found);
  return found.value.map(Number);
}

export function floatsAttribute<T>(node: Node, name: string, fallback: T): readonly number[] | T {
  const found = node.attributes.get(name);
  if (found === undefined) return fallback;
  if (found.kind !== "floats") throw wrongKind(node, found);
  return found.value;
}
