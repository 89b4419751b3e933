import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, decodeModel, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import {
  type BuildOptions,
  buildTrainingArtifacts,
  type Model,
  Tensor as OrtTensor,
  TrainingSession,
} from "../../src/index.ts";
import { addLora } from "../../src/passes/lora.ts";
import { rejectionOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

/** A weight used as it is, one turned by Gemm, and one turned by a Transpose, as exporters write linear layers. */
function network(): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 4]));
  for (const [name, dims] of [
    ["first", [4, 5]],
    ["second", [6, 5]],
    ["third", [3, 6]],
  ] as const) {
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, wave(dims[0] * dims[1], dims[1])));
  }
  sketch.initializer("bias", GraphTensor.from(DataType.float, [6], wave(6, 1)));
  sketch.node("MatMul", ["x", "first"], ["a"]);
  sketch.node("Tanh", ["a"], ["b"]);
  sketch.node("Gemm", ["b", "second", "bias"], ["c"], [attribute.int("transB", 1), attribute.float("alpha", 0.5)]);
  sketch.node("Tanh", ["c"], ["d"]);
  sketch.node("Transpose", ["third"], ["turned"], [attribute.ints("perm", [1, 0])]);
  sketch.node("MatMul", ["d", "turned"], ["scores"]);
  sketch.output("scores", float(["batch", 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

const OPTIONS: BuildOptions = {
  loss: { kind: "cross-entropy" },
  lora: { rank: 2, targets: ["*"], alpha: 4 },
  optimizer: { name: "adamw", weightDecay: 0 },
};
const feeds = {
  x: new OrtTensor("float32", wave(20, 9), [5, 4]),
  labels: new OrtTensor("int64", BigInt64Array.of(0n, 1n, 2n, 0n, 1n), [5]),
};

describe("low-rank adapters", () => {
  it("are what is trained, begin as nothing, and merge into the weights they belong to", async () => {
    const { portable, onnxruntime, report } = await buildTrainingArtifacts(network(), OPTIONS);
    expect(report.trainable.map(({ name, shape }) => [name, shape])).toEqual([
      ["first.lora_A", [4, 2]],
      ["first.lora_B", [2, 5]],
      ["second.lora_A", [5, 2]],
      ["second.lora_B", [2, 6]],
      ["third.lora_A", [6, 2]],
      ["third.lora_B", [2, 3]],
    ]);
    if (portable === null || onnxruntime === null) throw new Error("not built");
    for (const [runtime, source] of [
      ["ort-node", portable],
      ["ort-training", onnxruntime],
    ] as const) {
      const session = await TrainingSession.create(source, { runtime, learningRate: 0.05 });
      const plain = await openSession(encodeModel(network()));
      const input = { x: new Tensor("float32", wave(20, 9), [5, 4]) };
      const before = valuesOf((await plain.run(input))["scores"]);
      const untrained = valuesOf((await session.runEvalStep(feeds))["scores"]);
      for (const [index, value] of untrained.entries()) expect(value).toBeCloseTo(before[index] ?? 0, 6);
      const losses = [];
      for (let step = 0; step < 12; step++) losses.push(...(await session.trainSteps([feeds])));
      expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) * 0.8);
      const trained = valuesOf((await session.runEvalStep(feeds))["scores"]);
      const exported = decodeModel(await session.exportModel());
      await session.release();
      const original = network();
      expect(exported.graph.nodes.map(({ opType }) => opType)).toEqual(
        original.graph.nodes.map(({ opType }) => opType),
      );
      expect(exported.graph.outputs.map(({ name }) => name)).toEqual(["scores"]);
      expect(exported.graph.initializers.map(({ name }) => name).sort()).toEqual(["bias", "first", "second", "third"]);
      const merged = await openSession(encodeModel(exported));
      const after = valuesOf((await merged.run(input))["scores"]);
      for (const [index, value] of after.entries()) expect(value).toBeCloseTo(trained[index] ?? 0, 5);
      await plain.release();
      await merged.release();
    }
  });

  it("golden text", async () => {
    const net = network();
    const before = printModel(net);
    addLora(net, { rank: 1, targets: ["third"] });
    await expect(`${before}@@@\n${printModel(net)}`).toMatchFileSnapshot("../../fixtures/passes/lora/third.txt");
  });

  it("are refused where no weight is named so, or with a rank that is none", async () => {
    const refused = (lora: NonNullable<BuildOptions["lora"]>) =>
      rejectionOf(buildTrainingArtifacts(network(), { ...OPTIONS, lora }));
    const nobody = await refused({ rank: 2, targets: ["head"] });
    expect([nobody.code, nobody.hint]).toEqual(["E_NO_PARAMETERS", "There is first, second, third."]);
    expect((await refused({ rank: 0, targets: ["*"] })).code).toBe("E_OPTION");
  });
});
