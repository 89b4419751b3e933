import type { Graph, Node } from "../graph/graph.ts";
import { valuesReadBy } from "../graph/model.ts";

/** Puts every node behind those whose results it reads, and else leaves them in the order that they have. */
export function orderNodes(graph: Graph): void {
  const placed = new Set<Node>();
  const ordered: Node[] = [];
  for (const first of graph.nodes) {
    const open: Node[] = [first];
    for (let node = open.at(-1); node !== undefined; node = open.at(-1)) {
      const before = placed.has(node) ? [] : valuesReadBy(node).flatMap(({ producer }) => producersIn(producer));
      open.push(...before);
      if (before.length > 0) continue;
      open.pop();
      if (placed.has(node)) continue;
      placed.add(node);
      ordered.push(node);
    }
  }
  graph.append(ordered);

  function producersIn(producer: Node | null): readonly Node[] {
    return producer === null || producer.graph !== graph || placed.has(producer) ? [] : [producer];
  }
}
