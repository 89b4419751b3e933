import { describe, expect, it } from "vitest";
import { encodeModel } from "../src/entries/graph.ts";
import { type BuildOptions, buildTrainingArtifacts, checkGradients, TrainingSession } from "../src/index.ts";
import { CE, convNet, images } from "./support/conv-net.ts";
import { rejectionOf } from "./support/errors.ts";
import { openSession } from "./support/ort.ts";
import { valuesOf } from "./support/tensor-values.ts";

/** Cross-entropy of the first class, in float64. */
function crossEntropy(logits: readonly number[]): number {
  const largest = Math.max(...logits);
  const sum = logits.reduce((all, each) => all + Math.exp(each - largest), 0);
  return Math.log(sum) + largest - (logits[0] ?? Number.NaN);
}

describe("BatchNormalization with running statistics", () => {
  it("trains batches of one sample with the loss that inference has, and leaves the statistics as they are", async () => {
    const net = convNet({ batch: 1 });
    const forward = await openSession(encodeModel(net));
    const { logits } = await forward.run({ image: images(1).image });
    await forward.release();
    const { portable } = await buildTrainingArtifacts(net, { ...CE, batchNorm: "running", optimizer: { name: "sgd" } });
    if (portable === null) throw new Error("not built");
    const session = await TrainingSession.create(portable, { runtime: "ort-node", learningRate: 0.1 });
    const stateOf = async (name: string): Promise<readonly number[]> =>
      Array.from((await session.getState()).tensors.get(name)?.values() ?? [], Number);
    const names = ["bn.mean", "bn.var", "conv.weight"];
    const [mean, variance, weight] = await Promise.all(names.map(stateOf));
    const [first = Number.NaN, second = Number.NaN] = await session.trainSteps([images(1), images(1)]);
    /** Both in float32. */
    expect(first).toBeCloseTo(crossEntropy(valuesOf(logits)), 5);
    expect(second).toBeLessThan(first);
    expect([await stateOf("bn.mean"), await stateOf("bn.var")]).toEqual([mean, variance]);
    expect(await stateOf("conv.weight")).not.toEqual(weight);
    await session.release();
  });

  it("has gradients that are those of the loss, to the convolution before it too", async () => {
    const check = await checkGradients(convNet({ batch: 1 }), { ...CE, batchNorm: "running" });
    expect(check.precision).toBe("float64");
    const names = check.parameters.map(({ parameter }) => parameter).sort();
    expect(names).toEqual(["bn.bias", "bn.weight", "conv.weight", "fc.bias", "fc.weight", "scale"]);
    for (const { parameter, difference } of check.parameters) expect(difference, parameter).toBeLessThan(1e-6);
    const conv = check.parameters.find(({ parameter }) => parameter === "conv.weight");
    expect(Math.abs(conv?.analytic ?? 0)).toBeGreaterThan(1e-4);
  });

  it("is named where the file has all in inference mode and nothing is asked for", async () => {
    const notesWith = async (options: Partial<BuildOptions>): Promise<string> =>
      (await buildTrainingArtifacts(convNet(), { ...CE, targets: ["portable"], ...options })).report.notes.join("\n");
    const said = /every BatchNormalization \(1\) in inference mode: .* --batch-norm running/;
    expect(await notesWith({})).toMatch(said);
    for (const batchNorm of ["batch", "running"] as const) expect(await notesWith({ batchNorm })).not.toMatch(said);
  });

  it("is named where it is none of the two", async () => {
    const options = { ...CE, batchNorm: "none" as "batch" };
    const error = await rejectionOf(checkGradients(convNet(), options));
    expect([error.code, error.message]).toEqual(["E_OPTION", expect.stringContaining("batch or running")]);
  });
});
