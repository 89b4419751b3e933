import { graphsOf } from "../../graph/attribute.ts";
import type { Graph, Node } from "../../graph/graph.ts";
import { NodeView } from "../../ops/node-view.ts";
import { dimsOfValue } from "./shard-call.ts";

/** Seconds that a node takes less where its threads need not wait for each other. */
const PER_NODE = 10e-6;
/** Seconds that a number of a result takes which the parts have to add up: to write it once more, and to read it twice. */
const PER_NUMBER = 0.8e-9;

/**
 * Whether parts of a batch that are computed at the same time take less time than the whole batch on as many threads. What they cost grows with
 * the results that they have to add up, which are as large as the weights; what they save with the number of nodes. See docs/training.md for the
 * measurements.
 * @param shard what a part computes
 */
export function partsPay(shard: Graph): boolean {
  const numbers = shard.outputs.reduce((sum, value) => sum + sizeOf(dimsOfValue(value)), 0);
  return numbers * PER_NUMBER < runsOf(shard) * PER_NODE;
}

/** How many nodes are run; those inside of a node as often as it runs them. */
function runsOf(graph: Graph): number {
  return graph.nodes.reduce((sum, node) => sum + (node.opType === "Constant" ? 0 : 1) + runsInside(node), 0);
}

function runsInside(node: Node): number {
  const [body] = [...node.attributes.values()].flatMap(graphsOf);
  return body === undefined ? 0 : stepsOf(node) * runsOf(body);
}

/** How often a Scan runs what is in it; others are taken to run it once. */
function stepsOf(node: Node): number {
  if (node.opType !== "Scan") return 1;
  const view = new NodeView(node);
  const first = node.inputs.length - view.int("num_scan_inputs");
  const value = node.inputs[first];
  return (value && dimsOfValue(value)?.at(view.ints("scan_input_axes")?.[0] ?? 0)) || 1;
}

const sizeOf = (dims: readonly number[] | null): number => (dims ?? []).reduce((product, dim) => product * dim, 1);
