import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { Formula } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { NodeView } from "../ops/node-view.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/** Since when `ScatterElements` adds, and softmax is along one axis. */
const OLDEST_OPSET = 16;

/** The gradient [samples, classes] of scores under a cross-entropy, (softmax - onehot) share, and the products that read it. */
interface SharedOut {
  readonly scatter: Node;
  readonly samples: number;
  readonly classes: number;
  /** [samples, classes] */
  readonly probabilities: Value;
  /** [samples, classes], the logarithms of the probabilities; null where they are none of a `LogSoftmax`. */
  readonly logarithms: Value | null;
  readonly labels: Value;
  /** [samples] */
  readonly share: Value;
  readonly products: readonly Product[];
}

interface Product {
  readonly node: Node;
  /** What is not the gradient. */
  readonly other: Value;
  /** Whether it is summed over samples: `other` has a row for each. Else the result has. */
  readonly overSamples: boolean;
}

/**
 * Multiplies the gradient of scores by the share of each sample in the loss behind the products that read it, or ahead in their other operand,
 * where that is less than a pass over all scores. What lies before is softmax of logarithms of softmax, the same but for rounding: ONNX
 * Runtime's CPU provider writes it where those lie. Changes the model.
 * @param pays decides which are taken so
 * @returns how many are
 */
export function shareOutLater(model: Model, pays: typeof costsLess = costsLess): number {
  const { graph } = model;
  if (model.opset < OLDEST_OPSET) return 0;
  inferTypes(model);
  const names = new Names(model);
  const replace = (node: Node, made: (f: Formula) => Value): void => {
    const lower = (f: Formula): readonly Value[] => [made(f)];
    replaceByParts(graph, new Call(node), { lower }, { names, opset: model.opset, isInput: () => false });
  };
  let count = 0;
  for (const node of graph.nodes) {
    const found = node.graph === graph ? sharedOut(node, graph) : null;
    if (found === null || !pays(found)) continue;
    for (const product of found.products) replace(product.node, (f) => shared(f, found, product));
    replace(found.scatter, (f) => differences(f, found));
    count += 1;
  }
  if (count > 0) removeDeadNodes(graph);
  return count;
}

/** softmax - onehot */
function differences(f: Formula, { samples, probabilities, logarithms, labels }: SharedOut): Value {
  const last = attribute.int("axis", 1);
  const softmax = logarithms === null ? probabilities : f.emit("Softmax", [logarithms], { attributes: [last] });
  const minus = f.build.constant(Tensor.floats([samples, 1], new Array<number>(samples).fill(-1)));
  return f.emit("ScatterElements", [softmax, labels, minus], {
    attributes: [last, attribute.string("reduction", "add")],
  });
}

function shared(f: Formula, { share, samples }: SharedOut, { node, other, overSamples }: Product): Value {
  const [gradient] = node.inputs;
  const [result] = node.outputs;
  if (!gradient || !result) throw new RangeError("a product has two operands and a result");
  if (overSamples) return f.matmul(gradient, f.mul(other, f.reshape(share, [samples, 1])));
  return f.mul(f.matmul(gradient, other), f.reshape(share, [...(known(dimsOf(result)) ?? []).slice(0, -1), 1]));
}

function sharedOut(scatter: Node, graph: Graph): SharedOut | null {
  const [scores, labels, added] = scatter.inputs;
  const [result] = scatter.outputs;
  if (!isOf(scatter, "ScatterElements") || !scores || !labels || !added || !result) return null;
  const view = new NodeView(scatter);
  const [samples, classes, ...more] = known(dimsOf(result)) ?? [];
  if (samples === undefined || classes === undefined || more.length > 0) return null;
  if (view.string("reduction") !== "add" || ![1, -1].includes(view.int("axis"))) return null;
  if (elementTypeOf(result) !== DataType.float || !hasDims(labels, [samples, 1])) return null;
  const negative = columnOf(added);
  const share = negative?.producer && isOf(negative.producer, "Neg") ? negative.producer.inputs[0] : null;
  const [probabilities, column] = scores.producer && isOf(scores.producer, "Mul") ? scores.producer.inputs : [];
  if (!share || !probabilities || !column || columnOf(column) !== share) return null;
  if (!hasDims(share, [samples]) || !hasDims(probabilities, [samples, classes])) return null;
  const products = productsOf(result, graph);
  if (scores.uses.length !== 1 || products === null) return null;
  const logarithms = logarithmsOf(probabilities);
  return { scatter, samples, classes, probabilities, logarithms, labels, share, products };
}

/** The vector that a column was made of. */
function columnOf({ producer }: Value): Value | null {
  const [vector, axes] = producer && isOf(producer, "Unsqueeze") ? producer.inputs : [];
  if (!producer || !vector || !axes || dimsOf(vector)?.length !== 1) return null;
  const given = [...(new NodeView(producer).constant(1)?.values() ?? [])].map(Number);
  return given.length === 1 && (given[0] === 1 || given[0] === -1) ? vector : null;
}

function logarithmsOf({ producer }: Value): Value | null {
  const [logarithms] = producer && isOf(producer, "Exp") ? producer.inputs : [];
  const made = logarithms?.producer;
  if (!logarithms || !made || !isOf(made, "LogSoftmax")) return null;
  return [1, -1].includes(new NodeView(made).int("axis")) ? logarithms : null;
}

/** The products that read a gradient; null where something else does. */
function productsOf(gradient: Value, graph: Graph): readonly Product[] | null {
  const found = gradient.uses.map(({ user, index }) => (user instanceof Node ? productBy(user, index, graph) : null));
  return found.length > 0 && found.every((each) => each !== null) ? found : null;
}

/** What reads a gradient, in rows of other axes, or transposed. */
function productBy(user: Node, index: number, graph: Graph): Product | null {
  const [gradient] = user.inputs;
  const [made] = user.outputs;
  const dims = (gradient && known(dimsOf(gradient))) ?? [];
  if (user.graph !== graph || index !== 0 || !gradient || !made) return null;
  if (isOf(user, "MatMul")) return productOf(user, gradient, graph);
  if (made.uses.length !== 1 || made.uses[0]?.index !== 0) return null;
  const next = made.uses[0].user;
  if (!(next instanceof Node)) return null;
  if (isOf(user, "Transpose")) {
    const perm = new NodeView(user).ints("perm") ?? [1, 0];
    return perm[0] === 1 && dims.length === 2 ? productOf(next, made, graph, dims[0]) : null;
  }
  const keepsRows = isOf(user, "Reshape") && known(dimsOf(made))?.at(-1) === dims.at(-1);
  return keepsRows ? productOf(next, made, graph) : null;
}

/** @param samples where the product sums over them */
function productOf(node: Node, operand: Value, graph: Graph, samples: number | null = null): Product | null {
  const [first, other] = node.inputs;
  const [result] = node.outputs;
  if (node.graph !== graph || !isOf(node, "MatMul") || first !== operand || !other || !result) return null;
  const [rows, columns, ...more] = known(dimsOf(other)) ?? [];
  if (other === operand || columns === undefined || more.length > 0 || known(dimsOf(result)) === null) return null;
  return samples === null || rows === samples ? { node, other, overSamples: samples !== null } : null;
}

const isOf = ({ domain, opType }: Node, op: string): boolean => domain === "" && opType === op;

function hasDims(value: Value, dims: readonly number[]): boolean {
  const own = known(dimsOf(value));
  return own?.length === dims.length && own.every((size, axis) => size === dims[axis]);
}

/** From how many scores on a pass over them takes longer than the nodes around another. */
const FEWEST_SCORES = 2 ** 18;

/** Whether the products have few enough numbers of each sample: they are read and written in the place of the scores. */
function costsLess({ samples, classes, products }: SharedOut): boolean {
  const columns = products.map(({ other }) => known(dimsOf(other))?.at(-1) ?? classes);
  return samples * classes >= FEWEST_SCORES && 2 * columns.reduce((a, b) => a + b, 0) <= classes;
}
