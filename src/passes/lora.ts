import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { jsonMetadata, wrongMetadata } from "../edits/json-metadata.ts";
import { GraphError, PassError, requireOption } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";
import { Builder } from "../ops/builder.ts";
import { Formula } from "../ops/formula.ts";
import { nameMatcher } from "../ops/name-globs.ts";
import { NodeView } from "../ops/node-view.ts";

/** Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): y = x W + alpha / rank (x A) B, where only A and B are trained. */
export interface LoraOptions {
  readonly rank: number;
  /** Globs of the weights that get adapters: matrices that a MatMul or Gemm multiplies by. */
  readonly targets: readonly string[];
  /** Default: the rank, so that the scale is 1. */
  readonly alpha?: number;
  /** Seed of A, which begins uniform within 1 / sqrt(fan in); B begins at zero. Default 0. */
  readonly seed?: number;
}

/** How a product uses a weight: as it is [in, out], or turned [out, in]. */
interface Target {
  readonly weight: Value;
  readonly product: Node;
  readonly isTurned: boolean;
}

/** What a model's metadata say of one adapter. */
interface Adapter {
  readonly weight: string;
  readonly a: string;
  readonly b: string;
  readonly scale: number;
  readonly isTurned: boolean;
  /** The nodes' outputs before and after the adapter was added. */
  readonly from: string;
  readonly to: string;
}

const LORA_METADATA = "onnx-agr.lora";

/**
 * Adds adapters to a forward model.
 * @returns the names of the new parameters
 * @throws UsageError `E_OPTION`; PassError `E_NO_PARAMETERS` where no weight is a target
 */
export function addLora(model: Model, { rank, targets, alpha = rank, seed = 0 }: LoraOptions): readonly string[] {
  requireOption(Number.isSafeInteger(rank) && rank >= 1, "lora rank", "a whole number from 1 on");
  requireOption(Number.isFinite(alpha) && alpha > 0, "lora alpha", "a number above 0");
  const { graph } = model;
  const isTarget = nameMatcher(targets, "target");
  const found = productsOf(graph).filter(({ weight }) => isTarget(weight.name));
  if (found.length === 0) {
    const all = [...new Set(productsOf(graph).map(({ weight }) => weight.name))];
    throw new PassError(
      "E_NO_PARAMETERS",
      `no weight of a MatMul or Gemm is named like ${targets.join(", ") || "nothing"}`,
      {
        field: "target",
        hint: `There is ${all.slice(0, 10).join(", ")}${all.length > 10 ? ", ..." : ""}.`,
      },
    );
  }
  const names = new Names(model);
  const adapters: Adapter[] = [];
  const parameters = new Map<Value, { readonly a: Value; readonly b: Value }>();
  const random = xoroshiro128plus(seed);
  const parameter = (name: string, dims: readonly number[], fill: () => number): Value => {
    const value = new Value(names.fresh(name), tensorType(DataType.float, dims));
    const size = dims.reduce((product, dim) => product * dim, 1);
    value.tensor = Tensor.from(DataType.float, dims, Float32Array.from({ length: size }, fill));
    graph.initializers.push(value);
    return value;
  };
  for (const target of found) {
    const { weight, isTurned } = target;
    const [rows = 1, columns = 1] = weight.tensor?.dims ?? [];
    const [inputs, outputs] = isTurned ? [columns, rows] : [rows, columns];
    const own = parameters.get(weight) ?? {
      a: parameter(`${weight.name}.lora_A`, [inputs, rank], () => (2 * uniformFloat32(random) - 1) / Math.sqrt(inputs)),
      b: parameter(`${weight.name}.lora_B`, [rank, outputs], () => 0),
    };
    parameters.set(weight, own);
    adapters.push(adapt(model, target, own, alpha / rank, names));
  }
  model.metadata.set(LORA_METADATA, JSON.stringify(adapters));
  return [...parameters.values()].flatMap(({ a, b }) => [a.name, b.name]);
}

/** Products of an activation with a matrix that is an initializer, directly or turned round first. */
function productsOf(graph: Graph): readonly Target[] {
  const matrices = new Set(
    graph.initializers.filter(({ tensor }) => tensor?.dims.length === 2 && tensor.dtype === DataType.float),
  );
  return graph.nodes.flatMap((node): readonly Target[] => {
    const [, second] = node.inputs;
    if (node.domain !== "" || (node.opType !== "MatMul" && node.opType !== "Gemm") || !second) return [];
    const isSimple = node.opType === "MatMul" || new NodeView(node).int("transA") === 0;
    if (!isSimple) return [];
    const transB = node.opType === "Gemm" && new NodeView(node).int("transB") === 1;
    if (matrices.has(second)) return [{ weight: second, product: node, isTurned: transB }];
    const { producer } = second;
    const turned = producer?.opType === "Transpose" ? producer.inputs[0] : null;
    return turned && matrices.has(turned) ? [{ weight: turned, product: node, isTurned: !transB }] : [];
  });
}

function adapt(
  model: Model,
  { weight, product, isTurned }: Target,
  { a, b }: { readonly a: Value; readonly b: Value },
  scale: number,
  names: Names,
): Adapter {
  const { graph } = model;
  const [x, output] = [product.inputs[0], product.outputs[0]];
  if (!x || !output) throw new GraphError("E_GRAPH", `the product with "${weight.name}" has no input or no output`);
  const build = new Builder({ prefix: `${weight.name}/lora`, names });
  const f = new Formula(build, model.opset);
  const factor = scale * (product.opType === "Gemm" ? new NodeView(product).float("alpha") : 1);
  const readers = output.uses;
  const change = f.mul(f.matmul(f.matmul(x, a), b), factor);
  const added = f.emit("Add", [output, change]);
  added.type = output.type;
  for (const { user, index } of readers) {
    if (user instanceof Node) user.setInput(index, added);
    else user.setOutput(index, added);
  }
  const after = graph.nodeAfter(product);
  if (after === null) graph.append(build.nodes);
  else graph.insertBefore(after, build.nodes);
  if (graph.outputs.includes(added)) {
    const name = output.name;
    output.name = names.fresh(`${name}/base`);
    added.name = name;
  }
  return { weight: weight.name, a: a.name, b: b.name, scale, isTurned, from: output.name, to: added.name };
}

/**
 * Merges adapters into their weights, and takes them out of the graph.
 * @param weights of the model, adapters among them
 * @returns the weights without the adapters; the same where there are none
 * @throws GraphError `E_RECORD` where the graph was changed since
 */
export function mergeLora(model: Model, weights: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const adapters = jsonMetadata(model, LORA_METADATA);
  if (adapters === undefined) return weights;
  if (!Array.isArray(adapters) || !adapters.every(isAdapter))
    throw wrongMetadata(LORA_METADATA, "is no list of adapters");
  const { graph } = model;
  const values = new Map(
    graph.nodes.flatMap(({ outputs }) =>
      outputs.flatMap((each) => (each === null ? [] : [[each.name, each] as const])),
    ),
  );
  const merged = new Map(weights);
  const done = new Set<string>();
  for (const { weight, a, b, scale, isTurned, from, to } of adapters) {
    const [before, after] = [values.get(from), values.get(to)];
    const [held, low, high] = [weights.get(weight), weights.get(a), weights.get(b)];
    if (!before || !after || !held || !low || !high) {
      throw new GraphError("E_RECORD", `the adapter of "${weight}" is not in the graph as it was written`, {
        field: `metadata_props.${LORA_METADATA}`,
        hint: "Build the artifacts again.",
      });
    }
    const isOutput = graph.outputs.includes(after);
    after.replaceAllUsesWith(before);
    if (isOutput) [before.name, after.name] = [after.name, before.name];
    if (!done.has(weight)) merged.set(weight, sumOf(held, low, high, scale, isTurned));
    done.add(weight);
    merged.delete(a);
    merged.delete(b);
  }
  return merged;
}

function isAdapter(value: unknown): value is Adapter {
  const { weight, a, b, scale, isTurned, from, to } = (value ?? {}) as Partial<Record<keyof Adapter, unknown>>;
  const isNamed = [weight, a, b, from, to].every((name) => typeof name === "string");
  return isNamed && Number.isFinite(scale) && typeof isTurned === "boolean";
}

/** W + scale A B, turned where the weight is. */
function sumOf(weight: Tensor, a: Tensor, b: Tensor, scale: number, isTurned: boolean): Tensor {
  const [inputs = 0, rank = 0] = a.dims;
  const [, outputs = 0] = b.dims;
  const [low, high] = [a.floatValues(), b.floatValues()];
  const values = Float32Array.from(weight.floatValues());
  for (let row = 0; row < inputs; row++) {
    for (let column = 0; column < outputs; column++) {
      let sum = 0;
      for (let at = 0; at < rank; at++) sum += (low[row * rank + at] ?? 0) * (high[at * outputs + column] ?? 0);
      const place = isTurned ? column * inputs + row : row * outputs + column;
      values[place] = (values[place] ?? 0) + scale * sum;
    }
  }
  return Tensor.from(DataType.float, weight.dims, values);
}
