import { graphsOf } from "../../graph/attribute.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import { NodeView } from "../../ops/node-view.ts";
import { opTypes } from "../../ops/operators/index.ts";
import type { StepModel } from "../portable/step-model.ts";
import { dimsOfValue } from "./shard-call.ts";

/** Seconds that parts take to begin at the same time and to wait for each other. */
const AT_ONCE = 0.2e-3;
/** Seconds that a number of a result takes which the parts have to add up: to write it once more, and to read it twice. */
const PER_NUMBER = 0.8e-9;
/** Numbers of a result from which on ONNX Runtime has two threads compute a node. */
const FOR_TWO_THREADS = 2 ** 13;
/** Seconds that each number of a smaller one takes less, since one thread would compute all of it. */
const PER_ELEMENT = 0.2e-9;
/** Seconds that each number of a larger one takes less, and all of them at most: its threads need not wait for each other. */
const SHARED = { perElement: 0.6e-9, most: 10e-6 };
/** Seconds that each number of a weight takes, which every part reads for itself. */
const PER_WEIGHT = 0.06e-9;

/** Operators that give what they are given. */
const GIVEN_BACK = opTypes(["Constant", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"]);

const PRODUCTS = opTypes(["Conv", "ConvTranspose", "GRU", "Gemm", "LSTM", "MatMul", "RNN"]);

/**
 * Whether parts of a batch that are computed at the same time take less time than the whole batch on as many threads. What they cost grows with
 * the results that they have to add up, which are as large as the weights; what they save with the number and size of the nodes that work on the
 * batch. docs/training.md has the measurements.
 * @param shard what a part computes
 */
export function partsPay({ model: { graph }, inputs }: StepModel): boolean {
  const numbers = graph.outputs.reduce((sum, value) => sum + sizeOf(dimsOfValue(value)), 0);
  const ofBatch = new Set(graph.inputs.filter(({ name }) => inputs.includes(name)));
  return AT_ONCE + numbers * PER_NUMBER < savedBy(graph, ofBatch);
}

/** @param ofBatch values that depend on the batch; takes in what the graph makes of them */
function savedBy(graph: Graph, ofBatch: Set<Value>): number {
  let saved = 0;
  for (const node of graph.nodes) {
    if (!valuesReadBy(node).some((value) => ofBatch.has(value))) continue;
    for (const value of node.outputs) if (value !== null) ofBatch.add(value);
    saved += ownSaving(node) - readAgain(node, ofBatch) + savedInside(node, ofBatch);
  }
  return saved;
}

function ownSaving({ opType, outputs }: Node): number {
  if (GIVEN_BACK.has(opType)) return 0;
  const elements = outputs.reduce((sum, value) => sum + (value === null ? 0 : sizeOf(dimsOfValue(value))), 0);
  return elements < FOR_TWO_THREADS ? elements * PER_ELEMENT : Math.min(elements * SHARED.perElement, SHARED.most);
}

/** What a product takes to read the same weights in every part. */
function readAgain({ opType, inputs }: Node, ofBatch: ReadonlySet<Value>): number {
  const weights = PRODUCTS.has(opType) ? inputs.filter((value) => value !== null && !ofBatch.has(value)) : [];
  return weights.reduce((sum, value) => sum + (value === null ? 0 : sizeOf(dimsOfValue(value))), 0) * PER_WEIGHT;
}

/** Of the nodes inside of a node, as often as it runs them. */
function savedInside(node: Node, ofBatch: Set<Value>): number {
  const [body] = [...node.attributes.values()].flatMap(graphsOf);
  if (body === undefined) return 0;
  for (const value of body.inputs) ofBatch.add(value);
  return (STEPS.get(node.opType)?.(node) ?? 1) * savedBy(body, ofBatch);
}

/** A step for each entry of what is scanned. */
function scanned(node: Node): number {
  const view = new NodeView(node);
  const value = node.inputs[node.inputs.length - view.int("num_scan_inputs")];
  return (value && dimsOfValue(value)?.at(view.ints("scan_input_axes")?.[0] ?? 0)) || 1;
}

/** How often an operator runs what is in it; others are taken to run it once. */
const STEPS: ReadonlyMap<string, (node: Node) => number> = new Map([["Scan", scanned]]);

const sizeOf = (dims: readonly number[] | null): number => (dims ?? []).reduce((product, dim) => product * dim, 1);
