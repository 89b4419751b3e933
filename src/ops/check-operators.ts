import { GraphError } from "../errors.ts";
import type { Attribute } from "../graph/attribute.ts";
import { describeNode, type Graph, type Node } from "../graph/graph.ts";
import { calledFunction, type Model, ONNX_DOMAIN, walkGraphs } from "../graph/model.ts";
import { schemaOf, versionsOf } from "./operators/index.ts";
import type { AttributeSchema, Operator } from "./operators/operator.ts";

/** From here on the newest inputs and outputs of an operator are those that it has. */
const FIRST_WITH_ARITY = 14;

/**
 * Checks the nodes of a graph, and of the graphs in it, against their operators' rows: attributes that there are, of the right kind,
 * none missing that must be there, and how many inputs and outputs there may be (from opset 14 on). Nodes of other domains and
 * calls of the model's functions are not looked at.
 * @throws GraphError `E_OPERATOR`, naming the node
 */
export function checkOperators(model: Model, root: Graph, opset: number): void {
  for (const graph of walkGraphs(root)) {
    for (const node of graph) {
      if (node.domain !== ONNX_DOMAIN || calledFunction(model, node) !== undefined) continue;
      const [first = Number.POSITIVE_INFINITY] = versionsOf(node.opType) ?? [];
      const schema = schemaOf(node.opType);
      if (schema === undefined || first > opset) continue;
      const problem = problemOf(node, schema, opset);
      if (problem === null) continue;
      throw new GraphError("E_OPERATOR", `${describeNode(node)}: ${problem}`, { field: node.name });
    }
  }
}

function problemOf(node: Node, { attributes, inputs, outputs }: Operator, opset: number): string | null {
  for (const each of node.attributes.values()) {
    const schema = Object.hasOwn(attributes, each.name) ? attributes[each.name] : undefined;
    const problem = attributeProblem(each, schema, opset);
    if (problem !== null) return problem;
  }
  for (const [name, { required, until = Number.POSITIVE_INFINITY }] of Object.entries(attributes)) {
    if (required === true && opset < until && !node.attributes.has(name)) return `its attribute "${name}" is missing`;
  }
  if (opset < FIRST_WITH_ARITY) return null;
  return arityProblem("input", node.inputs, inputs) ?? arityProblem("output", node.outputs, outputs);
}

function attributeProblem(each: Attribute, schema: AttributeSchema | undefined, opset: number): string | null {
  const { since = 0, until = Number.POSITIVE_INFINITY } = schema ?? {};
  if (schema === undefined || opset < since || opset >= until) {
    return `the operator has no attribute "${each.name}" in opset ${opset}`;
  }
  const isOfKind = each.kind === schema.kind || (each.kind === "reference" && each.value.type === schema.kind);
  return isOfKind ? null : `its attribute "${each.name}" is of kind ${each.kind}, not ${schema.kind}`;
}

function arityProblem(what: string, given: readonly unknown[], names: string): string | null {
  const all = names === "" ? [] : names.split(" ");
  const last = all.at(-1) ?? "";
  const isOpen = last.endsWith("*") || last.endsWith("+");
  if (!isOpen && given.length > all.length) return `it has ${given.length} ${what}s, and the operator ${all.length}`;
  const missing = all.findIndex(
    (name, index) => !/[?*]$/.test(name) && (given[index] === undefined || given[index] === null),
  );
  return missing < 0 ? null : `its ${what} ${missing}, ${(all[missing] ?? "").replace("+", "")}, is missing`;
}
