import { CONSTANT_USES, isBias } from "../analysis/parameters/constant-uses.ts";
import { isUniform } from "../analysis/parameters/contents.ts";
import { type Reading, readingsOf } from "../analysis/parameters/readings.ts";
import { DataType, isGradientType } from "../graph/data-type.ts";
import { type Graph, type Node, Value } from "../graph/graph.ts";
import { type Model, subgraphsOf, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";
import { hasProgram } from "./exported-program/program.ts";

/** Inputs that are weights even where they have one element. */
const WEIGHTS: Readonly<Record<string, readonly number[]>> = {
  ...{ MatMul: [0, 1], Gemm: [1, 2], Conv: [1, 2], ConvTranspose: [1, 2], PRelu: [1] },
  ...{ BatchNormalization: [1, 2, 3, 4], InstanceNormalization: [1, 2], LayerNormalization: [1, 2] },
  ...{ GroupNormalization: [1, 2], RMSNormalization: [1], LSTM: [1, 2, 3, 7], GRU: [1, 2, 3], RNN: [1, 2, 3] },
};

/** How many axes a weight has where numbers of the program may stand as well. */
const TRACED_RANKS: Readonly<Record<string, number>> = { MatMul: 2, Add: 1, Sub: 1 };

/**
 * Makes the weights of a model initializers of its graph with their elements in `raw_data`: those in Constant nodes, those in typed
 * fields, and those in graphs inside nodes.
 * @returns how many were in nodes or branches
 */
export function liftWeights(model: Model): number {
  const { graph } = model;
  const isWeight = isTraced(model) ? isTracedWeight : isAnyWeight;
  const lifted = liftFrom(graph, graph, { namer: new Namer(model), isWeight });
  for (const value of graph.initializers) {
    if (isGradientType(value.tensor?.dtype ?? DataType.undefined)) value.tensor = value.tensor?.repacked() ?? null;
  }
  return lifted;
}

interface Lifting {
  readonly namer: Namer;
  readonly isWeight: (tensor: Tensor, readings: readonly Reading[]) => boolean;
}

/** PyTorch's tracing exporter writes parameters as initializers; beside them, Constant nodes are numbers, masks and positions of the program. */
function isTraced({ producerName, graph }: Model): boolean {
  return (
    producerName === "pytorch" &&
    !hasProgram(graph) &&
    graph.initializers.some(({ tensor }) => tensor !== null && tensor.size > 1 && isGradientType(tensor.dtype))
  );
}

function liftFrom(inner: Graph, graph: Graph, lifting: Lifting): number {
  const { namer } = lifting;
  let count = 0;
  if (inner !== graph) {
    const held = inner.initializers.filter(({ tensor }) => tensor !== null && isGradientType(tensor.dtype));
    inner.replaceInitializers(inner.initializers.filter((value) => !held.includes(value)));
    for (const value of held) {
      value.name = namer.own(value.name);
      graph.initializers.push(value);
    }
    count += held.length;
  }
  for (const node of inner.nodes) {
    const value = weightOf(node, inner, lifting);
    if (value !== null) {
      node.outputs[0]?.replaceAllUsesWith(value);
      value.name = namer.own(value.name);
      inner.remove(node);
      graph.initializers.push(value);
      count++;
    } else {
      for (const branch of subgraphsOf(node)) count += liftFrom(branch, graph, lifting);
    }
  }
  return count;
}

/** The initializer that a Constant node should be; null for a constant of the program. */
function weightOf(node: Node, graph: Graph, { isWeight }: Lifting): Value | null {
  const [output] = node.outputs;
  if (node.domain !== "" || node.opType !== "Constant" || !output || graph.outputs.includes(output)) return null;
  const tensor = tensorOf(node);
  if (tensor === null || tensor.size === 0 || !isGradientType(tensor.dtype)) return null;
  if (!isWeight(tensor, readingsOf(output))) return null;
  const value = new Value(output.name, tensorType(tensor.dtype, tensor.dims));
  value.tensor = tensor;
  return value;
}

const isAnyWeight: Lifting["isWeight"] = ({ size }, readings) =>
  size > 1 ? readings.some((reading) => !isToldByOperator(reading)) : readings.some(isSlot);

/** A module that was frozen before it was traced has its weights in Constant nodes; ones and zeros stand for those that a layer has not. */
const isTracedWeight: Lifting["isWeight"] = (tensor, readings) => {
  const rank = tensor.dims.length;
  const isHere = readings.some((reading) => isSlot(reading) && rank === (TRACED_RANKS[reading.node.opType] ?? rank));
  return isHere && !isUniform(tensor);
};

function tensorOf({ attributes }: Node): Tensor | null {
  const [value, floats] = [attributes.get("value"), attributes.get("value_floats")];
  if (value?.kind === "tensor") return value.value.tensor;
  return floats?.kind === "floats" ? Tensor.floats([floats.value.length], floats.value) : null;
}

const isSlot = ({ node, index, value }: Reading): boolean =>
  (Object.hasOwn(WEIGHTS, node.opType) && WEIGHTS[node.opType]?.includes(index) === true) ||
  isBias({ node, index, value });

const isToldByOperator = ({ node, index }: Reading): boolean =>
  CONSTANT_USES.some(
    ({ operators, inputs, when }) =>
      when === undefined &&
      operators.some((op) => op === node.opType) &&
      (inputs === undefined || inputs.includes(index)),
  );

/** Branches may call different values by one name, which two initializers may not. */
class Namer {
  readonly #names: Names;
  readonly #counts = new Map<string, number>();

  constructor(model: Model) {
    this.#names = new Names(model);
    for (const graph of walkGraphs(model.graph)) {
      const made = graph.nodes.flatMap(({ outputs }) => outputs.filter((output) => output !== null));
      for (const { name } of [...graph.initializers, ...made]) {
        this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
      }
    }
  }

  own = (name: string): string => ((this.#counts.get(name) ?? 0) > 1 ? this.#names.fresh(name) : name);
}
