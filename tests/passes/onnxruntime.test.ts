import { beforeAll, describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { checkModel, DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, Tensor } from "../../src/index.ts";
import { makeTrainingGraphs, type TrainingGraphs } from "../../src/passes/make-training-graph.ts";
import { readTrainingModel } from "../../src/passes/onnxruntime/read-training-model.ts";
import { toTrainingModel } from "../../src/passes/onnxruntime/write-training-model.ts";
import { copyTrainingGraph, type TrainingGraph } from "../../src/passes/training-graph.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";

const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

const SHAPES: readonly (readonly [string, readonly number[]])[] = [
  ["fc1.weight", [4, 5]],
  ["scale", [5]],
  ["bias", [5]],
  ["mean", [5]],
  ["fc2.weight", [5, 3]],
];

/** Linear, batch norm, tanh, linear. */
function forward(): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 4]));
  for (const [seed, [name, dims]] of SHAPES.entries()) {
    const size = dims.reduce((product, dim) => product * dim, 1);
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, wave(size, seed)));
  }
  sketch.initializer("var", GraphTensor.floats([5], [1, 2, 3, 4, 5]));
  sketch.node("MatMul", ["x", "fc1.weight"], ["h"]);
  sketch.node("BatchNormalization", ["h", "scale", "bias", "mean", "var"], ["n"]);
  sketch.node("Tanh", ["n"], ["t"]);
  sketch.node("MatMul", ["t", "fc2.weight"], ["y"]);
  sketch.output("y", float(["batch", 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

const names = (values: readonly { readonly name: string }[]): readonly string[] => values.map(({ name }) => name);

const shown = ({ inputs, outputs, parameters, constants }: TrainingGraph) => ({
  inputs: names(inputs),
  outputs: names(outputs),
  parameters: names(parameters.map(({ parameter }) => parameter)),
  gradients: names(parameters.map(({ gradient }) => gradient)),
  constants: names(constants),
});

let graphs: TrainingGraphs;

beforeAll(() => {
  graphs = makeTrainingGraphs([forward(), forward()], { loss: { kind: "mse" }, freeze: ["bias"] });
});

describe("a training graph", () => {
  it("computes the loss and the gradients, each parameter with its own", async () => {
    const { training, trainable, frozen } = graphs;
    expect(shown(training)).toEqual({
      inputs: ["x", "target"],
      outputs: ["loss"],
      parameters: ["fc1.weight", "scale", "fc2.weight"],
      gradients: ["fc1.weight_grad", "scale_grad", "fc2.weight_grad"],
      constants: ["bias", "mean", "var"],
    });
    expect([names(trainable), names(frozen)]).toEqual([
      names(training.parameters.map(({ parameter }) => parameter)),
      names(training.constants),
    ]);
    expect(training.model.graph.outputs).toEqual([
      ...training.outputs,
      ...training.parameters.map(({ gradient }) => gradient),
    ]);
  });

  it("has a copy of which nothing is the original's but the tensors", () => {
    const { training } = graphs;
    const copy = copyTrainingGraph(training);
    expect(encodeModel(copy.model)).toEqual(encodeModel(training.model));
    expect(shown(copy)).toEqual(shown(training));
    for (const [index, { gradient, parameter }] of copy.parameters.entries()) {
      expect(gradient).not.toBe(training.parameters[index]?.gradient);
      expect(gradient.producer?.graph).toBe(copy.model.graph);
      expect(copy.model.graph.inputs).toContain(parameter);
    }
  });
});

describe("ONNX Runtime's training model", () => {
  it("is written of a training graph and read again: nothing is lost and nothing is left", () => {
    const written = decodeModel(encodeModel(toTrainingModel(copyTrainingGraph(graphs.training))));
    checkModel(written);
    expect(names(written.graph.inputs)).toEqual([
      ...["x", "target", "fc1.weight", "scale", "bias", "mean", "fc2.weight", "var"],
      ...["fc1.weight", "scale", "fc2.weight"].map((name) => `${name}_grad.accumulation.buffer`),
      "lazy_reset_grad",
    ]);
    expect(names(written.graph.outputs)).toEqual([
      "loss",
      ...["fc1.weight", "scale", "fc2.weight"].map((name) => `${name}_grad.accumulation.out`),
    ]);
    const read = readTrainingModel(written, new Set(names(graphs.frozen)));
    expect(shown(read)).toEqual(shown(graphs.training));
    /** The model declares no types of what lies between. */
    const original = copyTrainingGraph(graphs.training);
    for (const { gradient } of [...read.parameters, ...original.parameters]) gradient.type = null;
    expect(encodeModel(read.model)).toEqual(encodeModel(original.model));
  });

  it("is refused without accumulators, and where one is no accumulator by its names", () => {
    const plain = errorOf(() => readTrainingModel(copyTrainingGraph(graphs.training).model, new Set()));
    expect([plain.code, plain.exitCode]).toEqual(["E_NO_GRADIENTS", 4]);
    const renamed = toTrainingModel(copyTrainingGraph(graphs.training));
    for (const input of renamed.graph.inputs) if (input.name.endsWith("buffer")) input.name += "s";
    expect(errorOf(() => readTrainingModel(renamed, new Set())).message).toContain("no gradient buffer by its name");
    const lost = toTrainingModel(copyTrainingGraph(graphs.training));
    for (const input of lost.graph.inputs) if (input.name === "scale") input.name = "other";
    expect(errorOf(() => readTrainingModel(lost, new Set())).message).toContain('"scale", which is not an input');
  });
});

describe("a portable set that is built", () => {
  it("says nothing in ONNX Runtime's words, and its state are the model's own tensors", async () => {
    const from = forward();
    const { portable, onnxruntime } = await buildTrainingArtifacts(from, {
      loss: { kind: "mse" },
      targets: ["portable"],
    });
    expect(onnxruntime).toBeNull();
    if (portable?.trainStep == null || portable.apply === null || portable.state === null) throw new Error("not built");
    for (const each of [portable.trainStep, portable.gradients, portable.apply]) {
      const inputs = names([...each.graph.inputs, ...each.graph.outputs]);
      expect(inputs.filter((name) => name.includes("accumulation") || name.includes("lazy"))).toEqual([]);
      expect([...each.opsets.keys()]).toEqual([""]);
    }
    const held = new Map(from.graph.initializers.map(({ name, tensor }) => [name, tensor]));
    for (const [name] of SHAPES) expect(portable.state.tensors.get(name)).toBe(held.get(name));
  });

  it("adds gradients up, or puts them in the place of their sums", async () => {
    const { portable } = await buildTrainingArtifacts(forward(), { loss: { kind: "mse" }, targets: ["portable"] });
    if (portable?.state == null) throw new Error("not built");
    const { gradients, state } = portable;
    const session = await openSession(encodeModel(gradients));
    const run = async (reset: number, sum: number): Promise<Float32Array> => {
      const feeds = Object.fromEntries(
        gradients.graph.inputs.map(({ name, type }) => {
          const dims =
            type?.kind === "tensor" ? (type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 3)) : [];
          const size = dims.reduce((product, dim) => product * dim, 1);
          if (name === "reset_gradients") return [name, new Tensor("bool", Uint8Array.of(reset), [1])];
          const tensor = state.tensors.get(name);
          if (tensor !== undefined)
            return [name, new Tensor("float32", Float32Array.from(tensor.values(), Number), dims)];
          const values = name.endsWith("/sum") ? new Float32Array(size).fill(sum) : wave(size, 3);
          return [name, new Tensor("float32", values, dims)];
        }),
      );
      const results = await session.run(feeds);
      return results["fc2.weight/gradient/sum/next"]?.data as Float32Array;
    };
    const [alone, replaced, added] = [await run(0, 0), await run(1, 5), await run(0, 5)];
    await session.release();
    expect(replaced).toEqual(alone);
    expect(added).toEqual(alone.map((value) => value + 5));
    expect(alone.some((value) => value !== 0)).toBe(true);
  });
});
