import { replaceNode } from "../edits/replace-node.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { MICROSOFT } from "../onnxruntime/domain.ts";
import { constantOf } from "../ops/constants.ts";
import { NodeView } from "../ops/node-view.ts";
import { type BatchNormStatistics, batchNormModes, isWithRunning } from "./batch-norm-modes.ts";

/** What a forward operator becomes where it is trained. */
interface Preparation {
  readonly op: string;
  readonly applies: (node: Node) => boolean;
  readonly prepare: (graph: Graph, node: Node, names: Names) => void;
}

const PREPARATIONS: readonly Preparation[] = [
  {
    /** ONNX Runtime's training builds have statistics of the batch in an operator of their own, which renews the running ones. */
    op: "BatchNormalization",
    applies: isWithRunning,
    prepare(graph, node, names) {
      const [y] = node.outputs;
      const name = (part: string): string => names.fresh(`${y?.name ?? node.name}/${part}`);
      replaceNode(graph, node, {
        opType: "BatchNormInternal",
        domain: MICROSOFT,
        keep: 1,
        moreOutputs: ["running_mean", "running_var", "saved_mean", "saved_inv_std"].map(name),
        attributes: [
          attribute.float("epsilon", new NodeView(node).float("epsilon")),
          attribute.float("momentum", new NodeView(node).float("momentum")),
          attribute.int("training_mode", 1),
        ],
      });
    },
  },
  {
    /** Mean and inverse deviation, for the gradient. */
    op: "LayerNormalization",
    applies: ({ outputs }) => outputs.length === 1,
    prepare(graph, node, names) {
      const name = (part: string): string => names.fresh(`${node.outputs[0]?.name ?? node.name}/${part}`);
      const made = replaceNode(graph, node, { moreOutputs: [name("mean"), name("inv_std")] });
      for (const output of made.outputs.slice(1)) if (output !== null) output.type = null;
    },
  },
  {
    /** Told never to drop, or nothing, it does nothing. */
    op: "Dropout",
    applies: ({ inputs }) => inputs.length > 1 && (isZero(inputs[1] ?? null) || isZero(inputs[2] ?? null)),
    prepare(graph, node) {
      replaceNode(graph, node, { inputs: node.inputs.slice(0, 1), keep: 1 });
    },
  },
  {
    /** What was dropped, for the gradient. */
    op: "Dropout",
    applies: ({ inputs, outputs }) => (inputs[2] ?? null) !== null && (outputs[1] ?? null) === null,
    prepare(graph, node, names) {
      const mask = names.fresh(`${node.outputs[0]?.name ?? node.name}/mask`);
      const made = replaceNode(graph, node, { keep: 1, moreOutputs: [mask] });
      const [, kept] = made.outputs;
      if (kept) kept.type = { kind: "tensor", dtype: DataType.bool, shape: null };
    },
  },
];

/** A constant that is 0 or false. */
function isZero(value: Value | null): boolean {
  return value !== null && constantOf(value)?.values()[0] === 0;
}

/**
 * Makes a forward graph one that can be trained: BatchNormalization with statistics of the batch, or with the running ones, and the outputs
 * that gradients need. Dropout stays as it is: whether it drops is the model's own say.
 * @param batchNorm what all BatchNormalization are trained with. Default: what the file says
 */
export function prepareTraining(
  model: Model,
  batchNorm?: BatchNormStatistics,
): {
  /** Initializers of the graph, which training renews where it does not use them. */
  readonly statistics: readonly Value[];
  readonly notes: readonly string[];
} {
  const names = new Names(model);
  const { running, notes } = batchNormModes(model, batchNorm);
  const statistics: Value[] = [];
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph) {
      const found = PREPARATIONS.find(({ op, applies }) => node.domain === "" && node.opType === op && applies(node));
      if (found === undefined) continue;
      if (node.opType === "BatchNormalization") {
        for (const value of node.inputs.slice(3, 5)) if (value) statistics.push(value);
        if (running.has(node)) {
          withRunningStatistics(graph, node);
          continue;
        }
        model.opsets.set(MICROSOFT, model.opsets.get(MICROSOFT) ?? 1);
      }
      found.prepare(graph, node, names);
    }
  }
  return { statistics: [...new Set(statistics)], notes };
}

/** Makes a forward graph one for evaluation: nothing is dropped, and BatchNormalization takes the running statistics. */
export function prepareEvaluation(model: Model): void {
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph) {
      if (node.domain !== "") continue;
      if (node.opType === "Dropout" && (node.inputs[2] ?? null) !== null) {
        replaceNode(graph, node, { inputs: node.inputs.slice(0, 2), keep: 1 });
      }
      if (node.opType === "BatchNormalization" && node.outputs.length > 1) withRunningStatistics(graph, node);
    }
  }
}

/** BatchNormalization as inference has it. */
function withRunningStatistics(graph: Graph, node: Node): void {
  const attributes = [...node.attributes.values()].filter(({ name }) => name !== "training_mode");
  replaceNode(graph, node, { keep: 1, attributes });
}
