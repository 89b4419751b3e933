import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, Graph, GraphTensor, Node, Value } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, checkGradients, type Model, TrainingSession } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

const wave = (size: number, by = 1): number[] => Array.from({ length: size }, (_, at) => Math.sin(by * at + 1));

/** Two products, and what is done with the sequence of them. */
function around(rest: (sketch: Sketch) => void, outputs = 3): Model {
  const sketch = new Sketch("sequences");
  sketch.input("x", float([3, 2]));
  sketch.initializer("a", GraphTensor.floats([2, 3], wave(6)));
  sketch.initializer("b", GraphTensor.floats([2, 3], wave(6, 2)));
  for (const place of [-1, 0, 1]) sketch.initializer(`at${place}`, GraphTensor.scalar(DataType.int64, place));
  sketch.node("MatMul", ["x", "a"], ["p"]);
  sketch.node("MatMul", ["x", "b"], ["q"]);
  sketch.node("SequenceConstruct", ["p", "q"], ["list"]);
  rest(sketch);
  sketch.output("y", float(new Array<string>(outputs).fill("").map((_, axis) => `n${axis}`)));
  return model(sketch.graph, 8, [["", 17]]);
}

/** A SequenceMap whose body takes a power of each tensor. */
function squares(): Graph {
  const body = new Graph("body");
  const [each, square] = [new Value("each", float([3, 3])), new Value("square", float([3, 3]))];
  body.inputs.push(each);
  body.append(new Node("Mul", [each, each], [square], { name: "squared" }));
  body.addOutput(square);
  return body;
}

const CASES: readonly (readonly [string, Model])[] = [
  [
    "joined along an axis",
    around((sketch) => sketch.node("ConcatFromSequence", ["list"], ["y"], [attribute.int("axis", 1)]), 2),
  ],
  [
    "stacked",
    around((sketch) => {
      const attributes = [attribute.int("axis", -1), attribute.int("new_axis", 1)];
      sketch.node("ConcatFromSequence", ["list"], ["y"], attributes);
    }),
  ],
  [
    "one taken from the end",
    around((sketch) => {
      sketch.node("SequenceAt", ["list", "at-1"], ["last"]);
      sketch.node("SequenceAt", ["list", "at0"], ["first"]);
      sketch.node("Div", ["first", "last"], ["y"]);
    }, 2),
  ],
  [
    "filled and emptied",
    around((sketch) => {
      sketch.node("SequenceEmpty", [], ["none"]);
      sketch.node("SequenceInsert", ["none", "q"], ["one"]);
      sketch.node("SequenceInsert", ["one", "p", "at0"], ["two"]);
      sketch.node("SequenceInsert", ["two", "q", "at-1"], ["three"]);
      sketch.node("SequenceErase", ["three", "at1"], ["left"]);
      sketch.node("Identity", ["left"], ["same"]);
      sketch.node("ConcatFromSequence", ["same"], ["joined"], [attribute.int("axis", 0)]);
      sketch.node("SequenceLength", ["same"], ["count"]);
      sketch.node("Cast", ["count"], ["number"], [attribute.int("to", 1)]);
      sketch.node("Mul", ["joined", "number"], ["y"]);
    }, 2),
  ],
  [
    "each changed",
    around((sketch) => {
      sketch.node("SequenceMap", ["list"], ["mapped"], [attribute.graph("body", squares())]);
      sketch.node("ConcatFromSequence", ["mapped"], ["y"], [attribute.int("axis", 0)]);
    }, 2),
  ],
];

describe("sequences whose tensors are known", () => {
  it.each(CASES)("%s: what ONNX Runtime computes, and gradients of it", async (_, net) => {
    const x = new Tensor("float32", Float32Array.from(wave(6, 3)), [3, 2]);
    const source = await InferenceSession.create(encodeModel(net));
    const { y } = await source.run({ x });
    const values = Array.from(y?.data as Float32Array);
    expect(values.length).toBeGreaterThan(8);
    const built = await buildTrainingArtifacts(net, { loss: { kind: "mse" } });
    const session = await TrainingSession.create(built);
    const target = new Tensor("float32", new Float32Array(values.length), y?.dims ?? []);
    const evaluated = await session.runEvalStep({ x, target });
    await session.release();
    const expected = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    expect(Number(evaluated["loss"]?.data[0]) / expected).toBeCloseTo(1, 5);
    expect(built.report.trainable.map(({ name }) => name)).toEqual(["a", "b"]);
    const { parameters } = await checkGradients(net, { loss: { kind: "mse" } });
    expect(parameters.map(({ parameter }) => parameter).sort()).toEqual(["a", "b"]);
    for (const { difference, analytic } of parameters)
      expect([difference < 1e-5, analytic !== 0]).toEqual([true, true]);
  });

  it("one whose place is computed is refused by name", async () => {
    const net = around((sketch) => {
      sketch.input("place", tensor(DataType.int64, []));
      sketch.node("SequenceAt", ["list", "place"], ["y"]);
    }, 2);
    const error = await rejectionOf(buildTrainingArtifacts(net, { loss: { kind: "mse" } }));
    expect(error).toMatchObject({ code: "E_NO_GRADIENT_RULE", message: expect.stringContaining("SequenceAt") });
  });
});
