import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { constantOf } from "../ops/constants.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { Formula } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/** A product of matrices that is multiplied or divided by a power of two. */
export interface ScaledProduct {
  readonly operator: "Mul" | "Div";
  readonly factor: Value;
  readonly operands: readonly [Value, Value];
  /** Which of the operands is to be scaled. */
  readonly index: 0 | 1;
  /** How many numbers it has. */
  readonly operandSize: number;
  readonly resultSize: number;
}

/**
 * Scales an operand in the place of a product, where that has fewer numbers. By powers of two alone: nothing is rounded by them, so the numbers
 * are the same bit for bit unless they are all but too large or too small for float32. Changes the model.
 * @param pays decides for which products this is done
 * @returns for how many it is
 */
export function scaleOperands(model: Model, pays: typeof costsLess = costsLess): number {
  const { graph } = model;
  inferTypes(model);
  const names = new Names(model);
  let count = 0;
  for (const node of graph.nodes) {
    const found = scaledProduct(node, graph);
    if (found === null || !pays(found)) continue;
    const lower = (f: Formula): readonly Value[] => [productOfScaled(f, found)];
    replaceByParts(graph, new Call(node), { lower }, { names, opset: model.opset, isInput: () => false });
    count += 1;
  }
  if (count > 0) removeDeadNodes(graph);
  return count;
}

function productOfScaled(f: Formula, { operator, factor, operands: [a, b], index }: ScaledProduct): Value {
  const scaled = f.emit(operator, [index === 0 ? a : b, factor]);
  return index === 0 ? f.matmul(scaled, b) : f.matmul(a, scaled);
}

function scaledProduct(
  { domain, opType, inputs: [x, factor], outputs: [result] }: Node,
  graph: Graph,
): ScaledProduct | null {
  if (domain !== "" || !(opType === "Mul" || opType === "Div") || !x || !factor || !result) return null;
  const product = x.producer;
  const [a, b] = product?.domain === "" && product.opType === "MatMul" ? product.inputs : [];
  if (!a || !b || product?.graph !== graph || !isReadOnce(x) || !isPowerOfTwo(factor)) return null;
  const [resultSize, ...sizes] = [result, a, b].map(sizeOf);
  if (elementTypeOf(result) !== DataType.float || resultSize === null || resultSize === undefined) return null;
  /** ONNX Runtime takes a transposition into the product, and not one that is scaled first. */
  const isFree = (value: Value): boolean => value.producer?.opType !== "Transpose" && !constantOf(value);
  const [sizeOfA, sizeOfB] = [a, b].map((value, at) => (isFree(value) ? (sizes[at] ?? Infinity) : Infinity));
  if (sizeOfA === undefined || sizeOfB === undefined) return null;
  const index = sizeOfA <= sizeOfB ? 0 : 1;
  return {
    ...{ operator: opType, factor, operands: [a, b], index, resultSize },
    operandSize: Math.min(sizeOfA, sizeOfB),
  };
}

const isReadOnce = ({ uses }: Value): boolean => uses.length === 1 && uses[0]?.user instanceof Node;

function isPowerOfTwo(value: Value): boolean {
  const held = constantOf(value);
  if (held?.dims.length !== 0 || held.dtype !== DataType.float) return false;
  const exponent = Math.log2(Number(held.values()[0]));
  return Number.isInteger(exponent) && Math.abs(exponent) <= LARGEST_EXPONENT;
}

function sizeOf(value: Value): number | null {
  const dims = known(dimsOf(value));
  return dims === null ? null : dims.reduce((all, size) => all * size, 1);
}

/** Beyond it a scaled operand is soon too large or too small for float32. */
const LARGEST_EXPONENT = 8;

/** From how many numbers on a pass over a product takes longer than the nodes around one. */
const FEWEST_NUMBERS = 2 ** 18;

const costsLess = ({ operandSize, resultSize }: ScaledProduct): boolean =>
  resultSize >= FEWEST_NUMBERS && 2 * operandSize <= resultSize;
