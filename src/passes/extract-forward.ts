import { type Kind, listOf, mapTo, optional, requireArgument, TEXT, withFields } from "../arguments.ts";
import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { AGR_RECORD } from "../edits/record.ts";
import { PassError, UsageError } from "../errors.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { A_MODEL, type Model, valuesReadBy } from "../graph/model.ts";
import type { Tensor } from "../graph/tensor.ts";
import { A_TENSOR } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import { type Report, rehearsed } from "./pass.ts";

export interface ExtractForwardOptions {
  /** The parameters, which become initializers. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Tensors to give. Default: the outputs that do not depend on the targets, else what the loss is computed from. */
  readonly outputs?: readonly string[];
}

export interface ExtractForwardReport extends Report {
  readonly pass: "extract-forward";
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const GIVEN: Kind = withFields(
  { weights: mapTo(A_TENSOR, "tensors by name"), outputs: optional(listOf(TEXT, "names")) },
  "{ weights: a map of names to tensors, outputs?: a list of names }",
);

/**
 * Makes an eval model an inference model: the loss is cut off, with the targets that only it reads, and the weights are put
 * in. A target is an input from which no path leads to a node that reads a parameter.
 * @throws PassError `E_NO_FORWARD` where nothing is left without the loss; UsageError `E_OUTPUT` for a tensor that the graph
 *   does not have. The model is unchanged then.
 */
export function extractForward(model: Model, options: ExtractForwardOptions): ExtractForwardReport {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, GIVEN);
  return rehearsed(model, (each) => cutForward(each, options));
}

function cutForward(model: Model, { weights, outputs }: ExtractForwardOptions): ExtractForwardReport {
  const { graph } = model;
  const before = graph.nodeCount;
  const chosen = outputs === undefined ? forwardOutputs(graph, weights) : namedOutputs(graph, outputs);
  for (const value of chosen) value.type ??= tensorType(elementTypeOf(value));
  graph.replaceOutputs(chosen);
  removeDeadNodes(graph);
  const held = graph.inputs.filter(({ name }) => weights.has(name));
  const read = graph.inputs.filter((value) => !weights.has(value.name) && value.isUsed);
  for (const value of held) {
    if (!value.isUsed) continue;
    value.tensor = weights.get(value.name) ?? null;
    graph.initializers.push(value);
  }
  graph.replaceInputs(read);
  for (const key of [...model.metadata.keys()]) if (isOwn(key)) model.metadata.delete(key);
  return {
    pass: "extract-forward",
    changed: before - graph.nodeCount + held.length,
    inputs: read.map(({ name }) => name),
    outputs: chosen.map(({ name }) => name),
    skipped: [],
    notes: [],
  };
}

/** What this package keeps in a training model says nothing of an inference model; the rest is the user's. */
const isOwn = (key: string): boolean => key === AGR_RECORD || key.startsWith(`${AGR_RECORD}.`);

function namedOutputs(graph: Graph, names: readonly string[]): readonly Value[] {
  const values = new Map(
    graph.nodes.flatMap(({ outputs }) =>
      outputs.flatMap((value) => (value === null ? [] : [[value.name, value] as const])),
    ),
  );
  return names.map((name) => {
    const value = values.get(name);
    if (value === undefined) throw new UsageError("E_OUTPUT", `the model has no tensor "${name}"`, { field: name });
    return value;
  });
}

function forwardOutputs(graph: Graph, weights: ReadonlyMap<string, Tensor>): readonly Value[] {
  const parameters = graph.inputs.filter(({ name }) => weights.has(name));
  const user = graph.inputs.filter(({ name }) => !weights.has(name));
  /** A weight may be turned, scaled or put together before it meets the data. */
  const ofInputs = dependents(graph, user).values;
  const made = [...dependents(graph, parameters).values].filter((value) => !ofInputs.has(value));
  const readers = new Set([...parameters, ...made].flatMap(({ uses }) => uses.map(({ user: reader }) => reader)));
  const feeding = valuesBehind(graph, readers);
  const targets = user.filter((value) => !feeding.has(value));
  const data = user.filter((value) => feeding.has(value));
  const ofTargets = dependents(graph, targets);
  const ofData = dependents(graph, data);
  const isForward = (value: Value): boolean => !ofTargets.values.has(value) && ofData.values.has(value);
  const given = graph.outputs.filter((value) => isForward(value) && value.producer !== null);
  const [loss] = graph.outputs;
  const others = given.filter((value) => value !== loss);
  if (others.length > 0) return others;
  const frontier = graph.nodes
    .filter((node) => ofTargets.nodes.has(node))
    .flatMap((node) => valuesReadBy(node).filter((value) => isForward(value) && value.producer !== null));
  if (frontier.length > 0) return [...new Set(frontier)];
  throw new PassError("E_NO_FORWARD", "the eval model gives only the loss, and no input is only a target of it", {
    hint: "Name the tensors to give with --tensor, or write the weights alone: -o weights.safetensors.",
  });
}

/** What some nodes depend on. */
function valuesBehind(graph: Graph, nodes: ReadonlySet<Node | Graph>): ReadonlySet<Value> {
  const values = new Set<Value>();
  for (const node of graph.nodes.toReversed()) {
    if (!nodes.has(node) && !node.outputs.some((output) => output !== null && values.has(output))) continue;
    for (const value of valuesReadBy(node)) values.add(value);
  }
  return values;
}

/** The nodes that depend on some values, and what those make, the values included. */
function dependents(
  graph: Graph,
  from: readonly Value[],
): { readonly nodes: ReadonlySet<Node>; readonly values: ReadonlySet<Value> } {
  const values = new Set(from);
  const nodes = new Set<Node>();
  for (const node of graph.nodes) {
    if (!valuesReadBy(node).some((value) => values.has(value))) continue;
    nodes.add(node);
    for (const output of node.outputs) if (output !== null) values.add(output);
  }
  return { nodes, values };
}
