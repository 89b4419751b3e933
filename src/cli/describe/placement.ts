import type { Placement, WayName } from "../../entries/run.ts";
import type { Document } from "./document.ts";

const total = (ops: Readonly<Record<string, number>>): number =>
  Object.values(ops).reduce((sum, count) => sum + count, 0);

/** Ways to ONNX Runtime, in words. */
const WAYS: Readonly<Record<WayName, string>> = {
  native: "the C API of ONNX Runtime",
  binding: "onnxruntime-node",
  given: "the module given",
  web: "onnxruntime-web",
};

/** Where a training step's nodes ran. */
export function describePlacement({ executionProvider, passedOver, way, nodes }: Placement): Document {
  const byProvider = Object.entries(nodes).toSorted(([, a], [, b]) => total(b) - total(a));
  const lines = [
    ...passedOver.map(([name, reason]) => `${name} does not work here: ${reason}`),
    ...way.passedOver.map(([name, reason]) => `${WAYS[name]} is not used here: ${reason}`),
    `a training step on ${executionProvider}, trained through ${WAYS[way.name]}:`,
    ...byProvider.map(([provider, ops]) => {
      const list = Object.entries(ops).toSorted(([, a], [, b]) => b - a);
      return `  ${provider}: ${total(ops)} nodes (${list.map(([op, count]) => `${op} ${count}`).join(", ")})`;
    }),
  ];
  return { json: { kind: "placement", executionProvider, passedOver, way, nodes }, lines };
}
