import { expect } from "vitest";
import { float } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { encodeModel, type GraphTensor } from "../../src/entries/graph.ts";
import { type Model, Tensor } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

export type Results = Readonly<Record<string, readonly number[]>>;

/**
 * What a layer of "x", "w" and "b" gives to the Sin behind it, the loss, and its gradients.
 * @param rewrite runs a pass on the model
 * @param image fed where "x" is an input
 */
export async function layerResults(
  net: Model,
  image: GraphTensor,
  rewrite: (types: ReturnType<typeof inferTypes>) => void,
): Promise<Results> {
  const { graph } = net;
  const types = inferTypes(net);
  rewrite(types);
  const [loss] = graph.outputs;
  const y = graph.nodes.find(({ opType }) => opType === "Sin")?.inputs[0];
  if (loss === undefined || !y) throw new Error("no loss");
  const wanted = [...graph.inputs, ...graph.initializers].filter(({ name }) => ["x", "w", "b"].includes(name));
  for (const [value, gradient] of addGradients(net, loss, wanted, types)) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  y.type = float(image.dims.map((_, axis) => `size${axis}`));
  graph.addOutput(y);
  removeDeadNodes(graph);
  const session = await openSession(encodeModel(net));
  const feeds = { x: new Tensor("float32", image.values() as Float32Array, [...image.dims]) };
  const results = await session.run(graph.inputs.length > 0 ? feeds : {});
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, valuesOf(tensor)]));
}

/** The loss is a sum of terms of both signs, and all else is compared element by element. */
export function expectAlike(actual: Results, expected: Results): void {
  for (const [name, values] of Object.entries(expected).filter(([each]) => each !== "loss")) {
    const own = actual[name] ?? [];
    expect(own).toHaveLength(values.length);
    const scale = Math.max(...values.map(Math.abs));
    const largest = Math.max(...own.map((value, index) => Math.abs(value - (values[index] ?? Number.NaN))));
    expect(largest / scale, name).toBeLessThan(2e-6);
  }
}
