import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../../fixtures/linear.ts";
import { makeOptimizer } from "../../../fixtures/optimizer.ts";
import { DataType, decodeModel, encodeModel, GraphTensor, Node, Value } from "../../../src/entries/graph.ts";
import { decodeCheckpoint } from "../../../src/entries/training.ts";
import { TENSOR } from "../../../src/graph/proto/schema.ts";
import { writeMessage } from "../../../src/graph/proto/write.ts";
import { insertAgr, readArtifacts, Tensor, TrainingSession } from "../../../src/index.ts";
import { worstDifference } from "../../support/agr-reference.ts";
import { withVersion } from "../../support/checkpoint-version.ts";
import { rejectionOf } from "../../support/errors.ts";
import { publishedCases } from "../../support/published-cases.ts";
import { hasShared } from "../../support/shared.ts";
import { temporaryFolder } from "../../support/temporary.ts";
import { valuesOf } from "../../support/tensor-values.ts";
import { testBackend } from "../session.case.ts";

testBackend({
  name: "ort-training",
  open: (artifacts, options) => TrainingSession.create(artifacts, { ...options, runtime: "ort-training" }),
  tolerance: 2e-7,
  skip: [],
});

const create: typeof TrainingSession.create = (source, options = {}) =>
  TrainingSession.create(source, { runtime: "ort-training", ...options });

const PARAMETERS = [{ name: "w", shape: [3] }];
const files = (change?: Parameters<typeof makeLinearArtifacts>[2]) => makeLinearArtifacts(PARAMETERS, {}, change);

describe.skipIf(!hasShared)("AGR in the training API, against the published code's numbers", () => {
  it.each(publishedCases())("$name", async ({ shape, gradient, expected }) => {
    const parameters = [{ name: "w", shape }];
    const artifacts = makeLinearArtifacts(parameters, { algorithm: "SGDOptimizerV2" }, (optimizer) => {
      insertAgr(optimizer, { parameters, minElements: 1 });
    });
    const session = await create(artifacts, { learningRate: 1 });
    await session.runTrainStep({ x_w: new Tensor("float32", Float32Array.from(gradient), [...shape]) });
    await session.runOptimizerStep();
    const { data } = await session.getContiguousParameters();
    await session.release();
    const actual = [...(data as Float32Array)].map((value) => -value);
    expect(worstDifference(actual, expected, gradient)).toBeLessThan(2e-7);
  });
});

describe("artifacts the training build would answer with a number", () => {
  it.each([
    [
      "no optimizer",
      files((model) => renamed(model, "AdamWOptimizer", "Adam")),
      "E_OPTIMIZER_MODEL",
      /no AdamWOptimizer or SGDOptimizerV2 stands in its main graph/,
    ],
    [
      "inputs renamed",
      files((model) => renameInput(model, "gradients", "grads")),
      "E_OPTIMIZER_MODEL",
      /its inputs must be learning_rate, step, params, gradients/,
    ],
    [
      "an opset of today",
      { ...files(), optimizerModel: encodeModel(makeOptimizer({ opset: 23 })) },
      "E_OPSET",
      /optimizerModel has opset 23; ONNX Runtime 1\.19\.2 reads up to 21/,
    ],
    [
      "an IR version of today",
      { ...files(), optimizerModel: encodeModel(makeOptimizer({ irVersion: 12 })) },
      "E_IR_VERSION",
      /IR version 12/,
    ],
    ["a model that is none", { ...files(), evalModel: Uint8Array.of(0x1f, 0x8b) }, "E_NOT_ONNX", /gzip/],
    [
      "a checkpoint of another model",
      { ...files(), checkpointState: makeLinearArtifacts([{ name: "v", shape: [3] }], {}).checkpointState },
      "E_CHECKPOINT_MISMATCH",
      /"w" is missing/,
    ],
  ] as const)("with %s are refused first", async (_, artifacts, code, message) => {
    const error = await rejectionOf(create(artifacts));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it("and that pass every check are named by which of them fails to load", async () => {
    const unknownOp = decodeModel(files().evalModel as Uint8Array);
    const [first] = unknownOp.graph.nodes;
    if (first === undefined) throw new Error("no node");
    unknownOp.graph.insertBefore(first, new Node("NoSuchOperator", [], [new Value("nothing")], { name: "bad" }));
    const error = await rejectionOf(create({ ...files(), evalModel: encodeModel(unknownOp) }));
    expect([error.code, error.exitCode]).toEqual(["E_LOAD", 9]);
    expect(error.message).toContain("could not load the eval model");
  });
});

describe("artifacts of earlier generations train as today's do", () => {
  const trained = async (artifacts: ReturnType<typeof files>): Promise<number[]> => {
    const session = await create(artifacts);
    await session.runTrainStep({ x_w: new Tensor("float32", Float32Array.of(1, -2, 3), [3]) });
    await session.runOptimizerStep();
    const values = valuesOf(await session.getContiguousParameters());
    await session.release();
    return values;
  };

  it.each(["AdamWOptimizer", "SGDOptimizerV2"] as const)(
    "the flag of %s declared as int64[1] (up to 1.15)",
    async (algorithm) => {
      const variant = (dtype: number) =>
        makeLinearArtifacts(PARAMETERS, { algorithm }, ({ graph: { outputs } }) => {
          const [flag] = outputs;
          if (flag !== undefined) flag.type = { kind: "tensor", dtype, shape: [1] };
        });
      expect(await trained(variant(DataType.int64))).toEqual(await trained(variant(DataType.bool)));
    },
  );

  it("a checkpoint of version 1 (1.16)", async () => {
    const { checkpointState, ...models } = files();
    const old = withVersion(checkpointState as Uint8Array, 1);
    expect(await trained({ ...models, checkpointState: old })).toEqual(await trained(files()));
  });
});

describe("artifacts in other forms", () => {
  const DIGITS = fileURLToPath(new URL("../../../fixtures/digits/", import.meta.url));

  it("a checkpoint folder from before 1.16 is converted on the way", async () => {
    const folder = temporaryFolder();
    const { trainable } = decodeCheckpoint(readFileSync(`${DIGITS}checkpoint`));
    const messages = trainable.map(({ name, tensor }) => {
      const values = new Uint8Array(tensor.values().slice().buffer);
      return Buffer.concat(
        writeMessage(TENSOR, { name, dims: tensor.dims.map(BigInt), dataType: tensor.dtype, rawData: values }).parts,
      );
    });
    const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
    const pbseq = Buffer.concat([
      Buffer.from(varint(messages.length)),
      ...messages.flatMap((each) => [Buffer.from(varint(each.length)), each]),
    ]);
    writeFileSync(join(folder, "paramtrain_tensors.pbseq"), pbseq);
    const parameters = async (checkpointState: string): Promise<number[]> => {
      const session = await create({ checkpointState, trainModel: `${DIGITS}training_model.onnx` });
      const values = valuesOf(await session.getContiguousParameters());
      await session.release();
      return values;
    };
    expect(await parameters(folder)).toEqual(await parameters(`${DIGITS}checkpoint`));
  });

  it("tensors outside the model are taken in from its folder, and refused from bytes alone", async () => {
    const folder = temporaryFolder();
    for (const name of ["checkpoint", "optimizer_model.onnx"]) cpSync(DIGITS + name, join(folder, name));
    const model = decodeModel(readFileSync(`${DIGITS}training_model.onnx`));
    const axis = model.graph.initializers.find(({ name }) => name === "axis0");
    if (axis === undefined) throw new Error("no initializer");
    const at = { location: "weights.bin", offset: 0, length: 8, checksum: null };
    axis.tensor = new GraphTensor(DataType.int64, [1], { kind: "external", at });
    const bytes = encodeModel(model);
    writeFileSync(join(folder, "training_model.onnx"), bytes);
    writeFileSync(join(folder, "weights.bin"), new Uint8Array(8));
    const session = await create(await readArtifacts(folder));
    expect(session.trainingInputNames).toEqual(["input", "labels"]);
    await session.release();
    const error = await rejectionOf(create({ checkpointState: `${DIGITS}checkpoint`, trainModel: bytes }));
    expect([error.code, error.exitCode]).toEqual(["E_EXTERNAL_DATA", 9]);
  });
});

describe("options", () => {
  it("out of range are usage errors", async () => {
    expect((await rejectionOf(create(files(), { threads: 0 }))).exitCode).toBe(2);
    expect((await rejectionOf(create(files(), { learningRate: -1 }))).exitCode).toBe(2);
    expect((await rejectionOf(create(files(), { runtime: "other" as "ort-training" }))).exitCode).toBe(2);
  });

  it("for execution providers take the CPU by either name, and no other", async () => {
    await (await create(files(), { executionProviders: ["wasm"] })).release();
    await (await create(files(), { executionProviders: [{ name: "cuda" }, "cpu"] })).release();
    const error = await rejectionOf(create(files(), { executionProviders: ["webgpu"] }));
    expect([error.code, error.exitCode]).toEqual(["E_EXECUTION_PROVIDER", 9]);
  });

  it("for threads hold for the process", async () => {
    await (await create(files())).release();
    const error = await rejectionOf(create(files(), { threads: 2 }));
    expect([error.code, error.exitCode]).toEqual(["E_THREADS", 9]);
  });
});

function renamed(model: ReturnType<typeof makeOptimizer>, from: string, to: string): void {
  const old = model.graph.nodes.find(({ opType }) => opType === from);
  if (old === undefined) throw new Error(`no ${from}`);
  const flag = new Value("flag", model.graph.outputs[0]?.type ?? null);
  model.graph.append(new Node(to, old.inputs, [flag], { domain: old.domain }));
  model.graph.setOutput(0, flag);
  model.graph.remove(old);
}

function renameInput(model: ReturnType<typeof makeOptimizer>, from: string, to: string): void {
  for (const input of model.graph.inputs) if (input.name === from) input.name = to;
}
