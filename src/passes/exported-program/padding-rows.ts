import type { Graph } from "../../graph/graph.ts";
import { NodeView } from "../../ops/node-view.ts";
import { setPaddingRow } from "../../ops/padding-row.ts";
import type { ExportedProgram } from "./program.ts";

/**
 * Marks the lookups of embeddings with a `padding_idx`: PyTorch gives that row no gradient.
 * @returns names of the tables
 */
export function markPaddingRows(graph: Graph, program: ExportedProgram): readonly string[] {
  const tables = new Set<string>();
  for (const node of graph) {
    const row = program.callOf(node)?.paddingRow ?? null;
    const table = node.inputs[0];
    if (row === null || node.opType !== "Gather" || node.domain !== "" || !table?.tensor) continue;
    if (new NodeView(node).int("axis") !== 0) continue;
    setPaddingRow(node, row);
    tables.add(`${table.name}[${row}]`);
  }
  return [...tables];
}
