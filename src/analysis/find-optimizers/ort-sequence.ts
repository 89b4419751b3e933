import { AGR_RECORD, originalOf } from "../../edits/record.ts";
import { dataTypeName, isGradientType } from "../../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { ValueType } from "../../graph/value-type.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import {
  SEQUENCE_OPTIMIZERS,
  type SequenceOptimizer,
  sequenceOptimizer,
} from "../../onnxruntime/sequence-optimizers.ts";
import { findNodes } from "./find-nodes.ts";
import { type Dialect, nodeName, type OptimizerSite, type Refusal } from "./site.ts";

const NAME = "ort-sequence";

/** Operators that hand a sequence on: the type of their first input is that of their output. */
const PASSES_SEQUENCE_ON = new Set([
  "InplaceClipGradNorm",
  "SequenceMap",
  "Identity",
  "SequenceInsert",
  "SequenceErase",
]);

/** ONNX Runtime's multi-tensor optimizers of 1.15 and later: all gradients as one sequence. */
export const ortSequence: Dialect = {
  name: NAME,
  looksFor: `${MICROSOFT} ${SEQUENCE_OPTIMIZERS.map(({ op }) => op).join(" or ")} over a sequence of gradients`,
  find: (model) =>
    findNodes(model, (graph, node) => {
      const operator = node.domain === MICROSOFT ? sequenceOptimizer(node.opType) : null;
      return operator === null ? null : recognise(model, graph, node, operator);
    }),
};

function recognise(model: Model, graph: Graph, node: Node, { inputs }: SequenceOptimizer): OptimizerSite | Refusal {
  const input = inputs.indexOf("gradients");
  const refuse = (reason: string): Refusal => ({ dialect: NAME, node, at: describeNode(node), reason });
  const read = node.inputs[input] ?? null;
  if (read === null) return refuse(`input ${input}, the gradients, is absent`);
  const value = originalOf(model, AGR_RECORD, read);
  const element = elementType(value);
  if (element === "unknown") return refuse(`the type of its gradients "${value.name}" is not known`);
  if (element?.kind !== "tensor") return refuse(`its gradients "${value.name}" are not a sequence of tensors`);
  if (!isGradientType(element.dtype)) {
    return refuse(`its gradients "${value.name}" are ${dataTypeName(element.dtype)}, not floating point`);
  }
  return {
    dialect: NAME,
    graph,
    name: nodeName(node),
    optimizer: `${node.domain}.${node.opType}`,
    edges: [{ value, uses: [{ user: node, index: input }], kind: "sequence", dtype: element.dtype, parameter: null }],
    learningRate: { node, input: inputs.indexOf("learning_rate") },
  };
}

/** The type of a sequence's elements, looked up through the operators that hand the sequence on; null for other types. */
function elementType(value: Value): ValueType | null | "unknown" {
  for (let at: Value | null = value; at !== null; ) {
    if (at.type !== null) return at.type.kind === "sequence" ? at.type.element : null;
    const { producer }: Value = at;
    if (producer === null) return "unknown";
    if (producer.opType === "SequenceConstruct") return producer.inputs[0]?.type ?? "unknown";
    at = PASSES_SEQUENCE_ON.has(producer.opType) ? (producer.inputs[0] ?? null) : null;
  }
  return "unknown";
}
