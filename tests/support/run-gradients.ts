import { InferenceSession, Tensor } from "onnxruntime-node";
import { DataType, encodeModel, GraphTensor, type Model, Node, Value, type ValueType } from "../../src/index.ts";

export interface Gradient {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/**
 * Runs what was inserted before a sequence optimizer in stock ONNX Runtime. Its Node binding takes tensors only, so the
 * sequence `gradients` is put together in the graph, the optimizer is cut off, and what it would have read is taken apart.
 */
export async function runInsertedGradients(model: Model, gradients: readonly Gradient[]): Promise<Float32Array[]> {
  const { graph } = model;
  const sequence = graph.inputs.find(({ name }) => name === "gradients");
  const optimizer = graph.nodes.find(({ domain, opType }) => domain === "com.microsoft" && /Optimizer/.test(opType));
  if (sequence === undefined || optimizer === undefined) throw new Error("not an optimizer model");
  const regularized = optimizer.inputs.find((value) => value?.name.startsWith("onnx-agr/")) ?? sequence;
  const type: ValueType = { kind: "tensor", dtype: DataType.float, shape: null };
  const inputs = gradients.map((_, index) => new Value(`g${index}`, type));
  const built = new Value("gradient_sequence");
  const [first] = graph.nodes;
  if (first !== undefined) graph.insertBefore(first, new Node("SequenceConstruct", inputs, [built]));
  sequence.replaceAllUsesWith(built);
  const outputs = gradients.map((_, index) => {
    const position = new Value(`position${index}`);
    position.tensor = GraphTensor.scalar(DataType.int64, index);
    graph.initializers.push(position);
    const output = new Value(`out${index}`, type);
    graph.insertBefore(
      optimizer,
      new Node("SequenceAt", [regularized === sequence ? built : regularized, position], [output]),
    );
    return output;
  });
  for (const [index, value] of graph.outputs.entries()) {
    const [replacement = value] = outputs;
    graph.setOutput(index, replacement);
  }
  for (const output of outputs.slice(1)) graph.addOutput(output);
  graph.remove(optimizer);
  graph.inputs.splice(0, graph.inputs.length, ...inputs);
  const session = await InferenceSession.create(encodeModel(model), { logSeverityLevel: 3 });
  const feeds = Object.fromEntries(
    gradients.map(({ shape, values }, index) => [
      `g${index}`,
      new Tensor("float32", Float32Array.from(values), [...shape]),
    ]),
  );
  const results = await session.run(feeds);
  await session.release();
  return outputs.map(({ name }) => results[name]?.data as Float32Array);
}
