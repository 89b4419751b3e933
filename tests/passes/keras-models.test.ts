import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, Graph, GraphTensor, Node, Value } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, Tensor, TrainingSession } from "../../src/index.ts";

const wave = (size: number, by = 1): number[] => Array.from({ length: size }, (_, at) => Math.sin(by * at + 1));
const some = (dims: readonly number[], by: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    wave(
      dims.reduce((a, b) => a * b, 1),
      by,
    ),
  );

const CHANNELS = 3;
const ONES = [1, 1, 1];
const ZEROS = [0, 0, 0];

interface Layer {
  readonly scale: boolean;
  readonly offset: boolean;
}

/** The tensors of a layer, a product before it and one behind it. */
function begin(name: string, rank: number, layer: Layer): Sketch {
  const sketch = new Sketch(name);
  const between = rank === 4 ? [2, 2] : [];
  sketch.input("x", float(["batch", ...between, 2]));
  sketch.initializer("w", some([2, CHANNELS], 1));
  sketch.initializer("mean", GraphTensor.floats([CHANNELS], [0.1, -0.2, 0.3]));
  sketch.initializer("variance", GraphTensor.floats([CHANNELS], [0.8, 1.1, 1.4]));
  sketch.initializer("gamma", GraphTensor.floats([CHANNELS], layer.scale ? [1.2, 0.7, -0.9] : ONES));
  sketch.initializer("beta", GraphTensor.floats([CHANNELS], layer.offset ? [0.3, 0.1, -0.4] : ZEROS));
  sketch.initializer("v", some([CHANNELS, 2], 2));
  sketch.node("MatMul", ["x", "w"], ["h"]);
  return sketch;
}

function end(sketch: Sketch, rank: number, producer: string): Model {
  sketch.node("Relu", ["n"], ["r"]);
  sketch.node("MatMul", ["r", "v"], ["y"]);
  sketch.output("y", float(["batch", ...(rank === 4 ? [2, 2] : []), 2]));
  const made = model(sketch.graph, 8, [["", 17]]);
  made.producerName = producer;
  return made;
}

/** As Keras writes it on JAX: x * (gamma / sqrt(variance + epsilon)) + (-mean * ... + beta), channels last. */
function written(rank: number, layer: Layer, producer = "jax2onnx"): Model {
  const sketch = begin("written", rank, layer);
  sketch.initializer("sizes", GraphTensor.ints([...new Array<number>(rank - 1).fill(1), CHANNELS]));
  sketch.initializer("epsilon", GraphTensor.scalar(DataType.float, 1e-3));
  sketch.initializer("one", GraphTensor.scalar(DataType.float, 1));
  for (const vector of ["mean", "variance", "gamma", "beta"]) {
    sketch.node("Reshape", [vector, "sizes"], [`${vector}/along`]);
  }
  sketch.node("Add", ["variance/along", "epsilon"], ["guarded"]);
  sketch.node("Sqrt", ["guarded"], ["deviation"]);
  sketch.node("Div", ["one", "deviation"], ["inverse"]);
  const factor = layer.scale ? "factor" : "inverse";
  if (layer.scale) sketch.node("Mul", ["inverse", "gamma/along"], ["factor"]);
  sketch.node("Neg", ["mean/along"], ["negated"]);
  sketch.node("Mul", ["negated", factor], ["moved"]);
  if (layer.offset) sketch.node("Add", ["moved", "beta/along"], ["shift"]);
  sketch.node("Mul", ["h", factor], ["scaled"]);
  sketch.node("Add", ["scaled", layer.offset ? "shift" : "moved"], ["n"]);
  return end(sketch, rank, producer);
}

/** The same with ONNX's operator. */
function operator(rank: number, layer: Layer): Model {
  const sketch = begin("operator", rank, layer);
  const last = rank === 4;
  if (last) sketch.node("Transpose", ["h"], ["first"], [attribute.ints("perm", [0, 3, 1, 2])]);
  sketch.node(
    "BatchNormalization",
    [last ? "first" : "h", "gamma", "beta", "mean", "variance"],
    [last ? "normalized" : "n"],
    [attribute.float("epsilon", 1e-3), attribute.float("momentum", 0.99)],
  );
  if (last) sketch.node("Transpose", ["normalized"], ["n"], [attribute.ints("perm", [0, 2, 3, 1])]);
  return end(sketch, rank, "onnx-agr");
}

async function losses(net: Model, rank: number, freeze: readonly string[] = []): Promise<readonly number[]> {
  const built = await buildTrainingArtifacts(net, { loss: { kind: "mse" }, optimizer: { name: "sgd" }, freeze });
  const session = await TrainingSession.create(built, { learningRate: 0.1 });
  const between = rank === 4 ? [2, 2] : [];
  const dims = [5, ...between, 2];
  const size = dims.reduce((a, b) => a * b, 1);
  const feeds = {
    x: new Tensor("float32", Float32Array.from(wave(size)), dims),
    target: new Tensor("float32", Float32Array.from(wave(size, 3)), dims),
  };
  const all = await session.trainSteps([feeds, feeds, feeds]);
  const evaluated = await session.runEvalStep(feeds);
  await session.release();
  return [...all, Number(evaluated["loss"]?.data[0])];
}

describe("batch normalization as Keras writes it on JAX", () => {
  it.each([
    [2, { scale: true, offset: true }],
    [4, { scale: true, offset: true }],
    [4, { scale: false, offset: true }],
    [4, { scale: true, offset: false }],
    [2, { scale: false, offset: false }],
  ] as const)("of %i axes, %o, trains as the operator does", async (rank, layer) => {
    const { report } = await buildTrainingArtifacts(written(rank, layer), { loss: { kind: "mse" } });
    const absent = [...(layer.scale ? [] : ["gamma"]), ...(layer.offset ? [] : ["beta"])];
    const trained = ["w", "gamma", "beta", "v"].filter((name) => !absent.includes(name));
    expect(report.trainable.map(({ name }) => name)).toEqual(trained);
    expect(report.notes).toContainEqual(
      expect.stringMatching(/^1 batch normalizations .* are BatchNormalization again/),
    );
    const [own, expected] = [
      await losses(written(rank, layer), rank),
      await losses(operator(rank, layer), rank, absent),
    ];
    for (const [at, loss] of own.entries()) expect(loss).toBeCloseTo(expected[at] ?? Number.NaN, 6);
    expect(new Set(own).size).toBe(own.length);
  });

  it("is left to who writes other layers so", async () => {
    const { report } = await buildTrainingArtifacts(written(2, { scale: true, offset: true }, "pytorch"), {
      loss: { kind: "mse" },
    });
    expect(report.notes.join()).not.toContain("BatchNormalization again");
  });
});

describe("batch normalization as Keras writes it on PyTorch", () => {
  /** (x - mean) * (scale / deviation) + beta, folded, under the names of the tracing exporter. */
  function folded(centre: string): Model {
    const sketch = new Sketch("folded");
    sketch.input("x", float(["batch", 2]));
    sketch.initializer("onnx::MatMul_1", some([2, CHANNELS], 1));
    sketch.initializer(centre, some([1, CHANNELS], 2));
    sketch.initializer("onnx::Mul_3", some([1, CHANNELS], 3));
    sketch.initializer("onnx::Add_4", some([1, CHANNELS], 4));
    sketch.node("MatMul", ["x", "onnx::MatMul_1"], ["h"]);
    sketch.node("Tanh", ["h"], ["t"]);
    sketch.node("Sub", ["t", centre], ["centred"]);
    sketch.node("Mul", ["centred", "onnx::Mul_3"], ["scaled"]);
    sketch.node("Add", ["scaled", "onnx::Add_4"], ["y"]);
    sketch.output("y", float(["batch", CHANNELS]));
    return model(sketch.graph, 8, [["", 17]]);
  }

  it("keeps its mean, and says how to train otherwise", async () => {
    const { report } = await buildTrainingArtifacts(folded("onnx::Sub_2"), { loss: { kind: "mse" } });
    expect(report.trainable.map(({ name }) => name)).toEqual(["onnx::MatMul_1", "onnx::Mul_3", "onnx::Add_4"]);
    expect(report.notes).toContainEqual(
      expect.stringMatching(/^1 batch normalizations are written out for inference.*--params 'onnx::Sub_2'$/),
    );
    const asked = await buildTrainingArtifacts(folded("onnx::Sub_2"), {
      loss: { kind: "mse" },
      parameters: ["*", "onnx::Sub_2"],
    });
    expect(asked.report.trainable).toHaveLength(4);
  });

  it("a parameter that a module subtracts has the module's name, and is trained", async () => {
    const { report } = await buildTrainingArtifacts(folded("cells.centre"), { loss: { kind: "mse" } });
    expect(report.trainable).toHaveLength(4);
  });
});

describe("recurrent layers as Keras writes them on JAX and TensorFlow, a Loop", () => {
  /** state = tanh(state R + x), three times, from a number that is stretched; the weight is carried as it is. */
  function loop(isPeeled: boolean): Model {
    const sketch = new Sketch("loop");
    sketch.input("x", float(["batch", 2]));
    sketch.initializer("zero", GraphTensor.scalar(DataType.float, 0));
    sketch.initializer("R", some([2, 2], 2));
    sketch.initializer("rounds", GraphTensor.scalar(DataType.int64, 3));
    sketch.node("Shape", ["x"], ["sizes"]);
    sketch.node("Expand", ["zero", "sizes"], ["begin"]);
    sketch.node("Shape", ["begin"], ["unread"]);
    if (isPeeled) sketch.node("MatMul", ["begin", "R"], ["first"]);
    sketch.node("Sum", isPeeled ? ["x", "first"] : ["x"], ["given"]);
    const body = new Graph("body");
    const [round, goes, state, weight] = [
      new Value("round", { kind: "tensor", dtype: DataType.int64, shape: [] }),
      new Value("goes", { kind: "tensor", dtype: DataType.bool, shape: [] }),
      new Value("state", float(["batch", 2])),
      new Value("weight", float([2, 2])),
    ];
    body.inputs.push(round, goes, state, weight);
    const [still, product, sum, next, same] = ["still", "product", "sum", "next", "same"].map(
      (name) => new Value(name),
    );
    const given = sketch.graph.nodes.at(-1)?.outputs[0];
    if (!still || !product || !sum || !next || !same || !given) throw new Error("no values");
    body.append(
      new Node("Identity", [goes], [still], { name: "keep" }),
      new Node("MatMul", [state, weight], [product], { name: "product" }),
      new Node("Add", [product, given], [sum], { name: "sum" }),
      new Node("Tanh", [sum], [next], { name: "next" }),
      new Node("Identity", [weight], [same], { name: "same" }),
    );
    body.replaceOutputs([still, next, same]);
    sketch.node("Loop", ["rounds", "", "begin", "R"], ["y", "R/out"], [attribute.graph("body", body)]);
    sketch.output("y", float(["batch", 2]));
    return model(sketch.graph, 8, [["", 17]]);
  }

  it.each([
    [false, "it is an initial state"],
    [true, "it is a number of the program"],
  ])("begins with a state that is no parameter; a round of its own before it: %s", async (isPeeled, reason) => {
    const { report } = await buildTrainingArtifacts(loop(isPeeled), { loss: { kind: "mse" } });
    expect(report.trainable.map(({ name }) => name)).toEqual(["R"]);
    expect(report.skipped).toContainEqual({ at: "zero", reason });
  });
});
