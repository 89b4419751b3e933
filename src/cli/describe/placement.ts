import type { Placement } from "../../index.ts";
import type { Document } from "./document.ts";

const total = (ops: Readonly<Record<string, number>>): number =>
  Object.values(ops).reduce((sum, count) => sum + count, 0);

/** Where a training step's nodes ran. */
export function describePlacement({ executionProvider, passedOver, nodes }: Placement): Document {
  const byProvider = Object.entries(nodes).toSorted(([, a], [, b]) => total(b) - total(a));
  const lines = [
    ...passedOver.map(([name, reason]) => `${name} does not work here: ${reason}`),
    `a training step on ${executionProvider}:`,
    ...byProvider.map(([provider, ops]) => {
      const list = Object.entries(ops).toSorted(([, a], [, b]) => b - a);
      return `  ${provider}: ${total(ops)} nodes (${list.map(([op, count]) => `${op} ${count}`).join(", ")})`;
    }),
  ];
  return { json: { kind: "placement", executionProvider, passedOver, nodes }, lines };
}
