import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import type { OptimizerVariant } from "../../fixtures/optimizer.ts";
import { attribute, decodeModel, printModel, setLearningRate } from "../../src/entries/graph.ts";
import { lowerArtifacts, type Model, type ParameterGroup, Tensor, TrainingSession } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

const PARAMETERS = [
  { name: "layer.weight", shape: [2, 3] },
  { name: "layer.bias", shape: [3] },
];
const GRADIENTS: Readonly<Record<string, readonly number[]>> = {
  "layer.weight": [0.5, -1, 2, -0.25, 3, 0.125],
  "layer.bias": [1, -2, 3],
};
const feeds = (factor: number): Record<string, Tensor> =>
  Object.fromEntries(
    PARAMETERS.map(({ name, shape }) => [
      `x_${name}`,
      new Tensor(
        "float32",
        Float32Array.from(GRADIENTS[name] ?? [], (value) => value * factor),
        [...shape],
      ),
    ]),
  );

/** Parameters after three steps with different gradients. */
async function train(
  files: ReturnType<typeof makeLinearArtifacts>,
  options: Parameters<typeof TrainingSession.create>[1],
): Promise<number[]> {
  const session = await TrainingSession.create(files, options);
  for (const factor of [1, -0.5, 3]) {
    await session.runTrainStep(feeds(factor));
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  const result = [...((await session.getContiguousParameters()).data as Float32Array)];
  await session.release();
  return result;
}

const withAttributes =
  (changes: readonly ReturnType<typeof attribute.int>[]) =>
  (optimizer: Model): void => {
    for (const node of optimizer.graph.nodes) {
      if (node.opType === "AdamWOptimizer") for (const each of changes) node.attributes.set(each.name, each);
    }
  };

/** The kernels compute in float32 in another order: a few units in the last place of updates of about 1e-3 each. */
const TOLERANCE = 2e-8;

describe("the unrolled optimizer does what ONNX Runtime's kernel does", () => {
  const variants: readonly (readonly [string, OptimizerVariant, (optimizer: Model) => void])[] = [
    ["AdamW as exported", {}, () => undefined],
    [
      "AdamW, PyTorch's mode, with decay",
      {},
      withAttributes([attribute.int("adam_mode", 0), attribute.float("weight_decay", 0.1)]),
    ],
    ["AdamW, transformers' mode, with decay", {}, withAttributes([attribute.float("weight_decay", 0.1)])],
    ["AdamW without bias correction", {}, withAttributes([attribute.int("correct_bias", 0)])],
    ["AdamW with clipping", { clip: true }, () => undefined],
    ["SGD", { algorithm: "SGDOptimizerV2" }, () => undefined],
    ["SGD with clipping", { algorithm: "SGDOptimizerV2", clip: true }, () => undefined],
    [
      "AdamW with a schedule in its graph",
      {},
      (optimizer) => setLearningRate(optimizer, { rate: 0.01, decay: "cosine", warmupSteps: 1, totalSteps: 10 }),
    ],
  ];

  it.each(variants)("%s", async (_, variant, change) => {
    const files = makeLinearArtifacts(PARAMETERS, variant, change);
    const expected = await train(files, { runtime: "ort-training" });
    const actual = await train(files, { runtime: "ort-node" });
    for (const [index, value] of expected.entries()) {
      expect(Math.abs((actual[index] ?? Number.NaN) - value)).toBeLessThan(
        TOLERANCE * Math.max(1, Math.abs(value) / 1e-2),
      );
    }
    expect(new Set(expected).size).toBeGreaterThan(2);
  });
});

describe("parameter groups", () => {
  const groups: readonly ParameterGroup[] = [
    { parameters: ["*.bias"], learningRateScale: 0.5, weightDecay: 0 },
    { parameters: ["*"], weightDecay: 0.1 },
  ];

  it("scale the learning rate and set the decay of theirs alone", async () => {
    const decaying = withAttributes([attribute.float("weight_decay", 0.1)]);
    const files = makeLinearArtifacts(PARAMETERS, {}, decaying);
    const bare = makeLinearArtifacts(PARAMETERS, {});
    const grouped = await train(bare, { runtime: "ort-node", learningRate: 0.01, parameterGroups: groups });
    const weights = await train(files, { runtime: "ort-node", learningRate: 0.01 });
    const biases = await train(bare, { runtime: "ort-node", learningRate: 0.005 });
    expect(grouped.slice(0, 6)).toEqual(weights.slice(0, 6));
    expect(grouped.slice(6)).toEqual(biases.slice(6));
  });

  it("refuse what no parameter belongs to, and optimizers and runtimes that have none", async () => {
    const files = makeLinearArtifacts(PARAMETERS, {});
    const create = (...args: Parameters<typeof TrainingSession.create>) => rejectionOf(TrainingSession.create(...args));
    const nobody = await create(files, { runtime: "ort-node", parameterGroups: [{ parameters: ["head.*"] }] });
    expect([nobody.code, nobody.hint]).toEqual(["E_GROUP", "The parameters are layer.weight, layer.bias."]);
    const wasm = await create(files, { runtime: "ort-training", parameterGroups: groups });
    expect([wasm.code, wasm.exitCode, wasm.field]).toEqual(["E_OPTION", 2, "parameterGroups"]);
    const sgd = makeLinearArtifacts(PARAMETERS, { algorithm: "SGDOptimizerV2" });
    expect((await create(sgd, { runtime: "ort-node", parameterGroups: groups })).code).toBe("E_NO_LOWERING");
  });
});

it("golden text of an unrolled optimizer", async () => {
  const { trainModel, evalModel, optimizerModel, checkpointState } = makeLinearArtifacts(PARAMETERS.slice(1), {
    clip: true,
  });
  const decode = (bytes: unknown): Model => decodeModel(bytes as Uint8Array);
  const { apply } = await lowerArtifacts({
    trainingModel: decode(trainModel),
    evalModel: decode(evalModel),
    optimizerModel: decode(optimizerModel),
    checkpoint: checkpointState as Uint8Array,
  });
  if (apply === null) throw new Error("no apply model");
  const before = printModel(decode(optimizerModel));
  await expect(`${before}@@@\n${printModel(apply)}`).toMatchFileSnapshot(
    "../../fixtures/passes/unroll-optimizer/adamw-clip.txt",
  );
});
