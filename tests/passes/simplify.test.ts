import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { walkGraphs } from "../../src/graph/model.ts";
import { buildTrainingArtifacts, type Model, readModel } from "../../src/index.ts";
import { simplify } from "../../src/passes/simplify.ts";
import { openSession } from "../support/ort.ts";
import { hasShared, SHARED } from "../support/shared.ts";

const operatorsOf = (subject: Model): readonly string[] =>
  [...walkGraphs(subject.graph)].flatMap((graph) => graph.nodes.map(({ opType }) => opType)).sort();

async function run(subject: Model, dims: readonly number[]): Promise<readonly number[]> {
  const session = await openSession(encodeModel(subject));
  const size = dims.reduce((product, dim) => product * dim, 1);
  const x = Float32Array.from({ length: size }, (_, index) => Math.sin(index));
  const results = await session.run({ x: new Tensor("float32", x, [...dims]) });
  await session.release();
  return Object.values(results).flatMap(({ data }) => [...(data as Float32Array)]);
}

const scalar = (value: number): GraphTensor => GraphTensor.scalar(DataType.float, value);

describe("simplify", () => {
  it("computes once what is computed twice, and sizes that the shapes tell not at all", async () => {
    const sketch = new Sketch("twice");
    sketch.input("x", float(["batch", 2, 3]));
    for (const which of ["a", "b"]) {
      sketch.node("Constant", [], [`two.${which}`], [attribute.tensor("value", scalar(2))]);
      sketch.node("Mul", ["x", `two.${which}`], [`double.${which}`]);
      sketch.node("Shape", [`double.${which}`], [`shape.${which}`], [attribute.int("start", 1)]);
      sketch.node("Constant", [], [`open.${which}`], [attribute.tensor("value", GraphTensor.ints([-1]))]);
      sketch.node("Concat", [`open.${which}`, `shape.${which}`], [`target.${which}`], [attribute.int("axis", 0)]);
      sketch.node("Reshape", [`double.${which}`, `target.${which}`], [`same.${which}`]);
    }
    sketch.node("Sub", ["same.a", "same.b"], ["nothing"]);
    sketch.node("Add", ["nothing", "same.a"], ["y"]);
    sketch.output("y", float(["batch", 2, 3]));
    const subject = model(sketch.graph, 8, [["", 17]]);
    const before = await run(subject, [4, 2, 3]);
    simplify(subject);
    expect(operatorsOf(subject)).toEqual(["Add", "Constant", "Constant", "Mul", "Reshape", "Sub"]);
    expect(await run(subject, [4, 2, 3])).toEqual(before);
    const bytes = encodeModel(subject);
    simplify(subject);
    expect(encodeModel(subject)).toEqual(bytes);
  });

  it("reshapes once what is reshaped twice, and not at all what has its shape again", async () => {
    const sketch = new Sketch("reshapes");
    sketch.input("x", float([2, 3, 4]));
    for (const [name, sizes] of [
      ["flat", [-1]],
      ["same", [2, 3, 4]],
      ["rows", [6, -1]],
      ["kept", [0, -1]],
    ] as const) {
      sketch.initializer(`${name}.sizes`, GraphTensor.ints([...sizes]));
    }
    sketch.node("Reshape", ["x", "flat.sizes"], ["flat"]);
    sketch.node("Reshape", ["flat", "same.sizes"], ["same"]);
    sketch.node("Reshape", ["flat", "rows.sizes"], ["rows"]);
    sketch.node("Reshape", ["rows", "kept.sizes"], ["kept"]);
    sketch.node("Add", ["x", "same"], ["a"]);
    sketch.node("Add", ["rows", "kept"], ["b"]);
    sketch.output("a", float([2, 3, 4]));
    sketch.output("b", float([6, 4]));
    const subject = model(sketch.graph, 8, [["", 17]]);
    const before = await run(subject, [2, 3, 4]);
    simplify(subject);
    expect(operatorsOf(subject)).toEqual(["Add", "Add", "Reshape"]);
    expect(await run(subject, [2, 3, 4])).toEqual(before);
  });

  it("keeps apart what is not the same: signs of zero, types, attributes, what is drawn, what is an output", () => {
    const sketch = new Sketch("apart");
    sketch.input("x", float([2]));
    const [zero, minusZero] = [scalar(0), scalar(-0)];
    for (const [name, tensor] of [
      ["zero", zero],
      ["minus", minusZero],
      ["vector", GraphTensor.floats([1], [0])],
      ["int", GraphTensor.from(DataType.int32, [], Int32Array.of(0))],
    ] as const) {
      sketch.node("Constant", [], [name], [attribute.tensor("value", tensor)]);
    }
    sketch.node("Cast", ["int"], ["cast"], [attribute.int("to", DataType.float)]);
    for (const name of ["u", "v"]) sketch.node("RandomUniformLike", ["x"], [name]);
    for (const [name, alpha] of [
      ["l", 0.1],
      ["m", 0.2],
    ] as const) {
      sketch.node("LeakyRelu", ["x"], [name], [attribute.float("alpha", alpha)]);
    }
    sketch.node("Sum", ["zero", "minus", "vector", "cast", "u", "v", "l", "m"], ["y"]);
    for (const name of ["out", "again"]) {
      sketch.node("Neg", ["y"], [name]);
      sketch.output(name, float([2]));
    }
    const subject = model(sketch.graph, 8, [["", 17]]);
    const before = operatorsOf(subject);
    simplify(subject);
    expect(operatorsOf(subject)).toEqual(before);
  });

  it.skipIf(!hasShared).each([
    ["vit", "cross-entropy", []],
    ["unet", "mse", ["Shape", "Shape"]],
  ] as const)("asks for no shapes in the step of %s but those of an open batch", async (name, kind, allowed) => {
    const built = await buildTrainingArtifacts(await readModel(`${SHARED}zoo/${name}.onnx`), {
      loss: { kind },
      targets: ["portable"],
    });
    const step = built.portable?.trainStep;
    if (!step) throw new Error("no step");
    const found = operatorsOf(step).filter((op) => ["Shape", "Size", "NonZero", "Range"].includes(op));
    expect(found).toEqual([...allowed]);
    const constants = step.graph.nodes.filter(({ opType }) => opType === "Constant");
    const texts = constants.map(({ attributes }) => {
      const value = attributes.get("value");
      if (value?.kind !== "tensor") throw new Error("a constant without a tensor");
      const { dtype, dims } = value.value.tensor;
      return JSON.stringify([dtype, dims, [...value.value.tensor.values()].map(String)]);
    });
    expect(new Set(texts).size).toBe(texts.length);
  });
});
