import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../fixtures/sketch.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  GraphFunction,
  GraphTensor,
  Node,
  Value,
} from "../src/entries/graph.ts";
import { encodeState } from "../src/entries/training.ts";
import {
  buildTrainingArtifacts,
  type Model,
  type Tensor as OrtTensor,
  TrainingSession,
  type TrainingSessionOptions,
} from "../src/index.ts";
import { CE, convNet, images } from "./support/conv-net.ts";
import { rejectionOf } from "./support/errors.ts";
import { openSession } from "./support/ort.ts";
import { valuesOf } from "./support/tensor-values.ts";

async function losses(
  built: Awaited<ReturnType<typeof buildTrainingArtifacts>>,
  options: TrainingSessionOptions,
): Promise<number[]> {
  const source = options.runtime === "ort-training" ? built.onnxruntime : built.portable;
  if (source === null) throw new Error("not built");
  const session = await TrainingSession.create(source, { learningRate: 0.01, ...options });
  const result: number[] = [];
  for (let step = 0; step < 6; step++) result.push(...(await session.trainSteps([images(5)])));
  await session.release();
  return result;
}

describe("buildTrainingArtifacts", () => {
  it("makes both sets, which train alike, and says what is trained", async () => {
    const built = await buildTrainingArtifacts(convNet(), { ...CE, agr: {} });
    expect(built.report.trainable.map(({ name }) => name)).toEqual([
      ...["conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias", "scale"],
    ]);
    expect(built.report.frozen).toEqual(["bn.mean", "bn.var"]);
    expect(built.report.skipped).toEqual([]);
    const [expected, actual] = [
      await losses(built, { runtime: "ort-training" }),
      await losses(built, { runtime: "ort-node" }),
    ];
    for (const [step, loss] of expected.entries()) expect(Math.abs((actual[step] ?? 0) / loss - 1)).toBeLessThan(2e-5);
    expect(expected.at(-1)).toBeLessThan((expected[0] ?? 0) * 0.9);
  });

  it("leaves the model alone, gives the same bytes each time, and every model is whole", async () => {
    const forward = convNet();
    const before = encodeModel(forward);
    const [first, second] = [await buildTrainingArtifacts(forward, CE), await buildTrainingArtifacts(forward, CE)];
    expect(encodeModel(forward)).toEqual(before);
    const all = ({ onnxruntime, portable }: typeof first): readonly (Model | null)[] => [
      ...[onnxruntime?.trainingModel ?? null, onnxruntime?.evalModel ?? null, onnxruntime?.optimizerModel ?? null],
      ...[
        portable?.trainStep ?? null,
        portable?.gradients ?? null,
        portable?.apply ?? null,
        portable?.evalModel ?? null,
      ],
    ];
    for (const [index, each] of all(first).entries()) {
      if (each === null) throw new Error(`model ${index} is missing`);
      const bytes = encodeModel(each);
      checkModel(decodeModel(bytes));
      expect(encodeModel(all(second)[index] as Model)).toEqual(bytes);
      expect(bytes.length).toBeLessThan(200_000);
    }
    expect(first.onnxruntime?.checkpoint).toEqual(second.onnxruntime?.checkpoint);
    if (first.portable?.state && second.portable?.state) {
      expect(encodeState(first.portable.state)).toEqual(encodeState(second.portable.state));
    }
  });

  it("keeps the metadata of the user's model, up to what export gives", async () => {
    const forward = convNet();
    forward.metadata.set("author", "the user");
    const { portable, onnxruntime } = await buildTrainingArtifacts(forward, CE);
    for (const source of [portable, onnxruntime]) {
      if (source === null) throw new Error("not built");
      const session = await TrainingSession.create(source);
      const { metadata } = decodeModel(await session.exportModel());
      await session.release();
      expect([...metadata]).toEqual([["author", "the user"]]);
    }
  });

  it("renews running statistics in training, evaluates with them, and exports them", async () => {
    const { portable } = await buildTrainingArtifacts(convNet(), CE);
    if (portable === null) throw new Error("not built");
    const session = await TrainingSession.create(portable, { learningRate: 0.01 });
    const before = await session.getState();
    const feeds = images(6);
    await session.trainSteps([feeds]);
    const after = await session.getState();
    const values = (state: typeof before, name: string): number[] =>
      Array.from(state.tensors.get(name)?.values() ?? [], Number);
    const conv = await convolved(before, feeds.image);
    for (let channel = 0; channel < 4; channel++) {
      const mean = conv[channel]?.reduce((sum, value) => sum + value / (6 * 36), 0) ?? 0;
      const expected = 0.9 * (values(before, "bn.mean")[channel] ?? 0) + 0.1 * mean;
      expect(values(after, "bn.mean")[channel]).toBeCloseTo(expected, 5);
    }
    const evaluated = (await session.runEvalStep(feeds))["logits"]?.data as Float32Array;
    const exported = decodeModel(await session.exportModel());
    await session.release();
    expect(exported.graph.initializers.find(({ name }) => name === "bn.mean")?.tensor?.values()).toEqual(
      after.tensors.get("bn.mean")?.values(),
    );
    const inference = await openSession(encodeModel(exported));
    const { logits } = await inference.run({
      image: new Tensor("float32", feeds.image.data as Float32Array, [6, 1, 6, 6]),
    });
    await inference.release();
    for (const [index, value] of valuesOf(logits).entries()) expect(value).toBeCloseTo(evaluated[index] ?? 0, 5);
  });

  async function convolved(
    state: { readonly tensors: ReadonlyMap<string, GraphTensor> },
    image: OrtTensor,
  ): Promise<number[][]> {
    const net = convNet();
    const conv = net.graph.nodes[0]?.outputs[0];
    const weight = state.tensors.get("conv.weight");
    if (!conv || weight === undefined) throw new Error("no convolution");
    conv.type = { kind: "tensor", dtype: DataType.float, shape: null };
    net.graph.replaceOutputs([conv]);
    const session = await openSession(encodeModel(net));
    const [result] = Object.values(
      await session.run({ image: new Tensor("float32", image.data as Float32Array, [6, 1, 6, 6]) }),
    );
    await session.release();
    const data = valuesOf(result);
    return [0, 1, 2, 3].map((channel) => data.filter((_, index) => Math.floor(index / 36) % 4 === channel));
  }

  it("trains what is asked for, and keeps the rest as it is", async () => {
    const chosen = await buildTrainingArtifacts(convNet(), { ...CE, parameters: ["fc.*"] });
    expect(chosen.report.trainable.map(({ name }) => name)).toEqual(["fc.weight", "fc.bias"]);
    const frozen = await buildTrainingArtifacts(convNet(), { ...CE, freeze: ["conv.*", "bn.*", "scale"] });
    expect(frozen.report.trainable).toEqual(chosen.report.trainable);
    expect(frozen.portable?.gradients.graph.nodes.some(({ name }) => name.startsWith("conv/Conv/grad"))).toBe(false);
    const nobody = await rejectionOf(buildTrainingArtifacts(convNet(), { ...CE, freeze: ["head.*"] }));
    expect([nobody.code, nobody.hint]).toEqual(["E_NO_PARAMETERS", expect.stringContaining("conv.weight")]);
    const all = await rejectionOf(buildTrainingArtifacts(convNet(), { ...CE, freeze: ["*"] }));
    expect([all.code, all.exitCode]).toEqual(["E_NO_PARAMETERS", 4]);
  });

  it("gives an optimizer that the training API does not have to the portable set alone", async () => {
    const adan = await buildTrainingArtifacts(convNet(), { ...CE, batchNorm: "batch", optimizer: { name: "adan" } });
    expect([adan.onnxruntime, adan.report.notes]).toEqual([
      null,
      [expect.stringContaining("the training API has no adan")],
    ]);
    const error = await rejectionOf(
      buildTrainingArtifacts(convNet(), { ...CE, optimizer: { name: "adan" }, targets: ["onnxruntime"] }),
    );
    expect([error.code, error.exitCode]).toEqual(["E_TARGET", 4]);
    const only = await buildTrainingArtifacts(convNet(), { ...CE, targets: ["portable"] });
    expect([only.onnxruntime, only.portable === null]).toEqual([null, false]);
  });

  it("row 94: parameters of more than 2 GiB are the portable set's alone, and their bytes are not copied", async () => {
    const sketch = new Sketch("large");
    sketch.input("x", float(["batch", 8192]));
    const bytes = new Uint8Array(2 ** 28);
    for (let layer = 0; layer < 9; layer++) {
      sketch.initializer(`w${layer}`, new GraphTensor(DataType.float, [8192, 8192], { kind: "raw", bytes }));
      sketch.node("MatMul", [layer === 0 ? "x" : `h${layer - 1}`, `w${layer}`], [`h${layer}`]);
    }
    sketch.output("h8", float(["batch", 8192]));
    const large = model(sketch.graph, 8, [["", 17]]);
    const { onnxruntime, portable, report } = await buildTrainingArtifacts(large, { loss: { kind: "mse" } });
    expect(onnxruntime).toBeNull();
    expect(report.notes).toEqual([
      "no files for ONNX Runtime's training API: its checkpoint format holds 2 GiB, and the parameters take 2.3",
    ]);
    const data = portable?.state?.tensors.get("w8")?.data;
    expect(data?.kind === "raw" && data.bytes.buffer === bytes.buffer).toBe(true);
    const asked = await rejectionOf(buildTrainingArtifacts(large, { loss: { kind: "mse" }, targets: ["onnxruntime"] }));
    expect([asked.code, asked.exitCode]).toEqual(["E_TARGET", 4]);
  });

  it("takes the weight decay from biases and norms where it is told to", async () => {
    const build = (decayMinRank: number) =>
      buildTrainingArtifacts(convNet(), { ...CE, optimizer: { name: "sgd", weightDecay: 0.5 }, decayMinRank });
    const decays = ({ portable }: Awaited<ReturnType<typeof build>>): number =>
      portable?.apply?.graph.nodes.filter(({ opType, name }) => opType === "Mul" && name.startsWith("optimizer/"))
        .length ?? 0;
    expect(decays(await build(0)) - decays(await build(2))).toBe(4);
  });

  it("refuses operators that are newer than the opset, and models without a gradient, naming the way", async () => {
    expect((await rejectionOf(buildTrainingArtifacts(convNet({ opset: 6 }), CE))).code).toBe("E_NO_UPGRADE");
    const net = convNet();
    const relu = net.graph.nodes.find(({ opType }) => opType === "Relu");
    const [output] = relu?.outputs ?? [];
    if (!relu || !output) throw new Error("no relu");
    const unknown = new Value("strange", output.type);
    net.graph.insertBefore(relu, new Node("MelWeightMatrix", relu.inputs, [unknown], { name: "strange" }));
    output.replaceAllUsesWith(unknown);
    net.graph.remove(relu);
    const error = await rejectionOf(buildTrainingArtifacts(net, CE));
    expect([error.code, error.exitCode, error.field]).toEqual(["E_NO_GRADIENT_RULE", 4, "strange"]);
    const head = await buildTrainingArtifacts(net, { ...CE, parameters: ["fc.*"] });
    expect(head.report.trainable).toHaveLength(2);
  });

  it("refuses parameters of float64, whose optimizer would not load", async () => {
    const sketch = new Sketch("double");
    sketch.input("x", tensor(DataType.double, ["N", 2]));
    sketch.initializer("w", GraphTensor.from(DataType.double, [2, 1], Float64Array.of(1, 2)));
    sketch.node("MatMul", ["x", "w"], ["y"]);
    sketch.output("y", tensor(DataType.double, ["N", 1]));
    const error = await rejectionOf(
      buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" } }),
    );
    expect([error.code, error.exitCode, error.field, error.message]).toEqual([
      ...["E_PRECISION", 4, "w"],
      expect.stringContaining('"w" is double'),
    ]);
  });

  it("goes through model-local functions", async () => {
    const net = convNet();
    const relu = net.graph.nodes.find(({ opType }) => opType === "Relu");
    if (relu === undefined) throw new Error("no relu");
    const [input, output] = [relu.inputs[0], relu.outputs[0]];
    if (!input || !output) throw new Error("no relu");
    const leaky = new GraphFunction("Leaky", "test");
    leaky.opsets.set("", 17);
    leaky.attributes.push("slope");
    const [x, y] = [new Value("x"), new Value("y")];
    leaky.body.inputs.push(x);
    leaky.body.append(
      new Node("LeakyRelu", [x], [y], {
        attributes: [{ name: "alpha", kind: "reference", value: { attribute: "slope", type: "float" } }],
      }),
    );
    leaky.body.addOutput(y);
    net.functions.push(leaky);
    net.opsets.set("test", 1);
    const made = new Value("leaky", output.type);
    net.graph.insertBefore(
      relu,
      new Node("Leaky", [input], [made], {
        name: "leaky",
        domain: "test",
        attributes: [attribute.float("slope", 0.25)],
      }),
    );
    output.replaceAllUsesWith(made);
    net.graph.remove(relu);
    const built = await buildTrainingArtifacts(net, CE);
    expect(built.report.notes[0]).toContain("1 calls of functions");
    const steps = await losses(built, { runtime: "ort-node" });
    expect(steps.at(-1)).toBeLessThan(steps[0] ?? 0);
  });
});
