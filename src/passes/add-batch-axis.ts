import { type Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";

/**
 * Gives a model of one sample without a batch axis such an axis, of size 1, as data have it: its inputs are vectors of fixed sizes, and no
 * output begins with one of these, so that none of them can count samples. Scalars and outputs that begin with an axis of size 1 stay.
 * @returns the inputs, as the model had them; empty for other models
 */
export function addBatchAxis(model: Model): readonly string[] {
  const { graph } = model;
  if (!takesOneSample(graph)) return [];
  const names = new Names(model);
  const [first] = graph.nodes;
  if (first === undefined) return [];
  const axis = new Value(names.fresh("batch/axis"), tensorType(Tensor.ints([0]).dtype, [1]));
  axis.tensor = Tensor.ints([0]);
  graph.initializers.push(axis);
  const told = graph.inputs.map(({ name, type }) => `"${name}" [${sizesOf(type)}]`);
  for (const input of graph.inputs) {
    const sample = new Value(names.fresh(`${input.name}/sample`), input.type);
    input.replaceAllUsesWith(sample);
    input.type = batched(input.type);
    graph.insertBefore(
      first,
      new Node("Squeeze", [input, axis], [sample], { name: names.fresh(`${input.name}/Squeeze`) }),
    );
  }
  const outputs = graph.outputs.map((output) => {
    const [size, ...others] = sizesOf(output.type) ?? [];
    if (size === undefined || (size === 1 && others.length > 0)) return output;
    const batch = new Value(output.name, batched(output.type));
    output.name = names.fresh(`${output.name}/sample`);
    graph.append(new Node("Unsqueeze", [output, axis], [batch], { name: names.fresh(`${batch.name}/Unsqueeze`) }));
    return batch;
  });
  graph.replaceOutputs(outputs);
  return told;
}

function takesOneSample({ inputs, outputs }: Graph): boolean {
  const sizes = (values: readonly Value[]) => values.map(({ type }) => sizesOf(type));
  const lengths = new Set<unknown>(sizes(inputs).map((taken) => (taken?.length === 1 ? taken[0] : null)));
  const isVectors = lengths.size > 0 && [...lengths].every((length) => typeof length === "number" && length > 1);
  return isVectors && sizes(outputs).every((given) => given !== null && !lengths.has(given[0]));
}

/** The sizes of a tensor where all are fixed. */
function sizesOf(type: Value["type"]): readonly number[] | null {
  if (type?.kind !== "tensor") return null;
  const sizes = type.shape?.filter((dim) => typeof dim === "number");
  return sizes !== undefined && sizes.length === type.shape?.length ? sizes : null;
}

const batched = (type: Value["type"]): Value["type"] =>
  type?.kind === "tensor" ? { ...type, shape: [1, ...(type.shape ?? [])] } : type;
