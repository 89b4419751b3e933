import type { Node } from "../graph/graph.ts";

const PADDING_ROW = "onnx-agr.padding_row";

/** Says of a Gather along axis 0 that one row of its table gets no gradient from it: an embedding's `padding_idx`. */
export function setPaddingRow(node: Node, row: number | null): void {
  if (row === null) node.metadata.delete(PADDING_ROW);
  else node.metadata.set(PADDING_ROW, String(row));
}

/** The row of the table that gets no gradient; null where all do. */
export function paddingRowOf(node: Node): number | null {
  const text = node.metadata.get(PADDING_ROW);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
