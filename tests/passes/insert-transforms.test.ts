import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { makeCorpusStep } from "../../fixtures/step-corpus/index.ts";
import { encodeModel } from "../../src/entries/graph.ts";
import { insertAgr, insertProven, type Model, stripAgr, verifyFinished } from "../../src/index.ts";
import { agrReference } from "../support/agr-reference.ts";
import { command } from "../support/command.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { runStep, worstDifference } from "../support/step-corpus.ts";
import { temporaryFolder } from "../support/temporary.ts";
import { valuesOf } from "../support/tensor-values.ts";

const STEP = { optimizer: "adamw", variant: "plain" } as const;

describe("insert with transforms beside AGR", () => {
  it.each([
    [["clip-norm:0.5", "agr"], "clipped by norm", "transformed"],
    [["agr", "clip-norm:0.5"], "clipped by norm", "raw"],
    [["clip-value:0.1"], "clipped by value", "transformed"],
    [["agr", "clip-value:0.1"], "clipped by value", "raw"],
  ] as const)("%j is what a step has where it is written by hand", async (transforms, variant, agr) => {
    const step = makeCorpusStep(STEP);
    const { report } = await insertProven(step, { transforms });
    expect(report.reached).toEqual(["weight", "bias"]);
    const expected = await runStep(makeCorpusStep({ optimizer: "adamw", variant, agr }));
    expect(worstDifference(await runStep(step), expected)).toBeLessThan(1e-6);
  });

  it("is adaptive clipping, centralization and normalization of the reported gradients", async () => {
    const step = makePlainStep({ update: "sgd", report: true });
    insertAgr(step, { transforms: ["centralize", "agc:0.05", "agr", "normalize"] });
    const outputs = await run(step);
    for (const [name, rows] of [
      ["weight", 3],
      ["bias", 1],
    ] as const) {
      const [parameter, gradient, renewed] = [
        outputs.inputs[name],
        outputs[`${name}_gradient`],
        outputs[`${name}_out`],
      ];
      const width = (gradient?.length ?? 0) / rows;
      const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
      const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, each) => sum + each * each, 0));
      const clipped = Array.from({ length: rows }, (_, row) => {
        const part = (values: readonly number[] = []): number[] => values.slice(row * width, (row + 1) * width);
        const own = part(gradient);
        const centred = rows === 1 ? own : own.map((each) => each - mean(own));
        const most = 0.05 * Math.max(norm(part(parameter)), 1e-3);
        return norm(centred) > most ? centred.map((each) => (each * most) / norm(centred)) : centred;
      }).flat();
      const [regularized = []] = agrReference([{ shape: [clipped.length], values: clipped }]);
      const expected = (parameter ?? []).map((each, at) => each - (0.1 * (regularized[at] ?? 0)) / norm(regularized));
      for (const [at, value] of expected.entries()) expect(renewed?.[at]).toBeCloseTo(value, 6);
    }
  });

  it.each([[["clip-norm:1", "centralize", "agc:0.01", "agr"]], [["agr", "clip-value:1"]]])(
    "%j is stripped as one, is there once, and is checked as a finished file",
    async (transforms) => {
      const step = makeCorpusStep(STEP);
      const before = encodeModel(step);
      const { options } = await insertProven(step, { transforms });
      expect(insertAgr(step, options).changed).toBe(0);
      const { checks } = await verifyFinished(step);
      const verdicts = Object.fromEntries(checks.map(({ check, passed }) => [check, passed]));
      expect(verdicts).toEqual({ structure: true, formula: null, "strength-zero": null, gradients: true });
      expect(checks.find(({ check }) => check === "formula")?.detail).toContain("stand beside AGR");
      stripAgr(step);
      expect(Buffer.compare(encodeModel(step), before)).toBe(0);
    },
  );

  it.each([
    ["a sequence", () => makeOptimizer(), {}, "as a sequence"],
    ["one sum over all", () => makeCorpusStep(STEP), { scope: "global" }, "scope tensor or channel"],
  ] as const)("E_TRANSFORM: refuses %s", (_, make, options, text) => {
    const model = make();
    const error = errorOf(() => insertAgr(model, { ...options, transforms: ["clip-value:1", "agr"] }));
    expect([error.code, `${error.message} ${error.hint}`]).toEqual(["E_TRANSFORM", expect.stringContaining(text)]);
  });
});

describe("insert --transform", () => {
  it("writes what verify takes, and refuses what is no transform", { timeout: 60_000 }, async () => {
    const [step, output] = ["step.onnx", "out.onnx"].map((name) => join(temporaryFolder(), name)) as [string, string];
    writeFileSync(step, encodeModel(makeCorpusStep(STEP)));
    const args = ["insert", step, "-o", output, "--transform"];
    const wrong = await command([...args, "agr,clip:1"]);
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('"clip:1" is no transform of gradients')]);
    const right = await command([...args, "clip-norm:1, centralize, agc:0.01, agr"]);
    expect([right.status, right.stderr]).toEqual([0, expect.stringContaining("proven in onnxruntime-node")]);
    const verified = await command(["verify", output, "--json"]);
    expect([verified.status, JSON.parse(verified.stdout)]).toEqual([0, expect.objectContaining({ passed: true })]);
    const stripped = await command(["strip", output, "--in-place"]);
    expect([stripped.status, readFileSync(output).equals(readFileSync(step))]).toEqual([0, true]);
  });
});

/** The outputs of a plain step on made-up numbers, and what its parameters were. */
async function run(
  model: Model,
): Promise<
  Readonly<Record<string, readonly number[]>> & { readonly inputs: Readonly<Record<string, readonly number[]>> }
> {
  const session = await openSession(encodeModel(model));
  const feeds = model.graph.inputs.map(({ name, type }, position): [string, Tensor] => {
    const shape = type?.kind === "tensor" ? (type.shape ?? []).map(Number) : [];
    const size = shape.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from({ length: size }, (_, index) => Math.sin(5 * position + index + 1));
    return [name, new Tensor("float32", name === "lr" ? values.fill(0.1) : values, shape)];
  });
  const results = await session.run(Object.fromEntries(feeds));
  const listed = (tensors: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, valuesOf(tensor as Tensor)]));
  return Object.assign(listed(results), { inputs: listed(Object.fromEntries(feeds)) });
}
