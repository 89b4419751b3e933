import { requireArgument } from "../../arguments.ts";
import { PassError, requireOption } from "../../errors.ts";
import { describeNode, type Graph, type Node } from "../../graph/graph.ts";
import { A_MODEL, type Model, NEWEST_OPSET, ONNX_DOMAIN, subgraphsOf, walkGraphs } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { TypeInference } from "../../ops/inference/inference.ts";
import { opTypes, versionsOf } from "../../ops/operators/index.ts";
import { type Report, rehearsed } from "../pass.ts";
import { ConversionSite } from "./site.ts";
import { stepOf } from "./steps.ts";

/** Where broadcasting took today's form; what ONNX Runtime runs begins here. */
const OLDEST_TARGET = 7;

/** The IR version that came with an opset, as far as models are raised. */
const IR_VERSIONS: readonly (readonly [opset: number, irVersion: number])[] = [
  [23, 11],
  [21, 10],
  [19, 9],
  [15, 8],
  [12, 7],
  [11, 6],
  [10, 5],
  [9, 4],
  [7, 3],
];

/** From this version on, initializers need not be inputs; one that is both may be overridden by whoever runs the model. */
const FIRST_IR_WITH_CONSTANTS = 4;

/** Operators that ONNX Runtime has in ONNX's domain in any opset; one of them came to be ONNX's, with opset 17. */
const FOREIGN = opTypes(["LayerNormalization", "SimplifiedLayerNormalization"]);

export interface RaiseOpsetReport extends Report {
  readonly pass: "raise-opset";
  readonly from: number;
  readonly to: number;
  /** How many nodes were rewritten, by `operator, opset`. */
  readonly converted: Readonly<Record<string, number>>;
}

/** The IR version a model of this opset has at least. */
export function irVersionFor(opset: number): number {
  return IR_VERSIONS.find(([first]) => opset >= first)?.[1] ?? 3;
}

/**
 * Raises a model, its functions and its training_info to a later version of ONNX's own operators. Every node computes what it
 * computed before: where a version changed what an operator means or how it is written, the node is rewritten (a row of the
 * table in `steps.ts`). Functions that are newer already decide how far all are raised.
 *
 * @param to the opset, from 7 on; nothing happens where the model has it already or a newer one
 * @throws PassError `E_NO_UPGRADE` for a node that the table does not know how to write; `E_OPSET` where no version of ONNX's
 *   operators is imported. The model is unchanged then.
 */
export function raiseOpset(model: Model, to: number): RaiseOpsetReport {
  requireArgument("model", model, A_MODEL);
  requireTarget(to);
  return rehearsed(model, (each) => raiseOwnModel(each, to));
}

function requireTarget(to: number): void {
  requireOption(
    Number.isSafeInteger(to) && to >= OLDEST_TARGET && to <= NEWEST_OPSET,
    "opset",
    `a whole number from ${OLDEST_TARGET} to ${NEWEST_OPSET}`,
  );
}

/** The same for a model that nobody else has: what is thrown may leave it half raised. */
export function raiseOwnModel(model: Model, to: number): RaiseOpsetReport {
  requireTarget(to);
  const { opset: from } = model;
  const imports = [model.opsets, ...model.functions.map(({ opsets }) => opsets)];
  const given = imports.flatMap((opsets) => opsets.get(ONNX_DOMAIN) ?? []);
  const target = Math.max(to, ...given);
  if (given.length > 0 && given.every((opset) => opset === target)) return report(from, target, {}, []);
  return raiseModel(model, target);
}

function raiseModel(model: Model, target: number): RaiseOpsetReport {
  const { opset: from } = model;
  const converted: Record<string, number> = {};
  const bodies = new Set(model.functions.map(({ body }) => body));
  const names = new Names(model);
  const count = (key: string): void => {
    converted[key] = (converted[key] ?? 0) + 1;
  };
  raise(
    model.rootGraphs.filter((graph) => !bodies.has(graph)),
    model.opsets,
    target,
    names,
    count,
  );
  for (const { body, opsets } of model.functions) raise([body], opsets, target, names, count);
  const notes = from === target ? [] : [`the opset was raised from ${from} to ${target}`];
  if (model.irVersion < FIRST_IR_WITH_CONSTANTS) notes.push(...constantInitializers(model.graph));
  model.irVersion = Math.max(model.irVersion, irVersionFor(target));
  return report(from, target, converted, notes);
}

function report(
  from: number,
  to: number,
  converted: RaiseOpsetReport["converted"],
  notes: readonly string[],
): RaiseOpsetReport {
  const nodes = Object.values(converted).reduce((sum, count) => sum + count, 0);
  return { pass: "raise-opset", changed: nodes + notes.length, from, to, converted, skipped: [], notes };
}

function raise(
  roots: readonly Graph[],
  opsets: Map<string, number>,
  target: number,
  names: Names,
  count: (key: string) => void,
): void {
  const from = opsets.get(ONNX_DOMAIN);
  const graphs = (): readonly Graph[] => roots.flatMap((root) => [...walkGraphs(root)]);
  const own = graphs().flatMap((graph) => graph.nodes.filter(({ domain }) => domain === ONNX_DOMAIN));
  const [first] = own;
  if (first === undefined) {
    if (from !== undefined) opsets.set(ONNX_DOMAIN, target);
    return;
  }
  if (from === undefined) {
    throw new PassError(
      "E_OPSET",
      `${describeNode(first)} is of ONNX's own operators, of which no version is imported`,
      {
        field: "opsetImport",
        hint: "Add the import of ai.onnx that the model was exported with.",
      },
    );
  }
  for (let opset = Math.max(1, from) + 1; opset <= target; opset++) {
    const place: Place = { opset, names, infer: opset > OLDEST_TARGET ? onceAsked(roots, opset - 1) : () => undefined };
    const inference = opset === OLDEST_TARGET ? new TypeInference(opset) : null;
    for (const graph of graphs()) {
      inference?.initializers(graph);
      for (const node of graph) {
        const made = convert(graph, node, place);
        if (made !== null) count(`${node.opType}, ${opset}`);
        // Types are told of nodes that broadcast as today: those that are raised.
        if (inference !== null) tell(inference, made ?? [node]);
      }
    }
    opsets.set(ONNX_DOMAIN, opset);
  }
}

function tell(inference: TypeInference, nodes: readonly Node[]): void {
  for (const node of nodes) {
    if (subgraphsOf(node).length === 0) inference.node(node);
  }
}

/** Tells the types of all graphs when it is called first. */
function onceAsked(roots: readonly Graph[], opset: number): () => void {
  let told = false;
  return () => {
    if (!told) for (const root of roots) new TypeInference(opset).graph(root);
    told = true;
  };
}

/** What a node is raised to. */
interface Place {
  readonly opset: number;
  readonly names: Names;
  /** Tells the types of the node's inputs. */
  readonly infer: () => void;
}

/** @returns what stands in the node's place; null where nothing was rewritten */
function convert(graph: Graph, node: Node, { opset, names, infer }: Place): readonly Node[] | null {
  if (node.domain !== ONNX_DOMAIN || FOREIGN.has(node.opType)) return null;
  const versions = versionsOf(node.opType);
  const site = new ConversionSite(graph, node, opset, names, infer);
  if (versions === undefined) throw site.refusal("it is no operator of ONNX that this version knows");
  const [first = 0] = versions;
  if (first >= opset) throw site.refusal(`the operator came with opset ${first}, which is newer than the model`);
  if (!versions.includes(opset)) return null;
  const step = stepOf(node.opType, opset);
  if (step === "unchanged") return null;
  if (step === undefined) throw site.refusal("how it is written there is not known");
  if (typeof step === "object") throw site.refusal(step.refused);
  if ([...node.attributes.values()].some(({ kind }) => kind === "reference")) {
    throw site.refusal("it takes an attribute from the function around it");
  }
  step(site);
  return site.nodes;
}

/** Initializers had to be inputs too; those are taken for what they nearly always were: constants. */
function constantInitializers(graph: Graph): readonly string[] {
  const initializers = new Set(graph.initializers);
  const kept = graph.inputs.filter((value) => !initializers.has(value));
  const count = graph.inputs.length - kept.length;
  if (count === 0) return [];
  graph.inputs.splice(0, graph.inputs.length, ...kept);
  return [`${count} initializers that IR 3 also lists as inputs are initializers alone`];
}
