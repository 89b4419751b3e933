import { replaceNode } from "../edits/replace-node.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";
import { Builder } from "../ops/builder.ts";
import { constantOf } from "../ops/constants.ts";
import { Formula } from "../ops/formula.ts";
import { NodeView } from "../ops/node-view.ts";
import { alongAxis, quantizedRange } from "../ops/quantization.ts";
import { rankOf } from "../ops/value-types.ts";
import type { Skipped } from "./pass.ts";

const isOf = (node: Node, opType: string): boolean => node.domain === "" && node.opType === opType;

/** Whether a model has weights that are held as integers. */
export const hasQuantizedWeights = (model: Model): boolean =>
  [...walkGraphs(model.graph)].some((graph) => graph.nodes.some((node) => weightOf(node) !== null));

/** The constant that a DequantizeLinear makes real. */
function weightOf(node: Node): Tensor | null {
  const [held] = node.inputs;
  return isOf(node, "DequantizeLinear") && held ? constantOf(held) : null;
}

/** What became of the weights that were held as integers. */
export interface RestoredWeights {
  /** The names of the new parameters. */
  readonly restored: readonly string[];
  readonly left: readonly Skipped[];
}

/** The arrays of the integer types that weights are held in, and biases. */
const ZEROS = new Map<number, (size: number) => Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array>([
  [DataType.int8, (size) => new Int8Array(size)],
  [DataType.uint8, (size) => new Uint8Array(size)],
  [DataType.int16, (size) => new Int16Array(size)],
  [DataType.uint16, (size) => new Uint16Array(size)],
  [DataType.int32, (size) => new Int32Array(size)],
]);

/**
 * Makes weights that are held as integers real ones, which are quantized in the graph: they can be trained then. Those of 32 bits, biases, are
 * not quantized any more: their steps are too small to matter.
 */
export function restoreRealWeights(model: Model): RestoredWeights {
  const names = new Names(model);
  const made = new Map<Value, Value>();
  const left: Skipped[] = [];
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const [held] = node.inputs;
      const integers = weightOf(node);
      if (!held || integers === null) continue;
      const real = made.get(held) ?? realOf(node, integers);
      if (real === null) {
        left.push({
          at: held.name,
          reason: "it is held as integers in a form that is not known, by blocks or of 4 bits",
        });
        continue;
      }
      if (!made.has(held)) {
        real.name = names.fresh(held.name.replace(/[._](quantized|quant|q)$/, "") || held.name);
        model.graph.initializers.push(real);
        made.set(held, real);
      }
      if (integers.dtype === DataType.int32) {
        node.outputs[0]?.replaceAllUsesWith(real);
        graph.remove(node);
      } else quantizeBefore(model, graph, node, real, integers.dtype, names);
    }
    graph.replaceInitializers(graph.initializers.filter((value) => value.isUsed || !made.has(value)));
  }
  return { restored: [...made.values()].map(({ name }) => name), left };
}

function quantizeBefore(model: Model, graph: Graph, node: Node, real: Value, dtype: number, names: Names): void {
  const { attributes } = node;
  const [, scale = null] = node.inputs;
  const axis = attributes.get("axis");
  /** Without a zero point QuantizeLinear gives uint8. */
  const zero = node.inputs[2] ?? zeroPoint(model, scale, dtype, names.fresh(`${real.name}/zero_point`));
  const output = new Value(names.fresh(`${real.name}/quantized`));
  const name = names.fresh(`${real.name}/QuantizeLinear`);
  const own = axis === undefined ? [] : [axis];
  graph.insertBefore(node, new Node("QuantizeLinear", [real, scale, zero], [output], { name, attributes: own }));
  replaceNode(graph, node, { inputs: [output, scale, zero] });
}

function zeroPoint({ graph }: Model, scale: Value | null, dtype: number, name: string): Value | null {
  const dims = scale === null ? [] : (constantOf(scale)?.dims ?? []);
  const zeros = ZEROS.get(dtype)?.(dims.reduce((product, dim) => product * dim, 1));
  if (zeros === undefined || dtype === DataType.uint8) return null;
  const value = new Value(name, tensorType(dtype, dims));
  value.tensor = Tensor.from(dtype, dims, zeros);
  graph.initializers.push(value);
  return value;
}

/** (q - zero) scale; null where the scale is none of the usual. */
function realOf(node: Node, integers: Tensor): Value | null {
  const view = new NodeView(node);
  const [scale, zero] = [view.constant(1), view.constant(2)];
  const isBlocked = view.gives("block_size") && view.int("block_size") !== 0;
  if (!ZEROS.has(integers.dtype)) return null;
  if (scale === null || scale.dtype !== DataType.float || scale.dims.length > 1 || isBlocked) return null;
  const { dims } = integers;
  const axis = view.int("axis");
  const at = axis < 0 ? axis + dims.length : axis;
  const inner = dims.slice(at + 1).reduce((product, dim) => product * dim, 1);
  const place = (index: number, count: number): number =>
    count === 1 ? 0 : Math.floor(index / inner) % (dims[at] ?? 1);
  const numbers = (tensor: Tensor | null): readonly number[] => Array.from(tensor?.values() ?? [0], Number);
  const [scales, zeros] = [numbers(scale), numbers(zero)];
  const values = numbers(integers).map(
    (q, index) => (q - (zeros[place(index, zeros.length)] ?? 0)) * (scales[place(index, scales.length)] ?? Number.NaN),
  );
  const value = new Value("", tensorType(DataType.float, dims));
  value.tensor = Tensor.floats(dims, values);
  return value;
}

/** Makes each pair of QuantizeLinear and DequantizeLinear limit its input alone, without rounding. @returns how many */
export function withoutRounding(model: Model): number {
  const names = new Names(model);
  let count = 0;
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const quantizer = isOf(node, "DequantizeLinear") ? (node.inputs[0]?.producer ?? null) : null;
      const [real] = quantizer?.inputs ?? [];
      if (quantizer === null || !real) continue;
      if (isOf(quantizer, "DynamicQuantizeLinear")) {
        replaceNode(graph, node, { opType: "Identity", inputs: [real], attributes: [] });
        count++;
      }
      if (isOf(quantizer, "QuantizeLinear") && limit(graph, node, quantizer, real, model.opset, names)) count++;
    }
  }
  return count;
}

function limit(graph: Graph, node: Node, quantizer: Node, real: Value, opset: number, names: Names): boolean {
  const view = new NodeView(quantizer);
  const [range, rank, scale] = [quantizedRange(quantizer), rankOf(real), view.input(1)];
  if (range === null || rank === null) return false;
  const build = new Builder({ prefix: `${node.name || quantizer.name}/limits`, names });
  const f = new Formula(build, opset);
  const shaped = (value: Value): Value => {
    const shape = alongAxis(value, rank, view.int("axis"));
    return shape === null ? value : f.reshape(value, shape);
  };
  const zero = view.optional(2);
  const bound = (most: number): Value => {
    const steps = zero === null ? f.number(most) : f.sub(most, f.cast(shaped(zero), DataType.float));
    return f.mul(steps, shaped(scale));
  };
  const limited = f.min(f.max(real, bound(range[0])), bound(range[1]));
  graph.insertBefore(node, build.nodes);
  replaceNode(graph, node, { opType: "Identity", inputs: [limited], attributes: [] });
  return true;
}
