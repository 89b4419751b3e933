import { afterEach, expect, it, vi } from "vitest";
import { float, model, Sketch } from "../fixtures/sketch.ts";
import { blockSizeFor } from "../src/blocked-layout.ts";
import { attribute, decodeModel, GraphTensor } from "../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, type PortableArtifacts, Tensor, TrainingSession } from "../src/index.ts";
import { waysTo } from "../src/runtime/ort-node/ways.ts";
import { programsOf } from "../src/session-programs.ts";
import { CE, wave } from "./support/conv-net.ts";

const BATCH = 16;

/** What the package ships for threads and processes of their own. */
const WORKER = new URL("../dist/chunks/onnx-agr-worker.js", import.meta.url);

afterEach(() => vi.unstubAllEnvs());

/** Three convolutions that cost less in blocks: of few channels, of blocks of them, and of each by itself. */
function threeConvolutions(): Model {
  const sketch = new Sketch("net");
  sketch.input("image", float(["batch", 8, 16, 16]));
  const weights = { few: [32, 8, 5, 5], dense: [32, 32, 3, 3], each: [32, 1, 3, 3], "fc.weight": [4, 32] };
  for (const [index, [name, dims]] of Object.entries(weights).entries()) {
    const size = dims.reduce((product, each) => product * each, 1);
    sketch.initializer(
      name,
      GraphTensor.floats(
        dims,
        [...wave(size, index)].map((x) => x / 4),
      ),
    );
  }
  const pads = (by: number) => attribute.ints("pads", [by, by, by, by]);
  sketch.node("Conv", ["image", "few"], ["a"], [pads(2)]);
  sketch.node("Tanh", ["a"], ["b"]);
  sketch.node("Conv", ["b", "dense"], ["c"], [pads(1)]);
  sketch.node("Tanh", ["c"], ["d"]);
  sketch.node("Conv", ["d", "each"], ["e"], [pads(1), attribute.int("group", 32)]);
  sketch.node("GlobalAveragePool", ["e"], ["mean"]);
  sketch.node("Flatten", ["mean"], ["flat"]);
  sketch.node("Gemm", ["flat", "fc.weight"], ["logits"], [attribute.int("transB", 1)]);
  sketch.output("logits", float(["batch", 4]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** A stage of a ResNet of 64 channels behind one of 32: two convolutions with strides, whose images' gradients are added up. */
function stage(): Model {
  const sketch = new Sketch("stage");
  sketch.input("image", float(["batch", 8, 16, 16]));
  const weights = { stem: [32, 8, 1, 1], three: [64, 32, 3, 3], one: [64, 32, 1, 1], "fc.weight": [4, 64] };
  for (const [index, [name, dims]] of Object.entries(weights).entries()) {
    const size = dims.reduce((product, each) => product * each, 1);
    sketch.initializer(
      name,
      GraphTensor.floats(
        dims,
        [...wave(size, index)].map((x) => x / 4),
      ),
    );
  }
  const strides = attribute.ints("strides", [2, 2]);
  sketch.node("Conv", ["image", "stem"], ["a"]);
  sketch.node("Tanh", ["a"], ["b"]);
  sketch.node("Conv", ["b", "three"], ["c"], [strides, attribute.ints("pads", [1, 1, 1, 1])]);
  sketch.node("Conv", ["b", "one"], ["d"], [strides]);
  sketch.node("Add", ["c", "d"], ["e"]);
  sketch.node("Tanh", ["e"], ["f"]);
  sketch.node("GlobalAveragePool", ["f"], ["mean"]);
  sketch.node("Flatten", ["mean"], ["flat"]);
  sketch.node("Gemm", ["flat", "fc.weight"], ["logits"], [attribute.int("transB", 1)]);
  sketch.output("logits", float(["batch", 4]));
  return model(sketch.graph, 8, [["", 17]]);
}

async function built(net = threeConvolutions()): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(net, {
    ...CE,
    optimizer: { name: "adamw" },
    agr: {},
    winograd: false,
    targets: ["portable"],
  });
  if (portable === null) throw new Error("a portable set was asked for");
  return portable;
}

const batch = (seed: number) => ({
  image: new Tensor("float32", wave(BATCH * 8 * 256, seed), [BATCH, 8, 16, 16]),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: BATCH }, (_, at) => BigInt(at % 4)),
    [BATCH],
  ),
});

const blockedNodes = (net: Model | null): number =>
  net?.graph.nodes.filter(({ domain, opType }) => domain === "com.microsoft.nchwc" && opType === "Conv").length ?? 0;

it("runs training and evaluation in blocks, and exports what was built", async ({ skip }) => {
  const artifacts = await built();
  const block = await blockSizeFor(artifacts, waysTo(undefined), {});
  if (block === null) return skip("ONNX Runtime has no blocks for this processor");
  const programs = programsOf(artifacts, {}, { block, parts: 1 });
  for (const net of [programs.gradients, programs.trainStep]) expect(blockedNodes(net)).toBeGreaterThanOrEqual(3);
  expect(blockedNodes(programs.evaluation)).toBe(3);
  for (const net of [programs.evalModel, artifacts.trainStep, artifacts.gradients]) expect(blockedNodes(net)).toBe(0);
});

it.each([[{}], [{ isolation: "thread", worker: WORKER }], [{ isolation: "process", worker: WORKER }]] as const)(
  "gives the losses and the model that it gives without blocks: %o",
  async (options) => {
    const artifacts = await built();
    const losses: number[][] = [];
    const exported: Model[] = [];
    for (const state of ["0", "1"]) {
      vi.stubEnv("ONNX_AGR_BLOCKED", state);
      const session = await TrainingSession.create(artifacts, { ...options, learningRate: 0.01, threads: 1 });
      losses.push([...(await session.trainSteps([batch(1), batch(2), batch(3), batch(1)]))]);
      losses.push([Number((await session.runEvalStep(batch(4)))["loss"]?.data[0])]);
      exported.push(decodeModel(await session.exportModel()));
      await session.release();
    }
    const [plain = [], plainEval = [], blocked = [], blockedEval = []] = losses;
    for (const [at, loss] of [...plain, ...plainEval].entries())
      expect([...blocked, ...blockedEval][at]).toBeCloseTo(loss, 5);
    expect(plain[3]).toBeLessThan(plain[0] ?? 0);
    for (const net of exported) expect(blockedNodes(net)).toBe(0);
  },
);

it("trains a stage with strides as it does without blocks, its images' gradients in phases", async ({ skip }) => {
  const artifacts = await built(stage());
  const block = await blockSizeFor(artifacts, waysTo(undefined), {});
  if (block === null) return skip("ONNX Runtime has no blocks for this processor");
  const transposed = (net: Model | null): number =>
    net?.graph.nodes.filter(({ opType }) => opType === "ConvTranspose").length ?? 0;
  const { trainStep } = programsOf(artifacts, {}, { block, parts: 1 });
  expect(transposed(artifacts.trainStep)).toBe(2);
  expect(transposed(trainStep)).toBe(0);
  const losses: number[][] = [];
  for (const state of ["0", "1"]) {
    vi.stubEnv("ONNX_AGR_BLOCKED", state);
    const session = await TrainingSession.create(artifacts, { learningRate: 0.01, threads: 2 });
    losses.push([...(await session.trainSteps([batch(1), batch(2), batch(3), batch(1)]))]);
    await session.release();
  }
  const [plain = [], blocked = []] = losses;
  expect(blocked).toHaveLength(4);
  for (const [at, loss] of plain.entries()) expect(blocked[at]).toBeCloseTo(loss, 5);
  expect(plain[3]).toBeLessThan(plain[0] ?? 0);
});

it("has no blocks where they are turned off, for other providers, and without convolutions", async () => {
  const artifacts = await built();
  const ways = waysTo(undefined);
  expect(await blockSizeFor(artifacts, ways, { executionProviders: ["webgpu", "cpu"] })).toBeNull();
  expect(await blockSizeFor({ ...artifacts, gradients: artifacts.apply, trainStep: null }, ways, {})).toBeNull();
  vi.stubEnv("ONNX_AGR_BLOCKED", "0");
  expect(await blockSizeFor(artifacts, ways, {})).toBeNull();
});
