import { requireArgument } from "../../arguments.ts";
import { dropUnusedDomains } from "../../edits/unused-domains.ts";
import { PassError } from "../../errors.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { A_MODEL, type Model, ONNX_DOMAIN, walkGraphs } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { gradientName } from "../../onnxruntime/training-names.ts";
import { type Report, rehearsed } from "../pass.ts";
import { raiseOwnModel } from "../raise-opset/index.ts";
import { Call } from "./lowering.ts";
import { replaceByParts } from "./replace.ts";
import { recordState } from "./state.ts";
import { loweringOf } from "./table.ts";

/** What older graphs are raised to: Shape has a start since 15, ScatterElements adds since 16, LayerNormalization is standard since 17. */
export const LOWERED_OPSET = 17;

/** Domains of standard operators. */
const STANDARD = new Set([ONNX_DOMAIN, "ai.onnx.ml"]);

export interface LowerReport extends Report {
  readonly pass: "lower-training-ops";
  /** How many nodes of each operator were lowered, by `domain.operator`. */
  readonly lowered: Readonly<Record<string, number>>;
  /** What operators overwrote in place and now is an output: the graph input, and the output that renews it. */
  readonly state: readonly (readonly [input: string, output: string])[];
}

/**
 * Rewrites the operators of ONNX Runtime's training builds as standard operators, so that any runtime takes the graph.
 * Models of opset 1 to 16 are raised to 17 (`raiseOpset`). What an operator overwrote in place becomes an output, `<input>/next`.
 *
 * Optimizers that take sequences need their parameters: `unrollOptimizer`.
 * @throws PassError `E_NO_LOWERING` naming every operator that has no lowering, or what a node needs to be lowered;
 *   `E_OPSET` and `E_NO_UPGRADE` where the opset cannot be raised; `E_NO_SHAPE` where a rank must be known. The model is
 *   unchanged then.
 */
export function lowerTrainingOps(model: Model): LowerReport {
  requireArgument("model", model, A_MODEL);
  return rehearsed(model, lowerOwnModel);
}

/** The same for a model that nobody else has: what is thrown may leave it half lowered. */
export function lowerOwnModel(model: Model): LowerReport {
  const graphs = model.rootGraphs.flatMap((root) => [...walkGraphs(root)]);
  const nodes = (): readonly Node[] => graphs.flatMap((graph) => graph.nodes);
  const hasLowering = ({ domain, opType }: Node): boolean => loweringOf(domain, opType) !== null;
  requireLowerings(model);
  const lowered: Record<string, number> = {};
  if (!nodes().some((node) => hasLowering(node) || isOldLayerNorm(model)(node))) {
    return { pass: "lower-training-ops", changed: 0, lowered, state: [], skipped: [], notes: [] };
  }
  const { changed: raised, notes } = raiseOwnModel(model, LOWERED_OPSET);
  const doomed = nodes().filter(hasLowering);
  for (const graph of graphs) nameGradientTypes(graph);
  const names = new Names(model);
  const inputs = new Map(graphs.map((graph) => [graph, new Set(graph.inputs)]));
  const state: (readonly [string, string])[] = [];
  for (const node of doomed) {
    const lowering = loweringOf(node.domain, node.opType);
    if (lowering === null || node.graph === null) continue;
    const op = `${node.domain === ONNX_DOMAIN ? "ai.onnx" : node.domain}.${node.opType}`;
    lowered[op] = (lowered[op] ?? 0) + 1;
    const { graph } = node;
    const isInput = (value: Value): boolean => inputs.get(graph)?.has(value) ?? false;
    state.push(...replaceByParts(graph, new Call(node, model.opset), lowering, { names, opset: model.opset, isInput }));
  }
  dropUnusedDomains(model);
  if (state.length > 0) recordState(model, state);
  return { pass: "lower-training-ops", changed: doomed.length + raised, lowered, state, skipped: [], notes };
}

/** Before opset 17 the operator of this name in ONNX's domain is ONNX Runtime's own. */
const isOldLayerNorm =
  (model: Model) =>
  (node: Node): boolean =>
    model.opset < LOWERED_OPSET && node.domain === ONNX_DOMAIN && node.opType === "LayerNormalization";

/** @throws PassError `E_NO_LOWERING` naming every operator that neither is a standard one nor has a lowering */
export function requireLowerings(model: Model): void {
  const nodes = model.rootGraphs.flatMap((root) => [...walkGraphs(root)]).flatMap((graph) => graph.nodes);
  const local = new Set(model.functions.map(({ domain, name }) => `${domain}.${name}`));
  const missing = nodes.filter(
    ({ domain, opType }) =>
      !STANDARD.has(domain) && !local.has(`${domain}.${opType}`) && loweringOf(domain, opType) === null,
  );
  if (missing.length === 0) return;
  const byOp = groupNames(missing);
  const list = [...byOp].map(
    ([op, names]) => `${op} (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""})`,
  );
  throw new PassError("E_NO_LOWERING", `these operators have no lowering to standard ones: ${list.join("; ")}`, {
    field: [...byOp.keys()][0] ?? "",
    hint: "Use --runtime ort-training, or export the model without them.",
  });
}

function groupNames(nodes: readonly Node[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { domain, opType, name, outputs } of nodes) {
    const op = `${domain}.${opType}`;
    const own = name || (outputs.find((value) => value !== null)?.name ?? "?");
    const group = groups.get(op);
    if (group === undefined) groups.set(op, [own]);
    else group.push(own);
  }
  return groups;
}

/** ONNX Runtime names the gradient of `x` `x_grad`, and does not declare its type, which is that of `x`. */
function nameGradientTypes(graph: Graph): void {
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].filter((value) => value !== null);
  const types = new Map(values.map(({ name, type }) => [gradientName(name), type]));
  for (const value of values) value.type ??= types.get(value.name) ?? null;
}
