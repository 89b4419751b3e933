import { AGR_DOMAIN } from "../../edits/agr-domain.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { type Model, valuesReadBy, walkGraphs } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import type { TypeInference } from "../../ops/inference/inference.ts";
import { shapeOf } from "../../ops/value-types.ts";
import { inlineFunctions } from "../inline-functions.ts";
import type { StepModel } from "../portable/step-model.ts";
import { combine } from "./combine.ts";
import { type Combination, isSharded, type Placement, piece, REPLICATED, sharded } from "./placement.ts";
import { dimsOfValue } from "./shard-call.ts";
import { placeGraph } from "./shard-graph.ts";

/** From here on starts, axes, pads and sizes are inputs of operators. */
const OLDEST_OPSET = 11;

/** A training step in two: what each part of a batch computes by itself, and what is made of the results of all parts. */
export interface ShardedStep {
  /** Takes a part of the batch, cut along the first axis of its inputs. Its outputs are results that have to be combined. It only reads state. */
  readonly shard: StepModel;
  /** Its user's inputs are the results of the parts: `<output>/0` of the first, `<output>/1` of the second. It gives the loss of the whole batch. */
  readonly rest: StepModel;
}

/**
 * Cuts the batch of a training step into parts that can be computed at the same time, where the step computes every sample by itself and
 * then sums or means of them. What it computes is the same but for the order in which numbers are added up.
 * @param step sizes of its inputs fixed. It is left as it is
 * @param count how many parts
 * @returns null where that cannot be, or cannot be told
 */
export function shardBatch(step: StepModel, count: number): ShardedStep | null {
  if (step.model.opset < OLDEST_OPSET) return null;
  const { model, types } = renewing(step);
  const given = piecesOf(model.graph, step.inputs, count);
  const sizes = new Map([...allValues(model)].map((value) => [value, dimsOfValue(value)]));
  const settings = { opset: model.opset, count, names: new Names(model), types };
  const placed = given && placeGraph(model.graph, given, settings);
  if (given === null || placed === null) return null;
  const { placements } = placed;
  const results = resultsOf(model.graph, placements);
  const [loss] = model.graph.outputs.filter(({ name }) => name === step.outputs[0]);
  const isWhole = (value: Value): boolean => !isSharded(placements.get(value) ?? REPLICATED);
  if (results.size === 0 || loss === undefined || !model.graph.outputs.every(isWhole)) return null;
  const rest = restOf(step, results, count);
  placed.edit();
  const shard = shardOf(step, model, results);
  retype(shard.model, given, count);
  const isRight = [...placements].every(([value, placement]) => {
    const whole = sizes.get(value);
    const own = whole && piece(whole, placement, count);
    return value.producer?.graph !== model.graph || !own || dimsOfValue(value)?.join() === own.join();
  });
  return isRight && rest !== null ? { shard, rest } : null;
}

/** A copy of a step with its loss and next state alone. */
function renewing(step: StepModel): { readonly model: Model; readonly types: TypeInference } {
  const model = step.model.clone();
  const { graph } = model;
  inlineFunctions(model, AGR_DOMAIN);
  const names = new Set([...step.outputs.slice(0, 1), ...step.state.map(({ next }) => next)]);
  graph.replaceOutputs(graph.outputs.filter(({ name }) => names.has(name)));
  removeUnread(graph);
  return { model, types: inferTypes(model) };
}

/** Where the user's inputs lie: those with as many entries as the first are cut along them. */
function piecesOf(graph: Graph, names: readonly string[], count: number): ReadonlyMap<Value, Placement> | null {
  const inputs = graph.inputs.filter(({ name }) => names.includes(name));
  const sizes = inputs.map(dimsOfValue);
  const batch = sizes.find((dims) => dims !== null && dims.length > 0)?.[0] ?? 0;
  if (sizes.includes(null) || batch === 0 || batch % count !== 0) return null;
  return new Map(inputs.flatMap((value, index) => (sizes[index]?.[0] === batch ? [[value, sharded(0)]] : [])));
}

function* allValues({ graph }: Model): Generator<Value> {
  for (const each of walkGraphs(graph)) {
    yield* each.inputs;
    for (const { outputs } of each.nodes) yield* outputs.filter((value) => value !== null);
  }
}

/** What the parts compute that has to be combined. */
function resultsOf(graph: Graph, placements: ReadonlyMap<Value, Placement>): ReadonlyMap<Value, Combination> {
  const apart = graph.nodes.filter(({ outputs }) => outputs.some((value) => value !== null && !placements.has(value)));
  const read = new Set([...graph.outputs, ...apart.flatMap(valuesReadBy)]);
  return new Map(
    [...read].flatMap((value) => {
      const placement = placements.get(value);
      return placement?.kind === "partial" ? [[value, placement.by] as const] : [];
    }),
  );
}

/** The step with the combined results in the place of what they are made of; null where it needs the batch beside them. */
function restOf(step: StepModel, results: ReadonlyMap<Value, Combination>, count: number): StepModel | null {
  const { model } = renewing(step);
  const { graph } = model;
  const made = new Map(graph.nodes.flatMap(({ outputs }) => outputs.map((value) => [value?.name, value] as const)));
  const names = new Names(model);
  const parts: Value[] = [];
  const [first] = graph.nodes;
  for (const [{ name }, by] of results) {
    const whole = made.get(name);
    if (!whole || first === undefined || elementTypeOf(whole) !== DataType.float) return null;
    const combined = combine(whole, by, count, names);
    if (combined.parts.some((part) => names.fresh(part.name) !== part.name)) return null;
    parts.push(...combined.parts);
    whole.name = names.fresh(`${name}/whole`);
    whole.replaceAllUsesWith(combined.whole);
    graph.insertBefore(first, combined.nodes);
  }
  removeUnread(graph);
  if (step.inputs.some((name) => isRead(graph, name))) return null;
  const [loss = ""] = step.outputs;
  const left = step.state.filter(({ name, next }) => next !== null || isRead(graph, name));
  const rest = { ...step, model, inputs: parts.map(({ name }) => name), outputs: [loss], state: left };
  graph.replaceInputs([...parts, ...inputsOf(graph, rest)]);
  return rest;
}

const isRead = (graph: Graph, name: string): boolean =>
  graph.inputs.some((value) => value.name === name && value.isUsed);

/** Inputs of a graph that a step says what to do with. */
function inputsOf(graph: Graph, { inputs, state, learningRate, step, reset }: StepModel): readonly Value[] {
  const names = new Set([...inputs, ...state.map(({ name }) => name), learningRate, step, reset]);
  return graph.inputs.filter(({ name }) => names.has(name));
}

function shardOf(step: StepModel, model: Model, results: ReadonlyMap<Value, Combination>): StepModel {
  const { graph } = model;
  graph.replaceOutputs([...results.keys()]);
  removeUnread(graph);
  const used = (name: string | null): string | null => (name !== null && isRead(graph, name) ? name : null);
  const { lossScale: _, ...others } = step;
  const shard: StepModel = {
    ...{ ...others, model, reset: null, gradients: [] },
    inputs: step.inputs.filter((name) => isRead(graph, name)),
    outputs: [...results.keys()].map(({ name }) => name),
    state: step.state.filter(({ name }) => isRead(graph, name)).map((state) => ({ ...state, next: null })),
    learningRate: used(step.learningRate),
    step: used(step.step),
  };
  graph.replaceInputs(inputsOf(graph, shard));
  return shard;
}

/** Types of the pieces, in the place of those of the whole. */
function retype(model: Model, given: ReadonlyMap<Value, Placement>, count: number): void {
  const { graph } = model;
  graph.clearValueInfo();
  for (const each of walkGraphs(graph)) {
    for (const { outputs } of each.nodes) for (const value of outputs) if (value !== null) value.type = open(value);
    if (each !== graph) for (const value of each.inputs) value.type = open(value);
  }
  for (const [value, placement] of given) {
    const { type } = value;
    const shape = piece(shapeOf(value)?.filter((dim) => typeof dim === "number") ?? [], placement, count);
    if (type?.kind === "tensor") value.type = { ...type, shape };
  }
  inferTypes(model);
}

/** Removes what nothing reads, nodes with graphs inside too. */
function removeUnread(graph: Graph): void {
  const isUnread = ({ outputs }: Node): boolean => outputs.every((output) => !output?.isUsed);
  for (const node of graph.nodes.toReversed()) if (isUnread(node)) graph.remove(node);
  removeDeadNodes(graph);
}

/** A type without sizes. */
const open = ({ type }: Value): Value["type"] => (type?.kind === "tensor" ? { ...type, shape: null } : type);
