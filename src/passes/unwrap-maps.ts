import { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";

const ML = "ai.onnx.ml";

/**
 * Gives, in the place of outputs that ZipMap makes lists of maps of, the tensors that are in them: what converters of
 * scikit-learn put around probabilities.
 * @returns the names of those outputs
 */
export function unwrapMaps(model: Model): readonly string[] {
  const { graph } = model;
  const names = new Names(model);
  const unwrapped: string[] = [];
  const outputs = graph.outputs.map((output) => {
    const maker = output.producer;
    const [inner] = maker?.inputs ?? [];
    if (maker?.domain !== ML || maker.opType !== "ZipMap" || !inner) return output;
    const tensor = new Value(output.name, inner.type);
    output.name = names.fresh(`${output.name}/maps`);
    graph.append(new Node("Identity", [inner], [tensor], { name: names.fresh(`${tensor.name}/Identity`) }));
    unwrapped.push(tensor.name);
    return tensor;
  });
  graph.replaceOutputs(outputs);
  return unwrapped;
}
