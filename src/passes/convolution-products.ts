import { unknownAttribute } from "../autodiff/attributes.ts";
import { depthwiseByMatrices, matricesCostLess } from "../autodiff/formulas/depthwise.ts";
import { pooledConvolution, pooledCostsLess } from "../autodiff/formulas/pooled-convolution.ts";
import { outputSizes, placesOf, type Window, windowOf } from "../autodiff/formulas/window.ts";
import { winograd, winogradCostsLess } from "../autodiff/formulas/winograd.ts";
import { DataType } from "../graph/data-type.ts";
import { Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { Formula } from "../ops/formula.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/**
 * Writes convolutions in other ways where these cost ONNX Runtime's CPU provider less, forward and with them backward: depthwise ones
 * over small planes and wide ones of 3x3 as matrix products, those of pictures together with the pool behind them. A
 * convolution that is left without a use stays for whoever removes dead nodes.
 * @param types has seen the graph; sees every node that is made
 * @param allowsWinograd whether those may be that round more than sums do
 * @returns how many there were of each
 */
export function writeConvolutionProducts(
  model: Model,
  types: TypeInference,
  allowsWinograd = true,
): Readonly<Record<Algorithm, number>> {
  const { graph } = model;
  const names = new Names(model);
  const counts = { depthwise: 0, winograd: 0, pooled: 0 };
  for (const node of graph) {
    const product = node.domain === "" && node.opType === "Conv" ? productOf(node) : null;
    if (product === null || (product.algorithm === "winograd" && !allowsWinograd)) continue;
    counts[product.algorithm] += 1;
    const options = { names, opset: model.opset, isInput: () => false };
    replaceByParts(
      graph,
      new Call(product.replaced),
      { lower: (f) => [product.write(f)] },
      { ...options, onEmit: (made) => types.node(made) },
    );
  }
  return counts;
}

/** What is said of products that round more than the sums in whose place they are. */
export function notesOfProducts({ winograd: count }: Readonly<Record<Algorithm, number>>): readonly string[] {
  if (count === 0) return [];
  const what = count === 1 ? "one 3x3 convolution is" : `${count} 3x3 convolutions are`;
  return [
    `${what} Winograd's products in training: they cost less, and round to 2e-6 of the largest result where sums round to 4e-7; --no-winograd (winograd: false) keeps the sums`,
  ];
}

type Algorithm = "depthwise" | "winograd" | "pooled";

/**
 * Whether a bias that begins as zeros is added. Where the image is zero around a pixel, the sum is zero, which is where ReLU has its kink. By
 * Winograd's products it is some 1e-8, half of the times above zero, and such pixels would come into the bias's gradient.
 */
function isShiftedByZeros({ inputs: [, , bias], outputs: [result] }: Node): boolean {
  const sums = (result?.uses ?? []).flatMap(({ user }) =>
    user instanceof Node && user.opType === "Add" ? [user] : [],
  );
  return [bias, ...sums.flatMap(({ inputs }) => inputs)].some((value) => value != null && isZeros(value));
}

function isZeros({ producer, tensor }: Value): boolean {
  /** Mixed precision rounds what is given to a convolution. */
  const rounded = producer?.opType === "Cast" ? producer.inputs[0] : null;
  if (rounded) return isZeros(rounded);
  return tensor?.values().every((value: number | bigint) => value === 0) ?? false;
}

interface Product {
  readonly algorithm: Algorithm;
  /** The node whose result it gives. */
  readonly replaced: Node;
  readonly write: (f: Formula) => Value;
}

function productOf(node: Node): Product | null {
  /** Attributes that are not known are refused where the gradient is taken. */
  if (unknownAttribute(node) !== null) return null;
  const call = new Call(node);
  const [image, dims] = [dimsOf(call.input(0)), known(dimsOf(call.input(1)))];
  const spatial = known(image?.slice(2) ?? null);
  if (image === null || dims === null || spatial === null) return null;
  const [outputs = 0, perGroup = 0, ...kernel] = dims;
  const [size = null, channels] = image;
  const group = call.int("group");
  if (channels !== perGroup * group) return null;
  const batch = typeof size === "number" ? size : null;
  const operands = { x: call.input(0), weight: call.input(1), bias: call.optional(2) };
  if (group === 1 && kernel.length === 2 && elementTypeOf(operands.x) === DataType.float) {
    const convolution = { window: windowOf(call, kernel, spatial), channels, outputs, spatial };
    const behind = poolBehind(node, convolution.window, spatial);
    if (behind !== null && pooledCostsLess({ ...convolution, ...behind })) {
      const pooled = (f: Formula): Value => pooledConvolution(f, { ...convolution, ...behind }, operands);
      const write = behind.isRectified ? (f: Formula): Value => f.emit("Relu", [pooled(f)]) : pooled;
      return { algorithm: "pooled", replaced: behind.pool, write };
    }
    if (kernel.join() !== "3,3" || isShiftedByZeros(node) || !winogradCostsLess({ ...convolution, batch })) return null;
    return { algorithm: "winograd", replaced: node, write: (f) => winograd(f, { ...convolution, ...operands }) };
  }
  if (perGroup !== 1 || group !== outputs || group === 1) return null;
  const window = windowOf(call, kernel, spatial);
  if (!matricesCostLess(window, spatial, batch)) return null;
  const write = (f: Formula): Value => depthwiseByMatrices(f, { window, channels, spatial, ...operands });
  return { algorithm: "depthwise", replaced: node, write };
}

/** Larger pools stay as they are. */
const MOST_PLACES = 64;

interface Pooled {
  readonly pool: Node;
  /** Width of its windows, which are squares side by side and cover all results. */
  readonly block: number;
  /** Whether a Relu lies between: it may lie behind the pool as well, since it keeps the order of numbers. */
  readonly isRectified: boolean;
}

/** The max pool that alone reads a convolution of stride 1, or its Relu. */
function poolBehind(convolution: Node, window: Window, spatial: readonly number[]): Pooled | null {
  const next = onlyReader(convolution);
  const isRectified = next?.opType === "Relu";
  const pool = isRectified ? onlyReader(next) : next;
  if (pool?.opType !== "MaxPool" || pool.outputs.length !== 1 || unknownAttribute(pool) !== null) return null;
  const call = new Call(pool);
  const areAll = (sizes: readonly number[], size: number): boolean => sizes.every((each) => each === size);
  const [block = 0, ...others] = call.ints("kernel_shape") ?? [];
  if (!areAll(others, block) || placesOf([block, ...others]) > MOST_PLACES) return null;
  const results = outputSizes(window, spatial);
  const { kernel, strides, dilations, begin, end } = windowOf(call, null, results);
  const isPlain = areAll([...window.strides, ...window.dilations, ...dilations], 1) && areAll([...begin, ...end], 0);
  const isTiling = block > 1 && areAll([...kernel, ...strides], block);
  if (!isPlain || !isTiling || results.some((size) => size < block || size % block !== 0)) return null;
  return { pool, block, isRectified };
}

/** The node that alone reads the first result of a node, by an operator of ONNX's own; null where others do, or it is an output. */
function onlyReader({ outputs: [value] }: Node): Node | null {
  const [use, ...others] = value?.uses ?? [];
  return others.length === 0 && use?.user instanceof Node && use.user.domain === "" ? use.user : null;
}
