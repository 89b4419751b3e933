import { requireArgument } from "../arguments.ts";
import { AGR_DOMAIN } from "../edits/agr-domain.ts";
import { AGR_RECORD, readRecord, undo } from "../edits/record.ts";
import { A_MODEL, type Model, ONNX_DOMAIN } from "../graph/model.ts";
import type { Report } from "./pass.ts";

export interface StripAgrReport extends Report {
  readonly pass: "strip-agr";
  /** Nodes that were taken out. */
  readonly removed: number;
}

/**
 * Takes AGR out again: the model is then what it was before `insertAgr`, byte for byte when its fields were in protobuf's
 * canonical order, as every exporter writes them.
 * @throws GraphError `E_RECORD` where the record of the insertion is damaged or the graph no longer fits it.
 */
export function stripAgr(model: Model): StripAgrReport {
  requireArgument("model", model, A_MODEL);
  const record = readRecord(model, AGR_RECORD);
  if (record === null) {
    return { pass: "strip-agr", changed: 0, removed: 0, skipped: [], notes: ["there is no AGR in this model"] };
  }
  const removed = undo(model, AGR_RECORD, record.edges);
  model.metadata.delete(AGR_RECORD);
  model.opsets.delete(AGR_DOMAIN);
  if (record.opset !== undefined) model.opsets.delete(ONNX_DOMAIN);
  for (let index = model.functions.length - 1; index >= 0; index--) {
    if (model.functions[index]?.domain === AGR_DOMAIN) model.functions.splice(index, 1);
  }
  return { pass: "strip-agr", changed: record.edges.length, removed, skipped: [], notes: [] };
}
