import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { NodeView } from "../ops/node-view.ts";
import { opTypes } from "../ops/operators/index.ts";
import { dimsOf } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

const RECURRENT = opTypes(["LSTM", "GRU", "RNN"]);

/**
 * Where a model picks the last of all hidden states of a recurrent layer, it reads the layer's output of the last state instead, which is the
 * same: going back, no gradient of all states is to be filled with zeros and added.
 * @param types has seen the graph; sees every node that is made
 * @returns how many there were
 */
export function readLastStates(model: Model, types: TypeInference): number {
  const { graph } = model;
  const names = new Names(model);
  let count = 0;
  for (const node of graph) {
    const [all] = node.inputs;
    const last = node.domain === "" && node.opType === "Gather" ? lastStateOf(node, types) : null;
    if (last === null) continue;
    const options = { names, opset: model.opset, isInput: () => false };
    replaceByParts(
      graph,
      new Call(node),
      { lower: (f) => [f.squeeze(last, [0])] },
      { ...options, onEmit: (made) => types.node(made) },
    );
    dropUnused(graph, all ?? null);
    count += 1;
  }
  return count;
}

/** Removes what made a value that nothing reads any more, up to the layer. */
function dropUnused(graph: Graph, value: Value | null): void {
  const node = value?.producer ?? null;
  if (node === null || value?.isUsed === true || RECURRENT.has(node.opType)) return;
  const [from = null] = node.inputs;
  graph.remove(node);
  dropUnused(graph, from);
}

/** The last hidden state [1, N, H] of a layer that goes forward, where a node picks it from all states. */
function lastStateOf(node: Node, types: TypeInference): Value | null {
  const [all, index] = node.inputs;
  if (!all || !index || dimsOf(index)?.length !== 0) return null;
  const axis = new NodeView(node).int("axis");
  const transposed = all.producer !== null && is(all.producer, "Transpose") ? all.producer : null;
  const perm = transposed === null ? [0, 1, 2] : new NodeView(transposed).ints("perm");
  const rank = 3;
  if (perm?.length !== rank || perm[axis < 0 ? axis + rank : axis] !== 0) return null;
  /** Samples come before their features. */
  if (perm.indexOf(1) > perm.indexOf(2)) return null;
  const states = transposed === null ? all : transposed.inputs[0];
  const squeeze = states?.producer ?? null;
  if (!states || squeeze === null || !is(squeeze, "Squeeze") || dimsOf(states)?.length !== rank) return null;
  const layer = squeeze.inputs[0]?.producer ?? null;
  if (layer === null || layer.outputs[0] !== squeeze.inputs[0] || !isForward(layer)) return null;
  const [steps] = dimsOf(states) ?? [];
  const [at] = types.content(index) ?? [];
  if (at !== -1 && (typeof steps !== "number" || at !== steps - 1)) return null;
  return layer.outputs[1] ?? null;
}

const is = ({ domain, opType }: Node, op: string): boolean => domain === "" && opType === op;

/** A layer of one direction, which goes forward through all its steps. */
function isForward(node: Node): boolean {
  if (node.domain !== "" || !RECURRENT.has(node.opType) || (node.inputs[4] ?? null) !== null) return false;
  const view = new NodeView(node);
  return view.string("direction") === "forward" && (view.intOrNull("layout") ?? 0) === 0;
}
