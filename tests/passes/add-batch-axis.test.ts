import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { checkModel, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { addBatchAxis } from "../../src/passes/add-batch-axis.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

type Shape = readonly (number | string)[];

/** Sums of products of the inputs with ones, in the shape of each output. */
function net(inputs: Readonly<Record<string, Shape>>, outputs: Readonly<Record<string, readonly number[]>>): Model {
  const sketch = new Sketch("net");
  for (const [name, shape] of Object.entries(inputs)) sketch.input(name, float(shape));
  for (const name of Object.keys(inputs)) sketch.node("ReduceSum", [name], [`${name}_sum`]);
  sketch.node(
    "Concat",
    Object.keys(inputs).map((name) => `${name}_sum`),
    ["sums"],
    [AXIS],
  );
  sketch.node("ReduceMax", ["sums"], ["most"]);
  for (const [seed, [name, dims]] of Object.entries(outputs).entries()) {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const values = Array.from({ length: size }, (_, at) => at + seed);
    sketch.initializer(`${name}_weight`, GraphTensor.floats(dims, values));
    sketch.initializer(`${name}_shape`, GraphTensor.ints(dims));
    sketch.node("Mul", ["most", `${name}_weight`], [`${name}_product`]);
    sketch.node("Reshape", [`${name}_product`, `${name}_shape`], [name]);
    sketch.output(name, float(dims));
  }
  return model(sketch.graph, 8, [["", 17]]);
}

const AXIS = { name: "axis", kind: "int", value: 0n } as never;
const shapesOf = ({ graph }: Model) =>
  [...graph.inputs, ...graph.outputs].map(({ name, type }) => [name, type?.kind === "tensor" ? type.shape : null]);

describe("a batch axis", () => {
  it("is added to vectors and what is made of them, not to what has one or is a scalar; ONNX Runtime gives the same", async () => {
    const made = net({ x: [3], state: [5] }, { y: [2], z: [2, 4], batched: [1, 4], value: [] });
    const plain = encodeModel(made);
    expect(addBatchAxis(made)).toEqual(['"x" [3]', '"state" [5]']);
    expect(shapesOf(made)).toEqual([
      ["x", [1, 3]],
      ["state", [1, 5]],
      ["y", [1, 2]],
      ["z", [1, 2, 4]],
      ["batched", [1, 4]],
      ["value", []],
    ]);
    const bytes = encodeModel(made);
    checkModel(decodeModel(bytes));
    const [before, after] = await Promise.all([plain, bytes].map((each) => openSession(each)));
    const feeds = (dims: (size: number) => number[]) => ({
      x: new Tensor("float32", Float32Array.of(1, -2, 4), dims(3)),
      state: new Tensor("float32", Float32Array.of(1, 2, 3, -1, 0.5), dims(5)),
    });
    const expected = await before?.run(feeds((size) => [size]));
    const actual = await after?.run(feeds((size) => [1, size]));
    for (const name of ["y", "z", "batched", "value"]) {
      expect(valuesOf(actual?.[name])).toEqual(valuesOf(expected?.[name]));
      expect(actual?.[name]?.dims).toEqual(shapesOf(made).find(([of]) => of === name)?.[1]);
    }
    await Promise.all([before?.release(), after?.release()]);
  });

  it.each<[string, Readonly<Record<string, Shape>>, Readonly<Record<string, readonly number[]>>]>([
    ["an output of as many", { x: [3] }, { y: [3, 2] }],
    ["an input of an open size", { x: ["batch"] }, { y: [2] }],
    ["an input of two axes", { x: [3], state: [5, 2] }, { y: [2] }],
    ["an input of one sample", { x: [1] }, { y: [2] }],
  ])("is not added to a model with %s", (_, inputs, outputs) => {
    const made = net(inputs, outputs);
    const before = shapesOf(made);
    expect(addBatchAxis(made)).toEqual([]);
    expect(shapesOf(made)).toEqual(before);
  });
});
