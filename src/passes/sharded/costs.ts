import { graphsOf } from "../../graph/attribute.ts";
import type { Graph, Node } from "../../graph/graph.ts";
import { NodeView } from "../../ops/node-view.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { dimsOfValue } from "./shard-call.ts";

/** Seconds that parts take to begin at the same time and to wait for each other. */
const AT_ONCE = 0.2e-3;
/** Seconds that a number of a result takes which the parts have to add up: to write it once more, and to read it twice. */
const PER_NUMBER = 0.8e-9;
/** Seconds that each number of a node's result takes less: ONNX Runtime would compute small ones on one thread. */
const PER_ELEMENT = 0.8e-9;
/** Seconds that a large node takes less: two threads would compute it, and wait for each other. */
const MOST_PER_NODE = 10e-6;

/** Operators that give what they are given. */
const GIVEN_BACK = opTypes(["Constant", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"]);

/**
 * Whether parts of a batch that are computed at the same time take less time than the whole batch on as many threads. What they cost grows with
 * the results that they have to add up, which are as large as the weights; what they save with the number of nodes. docs/training.md has the
 * measurements.
 * @param shard what a part computes
 */
export function partsPay(shard: Graph): boolean {
  const numbers = shard.outputs.reduce((sum, value) => sum + sizeOf(dimsOfValue(value)), 0);
  return AT_ONCE + numbers * PER_NUMBER < savedBy(shard);
}

function savedBy(graph: Graph): number {
  return graph.nodes.reduce((sum, node) => sum + ownSaving(node) + savedInside(node), 0);
}

function ownSaving({ opType, outputs }: Node): number {
  if (GIVEN_BACK.has(opType)) return 0;
  const elements = outputs.reduce((sum, value) => sum + (value === null ? 0 : sizeOf(dimsOfValue(value))), 0);
  return Math.min(elements * PER_ELEMENT, MOST_PER_NODE);
}

/** Of the nodes inside of a node, as often as it runs them. */
function savedInside(node: Node): number {
  const [body] = [...node.attributes.values()].flatMap(graphsOf);
  return body === undefined ? 0 : stepsOf(node) * savedBy(body);
}

/** How often a Scan runs what is in it; others are taken to run it once. */
function stepsOf(node: Node): number {
  if (node.opType !== "Scan") return 1;
  const view = new NodeView(node);
  const value = node.inputs[node.inputs.length - view.int("num_scan_inputs")];
  return (value && dimsOfValue(value)?.at(view.ints("scan_input_axes")?.[0] ?? 0)) || 1;
}

const sizeOf = (dims: readonly number[] | null): number => (dims ?? []).reduce((product, dim) => product * dim, 1);
