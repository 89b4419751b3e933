import type { GraphProto, NodeProto } from "../proto/schema.ts";

/**
 * The nodes in an order in which each comes after those that make what it reads: as they were where that is one. Nodes of a cycle, and
 * those behind it, come last.
 */
export function sortNodes(nodes: readonly NodeProto[]): readonly NodeProto[] {
  const makers = new Map(nodes.flatMap((node) => (node.output ?? []).map((name) => [name, node] as const)));
  makers.delete("");
  const waiting = new Map<NodeProto, number>();
  const readers = new Map<NodeProto, NodeProto[]>();
  const before = new Set<NodeProto>();
  let isSorted = true;
  for (const node of nodes) {
    const needed = new Set([...namesRead(node)].flatMap((name) => makers.get(name) ?? []));
    waiting.set(node, needed.size);
    isSorted &&= [...needed].every((maker) => before.has(maker));
    before.add(node);
    for (const maker of needed) {
      const own = readers.get(maker);
      if (own === undefined) readers.set(maker, [node]);
      else own.push(node);
    }
  }
  if (isSorted) return nodes;
  const sorted = new Set(nodes.filter((node) => waiting.get(node) === 0));
  for (const node of sorted) {
    for (const reader of readers.get(node) ?? []) {
      const left = (waiting.get(reader) ?? 0) - 1;
      waiting.set(reader, left);
      if (left === 0) sorted.add(reader);
    }
  }
  return [...sorted, ...nodes.filter((node) => !sorted.has(node))];
}

/** What a node reads, and what the graphs in it read and do not make. */
function namesRead(node: NodeProto): ReadonlySet<string> {
  const names = new Set(node.input);
  const pending = graphsIn(node);
  for (let graph = pending.pop(); graph !== undefined; graph = pending.pop()) {
    for (const inner of graph.node ?? []) {
      for (const name of inner.input ?? []) names.add(name);
      pending.push(...graphsIn(inner));
    }
    for (const { name = "" } of graph.output ?? []) names.add(name);
  }
  return names;
}

function graphsIn({ attribute = [] }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs = [] }) => (g === undefined ? graphs : [g, ...graphs]));
}
