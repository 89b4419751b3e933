import { readdirSync, readFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
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
import { decodeSafetensors, encodeState } from "../src/entries/training.ts";
import {
  type BuildOptions,
  buildTrainingArtifacts,
  checkGradients,
  type LossOptions,
  type Model,
  Tensor as OrtTensor,
  readModel,
  TrainingSession,
  type TrainingSessionOptions,
} from "../src/index.ts";
import { rejectionOf } from "./support/errors.ts";
import { hasShared, SHARED } from "./support/shared.ts";
import { valuesOf } from "./support/tensor-values.ts";

const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

/** conv, batch norm, ReLU, pool, linear. */
function convNet({ opset = 17, batch = "batch" as string | number } = {}): Model {
  const sketch = new Sketch("net");
  sketch.input("image", float([batch, 1, 6, 6]));
  const weights: readonly (readonly [string, readonly number[], Float32Array])[] = [
    ["conv.weight", [4, 1, 3, 3], wave(36, 1)],
    ["bn.weight", [4], Float32Array.of(1, 1.5, 0.5, 2)],
    ["bn.bias", [4], wave(4, 2)],
    ["bn.mean", [4], wave(4, 3)],
    ["bn.var", [4], Float32Array.of(1, 2, 0.5, 1)],
    ["fc.weight", [3, 36], wave(108, 4)],
    ["fc.bias", [3], wave(3, 5)],
    ["scale", [1], Float32Array.of(2)],
  ];
  for (const [name, dims, values] of weights) sketch.initializer(name, GraphTensor.from(DataType.float, dims, values));
  sketch.node("Conv", ["image", "conv.weight"], ["conv"], [attribute.ints("pads", [1, 1, 1, 1])]);
  sketch.node("BatchNormalization", ["conv", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["bn"]);
  sketch.node("Relu", ["bn"], ["relu"]);
  sketch.node(
    "MaxPool",
    ["relu"],
    ["pool"],
    [attribute.ints("kernel_shape", [2, 2]), attribute.ints("strides", [2, 2])],
  );
  sketch.node("Flatten", ["pool"], ["flat"]);
  sketch.node("Gemm", ["flat", "fc.weight", "fc.bias"], ["linear"], [attribute.int("transB", 1)]);
  sketch.node("Mul", ["linear", "scale"], ["logits"]);
  sketch.output("logits", float([batch, 3]));
  return model(sketch.graph, 8, [["", opset]]);
}

const images = (count: number, seed = 9) => ({
  image: new OrtTensor("float32", wave(count * 36, seed), [count, 1, 6, 6]),
  labels: new OrtTensor(
    "int64",
    BigInt64Array.from({ length: count }, (_, index) => BigInt(index % 3)),
    [count],
  ),
});

const CE: BuildOptions = { loss: { kind: "cross-entropy" } };

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
    const inference = await InferenceSession.create(encodeModel(exported));
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
    const session = await InferenceSession.create(encodeModel(net));
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
    const adan = await buildTrainingArtifacts(convNet(), { ...CE, optimizer: { name: "adan" } });
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

  it("refuses old opsets, and models without a gradient, naming the way", async () => {
    expect((await rejectionOf(buildTrainingArtifacts(convNet({ opset: 6 }), CE))).code).toBe("E_OPSET");
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

  it("falls back to float32 and says why", async () => {
    const check = await checkGradients(convNet(), CE);
    expect([check.precision, check.reason]).toEqual(["float32", expect.stringContaining("Conv")]);
    expect(check.parameters[0]?.difference).toBeLessThan(check.tolerance);
  });
});

describe.skipIf(!hasShared)("models exported from PyTorch", () => {
  const names = hasShared
    ? readdirSync(`${SHARED}zoo`)
        .filter((name) => name.endsWith(".onnx"))
        .map((name) => name.slice(0, -5))
    : [];
  /** The logits of albert are [batch, length, classes]. */
  const lossOf = (name: string, kind: string): LossOptions =>
    kind === "ce" ? { kind: "cross-entropy", classAxis: name === "albert" ? -1 : 1 } : { kind: "mse" };

  const load = async (name: string) => {
    const { tensors, metadata } = decodeSafetensors(readFileSync(`${SHARED}zoo/${name}.safetensors`));
    const meta = JSON.parse(metadata.get("meta") ?? "{}") as Readonly<Record<string, readonly number[]>> & {
      lossKind: string;
    };
    return {
      forward: await readModel(`${SHARED}zoo/${name}.onnx`),
      tensors: new Map(tensors.map((each) => [each.name, each.tensor])),
      meta,
    };
  };

  const feedsOf = (session: TrainingSession, tensors: ReadonlyMap<string, GraphTensor>) =>
    Object.fromEntries(
      session.trainingInputNames.map((name) => {
        const held = tensors.get(name === "labels" || name === "target" ? "target" : `in.${name}`);
        if (held === undefined) throw new Error(`no ${name}`);
        const values = held.values();
        return [
          name,
          held.dtype === DataType.int64
            ? new OrtTensor("int64", values as BigInt64Array, [...held.dims])
            : new OrtTensor("float32", Float32Array.from(values as Float64Array), [...held.dims]),
        ];
      }),
    );

  /**
   * PyTorch gives the row of an embedding's padding_idx no gradient, which the exported graph does not say: its elements are not
   * compared.
   */
  const PADDING: Readonly<Record<string, number>> = { "grad.m.albert.embeddings.word_embeddings.weight": 16 };

  it.each(names)("%s: every parameter's gradient", async (name) => {
    const { forward, tensors, meta } = await load(name);
    const { portable } = await buildTrainingArtifacts(forward, {
      loss: lossOf(name, meta.lossKind),
      targets: ["portable"],
    });
    if (portable === null) throw new Error("not built");
    const session = await TrainingSession.create(portable);
    await session.runTrainStep(feedsOf(session, tensors));
    const gradients = await session.getGradients();
    await session.release();
    const expected = [...tensors].filter(([key]) => key.startsWith("grad."));
    expect(Object.keys(gradients).sort()).toEqual(expected.map(([key]) => key.slice(5)).sort());
    const largest = (values: Iterable<number>): number =>
      [...values].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const overall = Math.max(...expected.map(([, tensor]) => largest(tensor.values() as Float64Array)));
    for (const [key, tensor] of expected) {
      const [reference, actual] = [tensor.values() as Float64Array, gradients[key.slice(5)]?.data as Float32Array];
      /** A gradient that is zero but for rounding (of a key's bias in attention, say) is compared with the others' size. */
      const scale = Math.max(largest(reference), 1e-4 * overall);
      const first = PADDING[key] ?? 0;
      const difference = largest(
        reference.map((value, index) => (index < first ? 0 : value - (actual[index] ?? Number.NaN))),
      );
      expect(difference / scale, key).toBeLessThan(1e-4);
    }
  });

  /** In albert PyTorch also leaves the padding's row of the embedding as it is, which the exported graph does not tell. */
  const LOSS_TOLERANCE: Readonly<Record<string, number>> = { albert: 1e-3 };

  const RUNS = [
    { optimizer: "adamw", agr: false, losses: "losses.adamw", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adamw", agr: false, losses: "losses.adamw", rate: 1e-3, runtime: "ort-training" },
    { optimizer: "adamw", agr: true, losses: "losses.adamw_agr", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adan", agr: false, losses: "losses.adan", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "adan", agr: true, losses: "losses.adan_agr", rate: 1e-3, runtime: "ort-node" },
    { optimizer: "sgd", agr: true, losses: "losses.sgd_agr", rate: 0.01, runtime: "ort-node" },
  ] as const;

  for (const { optimizer, agr, losses: key, rate, runtime } of RUNS) {
    it.each(names)(`%s: five steps of ${optimizer}${agr ? " with AGR" : ""} in ${runtime}`, async (name) => {
      const { forward, tensors, meta } = await load(name);
      const built = await buildTrainingArtifacts(forward, {
        loss: lossOf(name, meta.lossKind),
        optimizer: { name: optimizer },
        ...(agr ? { agr: {} } : {}),
        targets: [runtime === "ort-node" ? "portable" : "onnxruntime"],
      });
      const source = runtime === "ort-node" ? built.portable : built.onnxruntime;
      if (source === null) throw new Error("not built");
      const session = await TrainingSession.create(source, { runtime, learningRate: rate });
      const feeds = feedsOf(session, tensors);
      for (const [step, expected] of (meta[key] ?? []).entries()) {
        const [actual = Number.NaN] = await session.trainSteps([feeds]);
        expect(Math.abs(actual / expected - 1), `step ${step}`).toBeLessThan(LOSS_TOLERANCE[name] ?? 2e-4);
      }
      await session.release();
    });
  }
});
