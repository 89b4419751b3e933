import { AGR_RECORD, originalOf } from "../../edits/record.ts";
import { dataTypeName, isGradientType } from "../../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { findNodes } from "./find-nodes.ts";
import {
  type EdgeParameter,
  type Found,
  type GradientEdge,
  nodeName,
  type OptimizerSite,
  type Refusal,
} from "./site.ts";

/** Where an optimizer operator has one parameter's weights and gradient among its inputs. */
export interface InputPair {
  readonly weight: number;
  readonly gradient: number;
}

/** An optimizer that is one operator and takes its gradients as tensors. */
export interface OptimizerOperator {
  /** @param count number of inputs. Empty where that number cannot be. */
  readonly pairs: (count: number) => readonly InputPair[];
}

/** Finds every node of a domain that a table of operators knows, in all graphs of a model. */
export function findOperators(
  model: Model,
  dialect: string,
  domain: string,
  operators: ReadonlyMap<string, OptimizerOperator>,
): Found {
  return findNodes(model, (graph, node) => {
    const operator = node.domain === domain ? operators.get(node.opType) : undefined;
    return operator === undefined ? null : recognise(model, dialect, graph, node, operator);
  });
}

function recognise(
  model: Model,
  dialect: string,
  graph: Graph,
  node: Node,
  operator: OptimizerOperator,
): OptimizerSite | Refusal {
  const refuse = (reason: string): Refusal => ({ dialect, node, at: describeNode(node), reason });
  const pairs = operator.pairs(node.inputs.length);
  if (pairs.length === 0)
    return refuse(`${node.inputs.length} inputs cannot be parameters with their gradients and states`);
  const edges: GradientEdge[] = [];
  for (const { weight, gradient } of pairs) {
    const read = node.inputs[gradient] ?? null;
    const parameter = node.inputs[weight] ?? null;
    if (read === null) continue;
    const value = originalOf(model, AGR_RECORD, read);
    if (value.type?.kind === "sequence") return refuse(`its gradients "${value.name}" are a sequence`);
    const dtype = elementType(value) ?? (parameter === null ? null : elementType(parameter));
    if (dtype === null) return refuse(`the type of its gradient "${value.name}" is not known`);
    if (!isGradientType(dtype)) {
      return refuse(`its gradient "${value.name}" is ${dataTypeName(dtype)}, not floating point`);
    }
    edges.push({
      value,
      uses: [{ user: node, index: gradient }],
      kind: "tensor",
      dtype,
      parameter: { name: parameter?.name ?? value.name, shape: shapeOf(parameter) },
    });
  }
  if (edges.length === 0) return refuse("none of its gradients is there");
  const domain = node.domain === "" ? "" : `${node.domain}.`;
  return { dialect, graph, name: nodeName(node), optimizer: `${domain}${node.opType}`, edges, learningRate: null };
}

/** As declared, or as the operator that converts the value to it says. */
function elementType(value: Value): number | null {
  if (value.type !== null) return value.type.kind === "tensor" ? value.type.dtype : null;
  const to = value.producer?.attributes.get("to");
  return to?.kind === "int" ? Number(to.value) : null;
}

function shapeOf(value: Value | null): EdgeParameter["shape"] {
  if (value?.tensor) return value.tensor.dims;
  const shape = value?.type?.kind === "tensor" ? value.type.shape : null;
  return shape?.every((dim) => typeof dim === "number") ? shape : null;
}
