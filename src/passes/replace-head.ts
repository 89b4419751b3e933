import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { PassError, requireOption, UsageError } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import { describeNode, type Graph, type Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";
import { constantOf } from "../ops/constants.ts";
import { NodeView } from "../ops/node-view.ts";
import { opTypes } from "../ops/operators/index.ts";
import { initialValues } from "./initialize.ts";

/** A fresh last layer, for other classes than those that the model was trained for. */
export interface HeadOptions {
  readonly classes: number;
}

/** Cut off: a loss takes what goes into them. */
const CUT = opTypes(["Softmax", "LogSoftmax", "Sigmoid", "Hardmax"]);
/** What may lie between the last product and the output: it does not mix classes and has no parameters of theirs. */
const PASSED = opTypes(
  ["Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Dropout", "Relu", "Clip", "Cast"],
  ["GlobalAveragePool", "AveragePool", "GlobalMaxPool", "ReduceMean", "Add"],
);

/** The last product of a model, with what lies between it and the output. */
interface Head {
  readonly product: Node;
  readonly weight: Tensor;
  /** The axis of the weight that the classes are, and how many there were. */
  readonly axis: number;
  readonly was: number;
  readonly after: readonly Node[];
}

/**
 * Puts a fresh layer in the place of a classifier's last one: the last Gemm, MatMul or Conv before the output gets a weight
 * `head.weight` (xavier) and a bias `head.bias` (zeros) for `classes`, and a Softmax, LogSoftmax or Sigmoid behind it is cut off.
 * @param output name of the output that the classes are. Default: the first
 * @returns what was done, in words
 * @throws PassError `E_HEAD` where the output does not come from such a layer, naming the node that is in the way
 */
export function replaceHead(model: Model, { classes }: HeadOptions, output: string | undefined, seed: number): string {
  requireOption(Number.isSafeInteger(classes) && classes >= 1, "head classes", "a whole number from 1 on");
  const { graph } = model;
  const result = graph.outputs.find(({ name }) => output === undefined || name === output);
  if (result === undefined) {
    throw new UsageError("E_OUTPUT", `the model has no output "${output ?? ""}"`, { field: "output" });
  }
  const head = headOf(result);
  const names = new Names(model);
  const cut = head.after.filter(({ opType }) => CUT.has(opType));
  const sized = { head, classes, names, graph };
  for (const node of head.after) renewConstants(node, sized);
  renewProduct(sized, seed);
  for (const node of cut) bypass(graph, node);
  forgetSizes(head);
  removeDeadNodes(graph);
  const { product, was } = head;
  const said =
    cut.length === 0
      ? ""
      : `; ${cut.map(({ opType }) => opType).join(" and ")} behind it ${cut.length === 1 ? "is" : "are"} cut off`;
  return `${describeNode(product)} of ${was} classes has a fresh weight and bias for ${classes}${said}`;
}

function headOf(output: Value): Head {
  const after: Node[] = [];
  for (let value = output; ; ) {
    const node = value.producer;
    if (node === null) throw refusal(output, `nothing but the input lies before the output`);
    const found = productOf(node, after);
    if (found !== null) return found;
    if (node.domain !== "" || !(CUT.has(node.opType) || PASSED.has(node.opType))) {
      throw refusal(output, `${describeNode(node)} lies between the output and the last Gemm, MatMul or Conv`);
    }
    const next = node.inputs.find((input) => input !== null && constantOf(input) === null) ?? null;
    if (next === null) throw refusal(output, `${describeNode(node)} reads constants alone`);
    after.push(node);
    value = next;
  }
}

const refusal = (output: Value, reason: string): PassError =>
  new PassError("E_HEAD", `the head before "${output.name}" cannot be replaced: ${reason}`, {
    field: output.name,
    hint: "Name the output of the last layer with --loss-output, or replace the layer before you export the model.",
  });

function productOf(node: Node, after: readonly Node[]): Head | null {
  if (node.domain !== "" || !["Gemm", "MatMul", "Conv"].includes(node.opType)) return null;
  const view = new NodeView(node);
  const weight = view.constant(1);
  if (weight === null || weight.dims.length < 2 || weight.dtype !== DataType.float) return null;
  const isOutputFirst = node.opType === "Conv" || (node.opType === "Gemm" && view.int("transB") === 1);
  if (node.opType === "Conv" && view.int("group") !== 1) return null;
  const axis = isOutputFirst ? 0 : weight.dims.length - 1;
  return { product: node, weight, axis, was: weight.dims[axis] ?? 0, after };
}

interface Sized {
  readonly head: Head;
  readonly classes: number;
  readonly names: Names;
  readonly graph: Graph;
}

function initializer({ names, graph }: Sized, name: string, tensor: Tensor): Value {
  const value = new Value(names.fresh(name), tensorType(tensor.dtype, tensor.dims));
  value.tensor = tensor;
  graph.initializers.push(value);
  return value;
}

const zeros = (dims: readonly number[]): Tensor =>
  Tensor.from(DataType.float, dims, new Float32Array(dims.reduce((product, dim) => product * dim, 1)));

/** The last axis of as many elements as there were classes is of as many as there are. */
function resized(dims: readonly number[], was: number, classes: number): readonly number[] | null {
  const axis = dims.lastIndexOf(was);
  return axis < 0 ? null : dims.with(axis, classes);
}

function renewProduct(sized: Sized, seed: number): void {
  const { head, classes } = sized;
  const { product, weight, axis } = head;
  const fresh = initializer(sized, "head.weight", zeros(weight.dims.with(axis, classes)));
  product.setInput(1, fresh);
  fresh.tensor = initialValues(fresh, "xavier", seed);
  const bias = product.inputs[2];
  if (bias) product.setInput(2, initializer(sized, "head.bias", zeros([classes])));
}

/** A bias that is added, and shapes that name the number of classes. */
function renewConstants(node: Node, sized: Sized): void {
  const { head, classes } = sized;
  for (const [index, input] of node.inputs.entries()) {
    const constant = input === null ? null : constantOf(input);
    if (constant === null) continue;
    if (node.opType === "Add") {
      const dims = resized(constant.dims, head.was, classes);
      if (dims !== null) node.setInput(index, initializer(sized, "head.bias", zeros(dims)));
    } else if (node.opType === "Reshape" && index === 1) {
      const sizes = resized(Array.from(constant.values(), Number), head.was, classes);
      if (sizes !== null) node.setInput(index, initializer(sized, "head.shape", Tensor.ints(sizes)));
    }
  }
}

/** Takes a node out; an output keeps its name. */
function bypass(graph: Graph, node: Node): void {
  const [input, output] = [node.inputs[0], node.outputs[0]];
  if (!input || !output) return;
  const isOutput = graph.outputs.includes(output);
  const { name } = output;
  output.replaceAllUsesWith(input);
  graph.remove(node);
  if (isOutput) input.name = name;
}

/** The sizes behind the new layer are inferred anew. */
function forgetSizes({ product, after }: Head): void {
  for (const node of [product, ...after]) {
    for (const output of node.outputs) {
      if (output?.type?.kind === "tensor") output.type = { ...output.type, shape: null };
    }
  }
}
