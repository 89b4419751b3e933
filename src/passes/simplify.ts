import { attributeText } from "../edits/attribute-text.ts";
import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import { type Model, subgraphsOf, walkGraphs } from "../graph/model.ts";
import { Tensor } from "../graph/tensor.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { NodeView } from "../ops/node-view.ts";
import { opTypes } from "../ops/operators/index.ts";
import { dimsOf, known } from "../ops/value-types.ts";

/** Not the same at every call, or there for its name: gradients are marked by an Identity. */
const KEPT_APART = opTypes(
  ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"],
  ["Bernoulli", "Multinomial", "Dropout", "Identity"],
);

/**
 * Makes a graph small without changing a bit of what it computes: sizes that follow from the inputs' shapes are constants,
 * what is computed twice in the same way is computed once, and what nothing reads goes. Changes the model it is given.
 * @returns how many nodes and initializers were changed or removed
 */
export function simplify(model: Model): number {
  let changed = removeDeadNodes(model.graph);
  const types = inferTypes(model);
  for (const graph of walkGraphs(model.graph)) {
    changed += foldSizes(graph, types);
    changed += dropReshapes(graph);
    changed += mergeEqual(graph);
  }
  return changed + removeDeadNodes(model.graph);
}

/** Whole numbers that are known when the graph is written become constants. */
function foldSizes(graph: Graph, types: TypeInference): number {
  let count = 0;
  const outputs = new Set(graph.outputs);
  for (const node of graph) {
    const [value] = node.outputs;
    if (node.domain !== "" || node.opType === "Constant" || node.outputs.length !== 1) continue;
    if (!value?.isUsed || outputs.has(value)) continue;
    const tensor = wholeNumbers(value, types);
    if (tensor === null) continue;
    const made = new Value(value.name, value.type);
    const attributes = [attribute.tensor("value", tensor)];
    graph.insertBefore(node, new Node("Constant", [], [made], { name: node.name, attributes }));
    value.replaceAllUsesWith(made);
    graph.remove(node);
    count++;
  }
  return count;
}

function wholeNumbers(value: Value, types: TypeInference): Tensor | null {
  if (value.type?.kind !== "tensor" || value.type.dtype !== DataType.int64) return null;
  const dims = value.type.shape?.filter((dim) => typeof dim === "number") ?? null;
  const content = types.content(value);
  const numbers = content?.filter((each) => typeof each === "number" && Number.isSafeInteger(each)) ?? [];
  if (dims === null || dims.length !== value.type.shape?.length || numbers.length !== content?.length) return null;
  const elements = BigInt64Array.from(numbers as readonly number[], BigInt);
  return elements.length === dims.reduce((size, dim) => size * dim, 1)
    ? Tensor.from(DataType.int64, dims, elements)
    : null;
}

/** What is reshaped twice is reshaped once, and not at all where it has the shape that it is to have. */
function dropReshapes(graph: Graph): number {
  let count = 0;
  const outputs = new Set(graph.outputs);
  for (const node of graph) {
    const [made] = node.outputs;
    const [from] = node.inputs;
    if (!isReshape(node) || !made || !from || known(dimsOf(made)) === null) continue;
    const before = from.producer !== null && isReshape(from.producer) ? (from.producer.inputs[0] ?? from) : from;
    const same = [before, from].find((each) => haveSameShape(each, made));
    if (!outputs.has(made) && same !== undefined) {
      made.replaceAllUsesWith(same);
      graph.remove(node);
      count++;
    } else if (before !== from && copiesNoSizes(node)) {
      node.setInput(0, before);
      count++;
    }
  }
  return count;
}

const isReshape = ({ domain, opType }: Node): boolean => domain === "" && opType === "Reshape";

function haveSameShape(a: Value, b: Value): boolean {
  const [left, right] = [a, b].map((value) => known(dimsOf(value)));
  return left !== null && left !== undefined && left.join() === right?.join();
}

/** Whether the sizes that a node asks for are constants without a 0, which stands for the size that there was. */
function copiesNoSizes(node: Node): boolean {
  const sizes = new NodeView(node).constant(1);
  return sizes !== null && [...sizes.values()].every((size) => Number(size) !== 0);
}

/** Nodes of one operator with the same inputs and attributes become the first of them. */
function mergeEqual(graph: Graph): number {
  const before = graph.nodeCount;
  const outputs = new Set(graph.outputs);
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value | null): number => {
    if (value === null) return -1;
    const known = numbers.get(value) ?? numbers.size;
    numbers.set(value, known);
    return known;
  };
  const firsts = new Map<string, Node>();
  for (const node of graph) {
    if (KEPT_APART.has(node.opType) || subgraphsOf(node).length > 0) continue;
    if (node.outputs.some((output) => output !== null && outputs.has(output))) continue;
    const attributes = [...node.attributes.values()].map(attributeText);
    if (attributes.includes(null)) continue;
    const made = node.outputs.map((output) => output !== null);
    const inputs = node.inputs.map(numberOf);
    const key = JSON.stringify([node.domain, node.opType, node.overload, inputs, made, attributes.toSorted()]);
    const first = firsts.get(key);
    if (first === undefined) {
      firsts.set(key, node);
      continue;
    }
    for (const [index, output] of node.outputs.entries()) {
      const same = first.outputs[index];
      if (output && same) output.replaceAllUsesWith(same);
    }
    graph.remove(node);
  }
  return before - graph.nodeCount;
}
