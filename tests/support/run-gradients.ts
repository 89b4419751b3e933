import { Tensor } from "onnxruntime-node";
import { attribute, DataType, encodeModel, GraphTensor, Node, Value, type ValueType } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { openSession } from "./ort.ts";

export interface Gradient {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

const FLOAT: ValueType = { kind: "tensor", dtype: DataType.float, shape: null };

/**
 * Runs what was inserted before a sequence optimizer in stock ONNX Runtime. Its Node binding takes tensors only, so the
 * sequence `gradients` is put together in the graph, the optimizer is cut off, and what it would have read is taken apart.
 * @param dtype of the sequence; in and out it is float32
 */
export async function runInsertedGradients(
  model: Model,
  gradients: readonly Gradient[],
  dtype: number = DataType.float,
): Promise<Float32Array[]> {
  const { graph } = model;
  const [first] = graph.nodes;
  const sequence = graph.inputs.find(({ name }) => name === "gradients");
  const optimizer = graph.nodes.find(({ domain, opType }) => domain === "com.microsoft" && /Optimizer/.test(opType));
  const regularized = optimizer?.inputs.find((value) => value?.name.startsWith("onnx-agr/"));
  if (first === undefined || sequence === undefined || optimizer === undefined || !regularized) {
    throw new Error("not an optimizer model with AGR");
  }
  const cast = (from: Value, to: Value, type: number): Node =>
    new Node("Cast", [from], [to], { attributes: [attribute.int("to", type)] });
  const inputs = gradients.map((_, index) => new Value(`g${index}`, FLOAT));
  const elements = inputs.map(({ name }) => new Value(`${name}_element`));
  const built = new Value("gradient_sequence");
  graph.insertBefore(
    first,
    ...inputs.map((input, index) => cast(input, elements[index] ?? input, dtype)),
    new Node("SequenceConstruct", elements, [built]),
  );
  sequence.replaceAllUsesWith(built);
  const outputs = gradients.map((_, index) => {
    const position = new Value(`position${index}`);
    position.tensor = GraphTensor.scalar(DataType.int64, index);
    graph.initializers.push(position);
    const [element, output] = [new Value(`out${index}_element`), new Value(`out${index}`, FLOAT)];
    graph.insertBefore(
      optimizer,
      new Node("SequenceAt", [regularized, position], [element]),
      cast(element, output, DataType.float),
    );
    return output;
  });
  for (const [index, output] of outputs.entries()) {
    if (index < graph.outputs.length) graph.setOutput(index, output);
    else graph.addOutput(output);
  }
  graph.remove(optimizer);
  graph.inputs.splice(0, graph.inputs.length, ...inputs);
  const session = await openSession(encodeModel(model));
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
