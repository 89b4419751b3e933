import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor, Node, Value } from "../src/entries/graph.ts";
import {
  buildTrainingArtifacts,
  checkGradients,
  type Model,
  Tensor as OrtTensor,
  TrainingSession,
} from "../src/index.ts";
import { CE, convNet, wave } from "./support/conv-net.ts";
import { rejectionOf } from "./support/errors.ts";

/** A recurrent layer in both directions, its states laid side by side, and a linear one. */
function recurrentNet(op: string, gates: number): Model {
  const sketch = new Sketch("recurrent");
  sketch.input("x", float([5, "batch", 3]));
  const weights: readonly (readonly [string, readonly number[]])[] = [
    ["W", [2, gates * 4, 3]],
    ["R", [2, gates * 4, 4]],
    ["B", [2, gates * 8]],
    ["head", [40, 2]],
  ];
  for (const [seed, [name, dims]] of weights.entries()) {
    const size = dims.reduce((product, dim) => product * dim, 1);
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, wave(size, seed)));
  }
  sketch.initializer("shape", GraphTensor.ints([-1, 40]));
  const attributes = [attribute.int("hidden_size", 4), attribute.string("direction", "bidirectional")];
  sketch.node(op, ["x", "W", "R", "B"], ["states"], attributes);
  sketch.node("Transpose", ["states"], ["turned"], [attribute.ints("perm", [2, 0, 1, 3])]);
  sketch.node("Reshape", ["turned", "shape"], ["flat"]);
  sketch.node("MatMul", ["flat", "head"], ["y"]);
  sketch.output("y", float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

describe("gradients of recurrent layers", () => {
  it.each([
    ["LSTM", 4],
    ["GRU", 3],
    ["RNN", 1],
  ])("%s: in operators that every runtime has, which train alike in both", async (op, gates) => {
    const { onnxruntime, portable } = await buildTrainingArtifacts(recurrentNet(op, gates), { loss: { kind: "mse" } });
    if (onnxruntime === null || portable === null) throw new Error("not built");
    const foreign = onnxruntime.trainingModel?.graph.nodes.filter(({ domain }) => domain !== "") ?? [];
    expect(new Set(foreign.map(({ opType }) => opType))).toEqual(new Set(["InPlaceAccumulatorV2"]));
    expect([...(portable.trainStep?.opsets.keys() ?? [])]).toEqual([""]);
    const train = async (source: typeof onnxruntime | typeof portable, runtime: "ort-node" | "ort-training") => {
      const session = await TrainingSession.create(source, { runtime, learningRate: 0.05 });
      const result: number[] = [];
      for (let step = 0; step < 6; step++) {
        const x = new OrtTensor("float32", wave(5 * 7 * 3, step), [5, 7, 3]);
        const target = new OrtTensor("float32", wave(7 * 2, step + 50), [7, 2]);
        result.push(...(await session.trainSteps([{ x, target }])));
      }
      await session.release();
      return result;
    };
    const [expected, actual] = [await train(onnxruntime, "ort-training"), await train(portable, "ort-node")];
    for (const [step, loss] of expected.entries()) expect(Math.abs((actual[step] ?? 0) / loss - 1)).toBeLessThan(2e-5);
    expect(new Set(expected).size).toBe(6);
  });
});

describe("checkGradients", () => {
  it.each([
    ["uint8", DataType.uint8],
    ["int8", DataType.int8],
  ])("makes up inputs of %s, as models take that look bytes up", async (_, dtype) => {
    const sketch = new Sketch("bytes");
    sketch.input("x", { kind: "tensor", dtype, shape: ["batch", 5] });
    sketch.initializer("table", GraphTensor.from(DataType.float, [256, 3], wave(768, 1)));
    sketch.node("Cast", ["x"], ["places"], [attribute.int("to", DataType.int64)]);
    sketch.node("Gather", ["table", "places"], ["found"]);
    sketch.node("Tanh", ["found"], ["y"]);
    sketch.output("y", float(["batch", 5, 3]));
    const { parameters } = await checkGradients(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" } });
    expect(parameters.map(({ parameter }) => parameter)).toEqual(["table"]);
    const [{ difference = 1, analytic = 0 } = {}] = parameters;
    expect([difference < 1e-6, analytic !== 0]).toEqual([true, true]);
  });

  it("agrees, in float64 where there are kernels", async () => {
    const sketch = new Sketch("linear");
    sketch.input("x", float(["batch", 4]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [4, 3], wave(12, 1)));
    sketch.node("MatMul", ["x", "w"], ["h"]);
    sketch.node("Tanh", ["h"], ["y"]);
    sketch.output("y", float(["batch", 3]));
    const check = await checkGradients(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" }, samples: 12 });
    expect([check.precision, check.reason]).toEqual(["float64", null]);
    expect(check.parameters.map(({ parameter }) => parameter)).toEqual(["w"]);
    expect(check.parameters[0]?.difference).toBeLessThan(1e-8);
  });

  it("takes rounding of the loss for what it is, where a true gradient is zero", async () => {
    const sketch = new Sketch("zero");
    sketch.input("x", float(["batch", 3, 8, 8]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [8, 3, 3, 3], wave(216, 1)));
    for (const [seed, name] of ["b", "scale", "bias", "mean"].entries()) {
      sketch.initializer(name, GraphTensor.from(DataType.float, [8], wave(8, seed + 2)));
    }
    sketch.initializer("var", GraphTensor.floats([8], [1, 2, 3, 4, 1, 2, 3, 4]));
    sketch.node("Conv", ["x", "w", "b"], ["conv"]);
    sketch.node("BatchNormalization", ["conv", "scale", "bias", "mean", "var"], ["norm"]);
    sketch.node("Relu", ["norm"], ["relu"]);
    sketch.node("GlobalAveragePool", ["relu"], ["pool"]);
    sketch.node("Flatten", ["pool"], ["y"]);
    sketch.output("y", float(["batch", 8]));
    const net = model(sketch.graph, 8, [["", 17]]);
    for (const seed of [0, 1, 2, 3]) {
      const check = await checkGradients(net, { ...CE, seed });
      for (const { parameter, difference, tolerance } of check.parameters) {
        expect(difference, parameter).toBeLessThanOrEqual(tolerance);
        /** What rounding explains leaves the other gradients no more room than before. */
        if (parameter === "bias" || parameter === "scale") expect(tolerance).toBeLessThan(2 * check.tolerance);
      }
    }
  });

  it("ends when its time is over, says so before, and names what was not compared", async () => {
    const notes: string[] = [];
    const tell = (note: string): number => notes.push(note);
    const whole = await checkGradients(convNet(), { ...CE, tell });
    expect([whole.isComplete, whole.unchecked, notes]).toEqual([true, [], []]);
    const all = whole.parameters.map(({ parameter }) => parameter).sort();
    const part = await checkGradients(convNet(), { ...CE, tell, maxSeconds: 1e-6 });
    expect(part.isComplete).toBe(false);
    expect(part.parameters).toHaveLength(1);
    expect([...part.parameters.map(({ parameter }) => parameter), ...part.unchecked].sort()).toEqual(all);
    expect(notes).toEqual([
      expect.stringMatching(
        /^comparing \d+ elements of \d+ parameters would take .* it ends after 1 s \(--max-seconds/,
      ),
    ]);
    const error = await rejectionOf(checkGradients(convNet(), { ...CE, maxSeconds: 0 }));
    expect(error.code).toBe("E_OPTION");
  });

  it("falls back to float32 and says why", async () => {
    const net = convNet();
    const [logits] = net.graph.outputs;
    const bent = new Value("bent", logits?.type ?? null);
    net.graph.append(new Node("Atan", [logits ?? null], [bent]));
    net.graph.replaceOutputs([bent]);
    const check = await checkGradients(net, CE);
    expect([check.precision, check.reason]).toEqual(["float32", expect.stringContaining("Atan")]);
    expect(check.parameters[0]?.difference).toBeLessThan(check.tolerance);
  });

  it("names a loss that is not finite", async () => {
    const net = convNet();
    const [logits] = net.graph.outputs;
    const [least, roots] = [new Value("least", logits?.type ?? null), new Value("roots", logits?.type ?? null)];
    net.graph.append([new Node("Exp", [logits ?? null], [least]), new Node("Neg", [least], [roots])]);
    const logs = new Value("logs", logits?.type ?? null);
    net.graph.append(new Node("Log", [roots], [logs]));
    net.graph.replaceOutputs([logs]);
    const error = await rejectionOf(checkGradients(net, CE));
    expect([error.code, error.exitCode]).toEqual(["E_NOT_FINITE", 7]);
  });

  it("has numbers where all gradients are zero", async () => {
    const sketch = new Sketch("flat");
    sketch.input("x", float(["N", 4]));
    sketch.initializer(
      "w",
      GraphTensor.floats(
        [4, 3],
        Array.from(wave(12, 1), (value) => -1 - value ** 2),
      ),
    );
    sketch.node("MatMul", ["x", "w"], ["h"]);
    sketch.node("Relu", ["h"], ["y"]);
    sketch.output("y", float(["N", 3]));
    const { parameters } = await checkGradients(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" } });
    const [{ difference, tolerance, analytic, numeric } = {}] = parameters;
    expect([difference, analytic, numeric]).toEqual([0, 0, 0]);
    expect(tolerance).toBeGreaterThan(1);
    expect(Number.isFinite(tolerance)).toBe(true);
  });

  it("checks convolutions in float64", async () => {
    const check = await checkGradients(convNet(), CE);
    expect([check.precision, check.reason]).toEqual(["float64", null]);
    expect(check.parameters[0]?.difference).toBeLessThan(1e-6);
  });
});

it("makes up no number of an image beyond the last, for boxes", async () => {
  const sketch = new Sketch("boxes");
  sketch.input("x", float([1, 2, 6, 6]));
  sketch.input("boxes", float([3, 4]));
  sketch.input("of", { kind: "tensor", dtype: DataType.int64, shape: [3] });
  sketch.initializer("kernel", GraphTensor.from(DataType.float, [2, 2, 3, 3], wave(36, 4)));
  sketch.node("Conv", ["x", "kernel"], ["features"]);
  sketch.node("RoiAlign", ["features", "boxes", "of"], ["y"], [attribute.int("output_height", 2)]);
  sketch.output("y", float([3, 2, 2, 1]));
  const check = await checkGradients(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" }, samples: 36 });
  expect(check.parameters.map(({ parameter }) => parameter)).toEqual(["kernel"]);
  expect(check.parameters[0]?.difference).toBeLessThan(check.tolerance);
});
