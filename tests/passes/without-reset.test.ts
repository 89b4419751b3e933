import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { makeMlpArtifacts } from "../../fixtures/mlp.ts";
import { readPlan } from "../../src/artifacts/portable/plan.ts";
import { DataType, decodeModel, encodeModel, Node, Value } from "../../src/entries/graph.ts";
import { loadOrtNode } from "../../src/entries/run.ts";
import { lowerArtifacts, type Model, readArtifacts, Tensor, type TrainingArtifacts } from "../../src/index.ts";
import { withoutReset } from "../../src/passes/portable/without-reset.ts";
import { DIGITS } from "../support/cli.ts";

const ort = await loadOrtNode();

function stepOf(model: Model): Parameters<typeof withoutReset>[0] {
  const { role: _, ...plan } = readPlan(model, "gradients");
  return { model: model.clone(), ...plan };
}

/** What a model of gradients gives for made-up inputs, by output. */
async function outputsOf(model: Model, resets: boolean): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const session = await ort.InferenceSession.create(encodeModel(model), { logSeverityLevel: 3 });
  const feeds = Object.fromEntries(
    model.graph.inputs.map(({ name, type }, at) => {
      if (type?.kind !== "tensor") throw new Error(`${name} is no tensor`);
      const dims = (type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 3));
      const size = dims.reduce((product, dim) => product * dim, 1);
      if (type.dtype === DataType.bool) return [name, new Tensor("bool", Uint8Array.of(resets ? 1 : 0), dims)];
      if (type.dtype === DataType.int64)
        return [
          name,
          new Tensor(
            "int64",
            BigInt64Array.from({ length: size }, (_, index) => BigInt(index % 2)),
            dims,
          ),
        ];
      const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index + 0.7 * at));
      return [name, new Tensor("float32", values, dims)];
    }),
  );
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Array.from(data as Float32Array)]),
  );
}

const ARTIFACTS: readonly (readonly [string, () => TrainingArtifacts | Promise<TrainingArtifacts>])[] = [
  ["digits", () => readArtifacts(DIGITS)],
  ["an MLP", () => makeMlpArtifacts([6, 8, 4])],
];

describe("gradients without a reset", () => {
  for (const [name, make] of ARTIFACTS) {
    it.each([true, false])(`of ${name} are those with it, reset %s, bit for bit`, async (resets) => {
      const { gradients } = await lowerArtifacts(await make());
      const step = withoutReset(stepOf(gradients), resets);
      if (step === null) throw new Error("it has no reset");
      const { reset } = readPlan(gradients, "gradients");
      expect(step.reset).toBeNull();
      expect(step.model.graph.inputs.map((input) => input.name)).not.toContain(reset);
      expect(step.model.graph.outputs.map((output) => output.name)).toEqual(
        gradients.graph.outputs.map((output) => output.name),
      );
      const chosen = (model: Model): number => model.graph.nodes.filter(({ opType }) => opType === "Where").length;
      expect(chosen(step.model)).toBeLessThan(chosen(gradients));
      expect(await outputsOf(step.model, resets)).toEqual(await outputsOf(gradients, resets));
    });
  }

  it("gives a gradient that is an input, or is given twice, under each name", async () => {
    const made = makeLinearArtifacts([{ name: "w", shape: [2] }], { algorithm: "SGDOptimizerV2" });
    const trainingModel = decodeModel(made.trainModel as Uint8Array);
    const { gradients } = await lowerArtifacts({
      trainingModel,
      optimizerModel: null,
      evalModel: null,
      checkpoint: null,
    });
    for (const resets of [true, false]) {
      const step = withoutReset(stepOf(gradients), resets);
      if (step === null) throw new Error("it has no reset");
      expect(await outputsOf(step.model, resets)).toEqual(await outputsOf(gradients, resets));
    }
  });

  it("are none where the flag is read for something else, and the model stays as it is", async () => {
    const { gradients } = await lowerArtifacts(makeMlpArtifacts([6, 8, 4]));
    const step = stepOf(gradients);
    const flag = step.model.graph.inputs.find(({ name }) => name === step.reset);
    if (flag === undefined) throw new Error("no reset");
    const [first] = step.model.graph.nodes;
    if (first === undefined) throw new Error("no nodes");
    step.model.graph.append(new Node("Not", [flag], [new Value("not")], { name: "not" }));
    const before = encodeModel(step.model);
    expect(withoutReset(step, true)).toBeNull();
    expect(encodeModel(step.model)).toEqual(before);
    expect(withoutReset({ ...step, reset: null }, true)).toBeNull();
  });
});
