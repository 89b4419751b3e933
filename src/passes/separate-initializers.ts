import { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
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

function holdsOneValue(tensor: Tensor): boolean {
  const values = tensor.values();
  return values.every((value: number | bigint) => value === values[0]);
}
