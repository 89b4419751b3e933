import type { Graph, Node, Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import { ELEMENTWISE } from "../../ops/elementwise.ts";
import { NodeView } from "../../ops/node-view.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { dimsOf, known } from "../../ops/value-types.ts";

/** Nodes with results of one size that can be computed piece by piece. */
export interface Chain {
  /** In an order in which they can be computed. */
  readonly nodes: readonly Node[];
  /** Sizes of the result of each. */
  readonly dims: readonly number[];
  /** How many of the first axes may be cut. */
  readonly axes: number;
  /** What is read of it outside. */
  readonly results: readonly Value[];
}

/** A node that may be in a chain, by itself. */
export interface Link {
  readonly dims: readonly number[];
  readonly axes: number;
}

/** Operators that take one axis together, and the others apart; from opset 13 on, before they took several. */
const ALONG_AN_AXIS = opTypes(["LogSoftmax", "Softmax"]);
const ONE_AXIS_SINCE = 13;

/** What ONNX Runtime computes in one pass with the product before it. */
const ENDS_OF_PRODUCTS = opTypes(["Add", "Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Sum", "Tanh"]);
const PRODUCTS = opTypes(["Conv", "Gemm"]);

/** Cut along fewer rows, pieces are no small ones. */
const LEAST_ROWS = 8;

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1);

/** The sizes of a value with axes of one in front, as broadcasting has them; null where they are not known or more. */
export function alignedDims(value: Value, rank: number): readonly number[] | null {
  const dims = known(dimsOf(value));
  return dims === null || dims.length > rank ? null : [...new Array<number>(rank - dims.length).fill(1), ...dims];
}

/** How many of the first axes of a value are those of a result. */
export function axesShared(value: Value, dims: readonly number[]): number {
  const own = known(dimsOf(value));
  return own?.length === dims.length ? leading(dims, (size, axis) => own[axis] === size) : 0;
}

/** Along how many of the first axes a result may be cut for one of its operands, which either is cut with it or is the same for all pieces. */
function axesToCut(value: Value, dims: readonly number[]): number {
  const own = alignedDims(value, dims.length);
  if (own === null) return 0;
  const isAlike = leading(own, (size) => size === 1);
  return Math.max(axesShared(value, dims), isAlike);
}

function leading(dims: readonly number[], isSo: (size: number, axis: number) => boolean): number {
  const end = dims.findIndex((size, axis) => !isSo(size, axis));
  return end === -1 ? dims.length : end;
}

/** What a node is in a chain; null where it can be in none. */
export function linkOf(node: Node, graph: Graph, opset: number): Link | null {
  const [result = null] = node.outputs;
  if (node.domain !== "" || result === null || node.outputs.length > 1 || endsProduct(node)) return null;
  const dims = known(dimsOf(result));
  if (dims === null || result.uses.some(({ user }) => user === graph)) return null;
  const operands = node.inputs.filter((value) => value !== null);
  const axes = Math.min(ownAxes(node, opset, dims.length), ...operands.map((value) => axesToCut(value, dims)));
  return sizeOf(dims.slice(0, axes)) < LEAST_ROWS ? null : { dims, axes };
}

/** Along how many of the first axes an operator may be cut. */
function ownAxes(node: Node, opset: number, rank: number): number {
  if (ELEMENTWISE.has(node.opType)) return rank;
  if (!ALONG_AN_AXIS.has(node.opType) || opset < ONE_AXIS_SINCE) return 0;
  const axis = new NodeView(node, opset).int("axis");
  return axis < 0 ? axis + rank : axis;
}

function endsProduct({ opType, inputs }: Node): boolean {
  if (!ENDS_OF_PRODUCTS.has(opType)) return false;
  return inputs.some((value) => value?.producer && PRODUCTS.has(value.producer.opType) && value.uses.length === 1);
}

/**
 * The longest chain that a node begins: what reads its results, or what it reads, unless something outside would have to be computed between.
 * @param nodes the first of the chain and all nodes behind it, in an order in which they can be computed
 */
export function chainFrom(nodes: readonly Node[], { dims, axes }: Link, links: ReadonlyMap<Node, Link>): Chain {
  const [first] = nodes;
  const taken = new Set<Node>();
  const read = new Set<Value>();
  const made = new Set<Value>();
  /** What nodes outside make of the results of the chain. */
  const later = new Set<Value>();
  let least = axes;
  const fits = (node: Node): boolean => {
    const link = links.get(node);
    if (link === undefined || link.dims.join() !== dims.join()) return false;
    return sizeOf(dims.slice(0, Math.min(least, link.axes))) >= LEAST_ROWS;
  };
  for (const node of nodes) {
    const values = valuesReadBy(node);
    const isLater = values.some((value) => later.has(value));
    const follows = values.some((value) => made.has(value));
    const joins = node === first || follows || values.some((value) => read.has(value));
    if (joins && !isLater && fits(node)) {
      taken.add(node);
      least = Math.min(least, links.get(node)?.axes ?? 0);
      for (const value of node.outputs) if (value !== null) made.add(value);
      for (const value of values) if (axesShared(value, dims) === dims.length) read.add(value);
    } else if (isLater || follows) {
      for (const value of node.outputs) if (value !== null) later.add(value);
    }
  }
  const isResult = ({ uses }: Value): boolean => uses.some(({ user }) => !("opType" in user && taken.has(user)));
  return { nodes: [...taken], dims, axes: least, results: [...made].filter(isResult) };
}

/** The tensors that a chain reads: those that are cut with it, and those that all pieces read as they are. */
export function readBy({ nodes, dims, axes }: Chain): {
  readonly cut: readonly Value[];
  readonly whole: readonly Value[];
} {
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  const inputs = new Set(nodes.flatMap((node) => node.inputs.filter((value) => value !== null)));
  const values = [...inputs].filter((value) => !made.has(value));
  const isCut = (value: Value): boolean => axesShared(value, dims) >= axes;
  return { cut: values.filter(isCut), whole: values.filter((value) => !isCut(value)) };
}
