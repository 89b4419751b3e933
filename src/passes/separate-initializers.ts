import { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import type { Tensor } from "../graph/tensor.ts";

/**
 * Takes apart parameters that an exporter merged. PyTorch's exporter keeps one of several initializers of equal values, and lets an
 * Identity under the other's name stand for it: so all biases that begin at zero become one, and would be trained as one. Those
 * whose elements are all equal were merged by chance and get a tensor of their own again; others are taken for weights that
 * are tied on purpose.
 * @returns the names of the parameters that were taken apart
 */
export function separateInitializers({ graph }: Model): readonly string[] {
  const names: string[] = [];
  const [initializers, outputs] = [new Set(graph.initializers), new Set(graph.outputs)];
  const uniform = new Map<Tensor, boolean>();
  for (const node of graph) {
    const [input] = node.inputs;
    const [output] = node.outputs;
    if (node.domain !== "" || node.opType !== "Identity" || !input || !output) continue;
    const { tensor } = input;
    if (tensor === null || !initializers.has(input) || outputs.has(output)) continue;
    const isUniform = uniform.get(tensor) ?? holdsOneValue(tensor);
    uniform.set(tensor, isUniform);
    if (!isUniform) continue;
    const own = new Value(output.name, { kind: "tensor", dtype: tensor.dtype, shape: tensor.dims });
    own.tensor = tensor;
    output.replaceAllUsesWith(own);
    graph.remove(node);
    graph.initializers.push(own);
    initializers.add(own);
    names.push(own.name);
  }
  return names;
}

/** Inputs that are statistics of the node's own. */
const STATISTICS: ReadonlyMap<string, readonly (readonly [input: number, what: string])[]> = new Map([
  [
    "BatchNormalization",
    [
      [3, "running_mean"],
      [4, "running_var"],
    ],
  ],
]);

/**
 * Gives statistics a tensor of their own where something else reads the same one: tools that remove duplicates merge the zeros and ones
 * of a fresh model, and a scale would be renewed as the variance.
 * @returns the names of the statistics that were taken apart
 */
export function separateStatistics(model: Model): readonly string[] {
  const { graph } = model;
  const names = new Names(model);
  const initializers = new Set(graph.initializers);
  const made: string[] = [];
  for (const node of graph) {
    for (const [index, what] of (node.domain === "" ? STATISTICS.get(node.opType) : undefined) ?? []) {
      const shared = node.inputs[index];
      if (!shared?.tensor || !initializers.has(shared) || shared.uses.length === 1) continue;
      const own = new Value(names.fresh(`${shared.name}/${what}`), shared.type);
      own.tensor = shared.tensor;
      node.setInput(index, own);
      graph.initializers.push(own);
      made.push(own.name);
    }
  }
  return made;
}

function holdsOneValue(tensor: Tensor): boolean {
  const values = tensor.values();
  return values.every((value: number | bigint) => value === values[0]);
}
