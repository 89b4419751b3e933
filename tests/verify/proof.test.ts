import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LAYERS, makeLargeStep } from "../../fixtures/large-step.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { insertProven, type OnnxAgrError, proveGradients } from "../../src/index.ts";
import { hasRightOutputs, wrongOutputs } from "../support/field-steps.ts";
import { hasShared, SHARED } from "../support/shared.ts";

describe("proveGradients", () => {
  it("names the derivative of the loss and proves it", async () => {
    const proof = await proveGradients(makePlainStep({ update: "adan" }));
    expect(proof?.precision).toBe("float64");
    for (const { parameter, gradient, cosine } of proof?.parameters ?? []) {
      expect(gradient).toBe(`${parameter}_gradient`);
      expect(Math.abs(cosine ?? 0)).toBeGreaterThan(0.999999);
    }
    expect(proof?.parameters).toHaveLength(2);
  });

  it("leaves to the other forms what is theirs", async () => {
    const model = makePlainStep({ update: "sgd" });
    model.metadata.set("onnx-agr.gradients", JSON.stringify({ weight_gradient: "weight" }));
    expect(await proveGradients(model)).toBeNull();
  });
});

describe("the cost of the proof", () => {
  // Measured: 0.6 s of processor time.
  it("is some runs of the step, in float32 where the step is large", { timeout: 120_000 }, async () => {
    const step = makeLargeStep(5e6);
    const begin = process.cpuUsage();
    const proof = await proveGradients(step);
    const { user, system } = process.cpuUsage(begin);
    expect(proof).toMatchObject({ precision: "float32", method: "gradients", isCrossChecked: true, unproven: [] });
    expect(proof?.parameters).toHaveLength(LAYERS);
    for (const { cosine } of proof?.parameters ?? []) expect(Math.abs((cosine ?? 0) - 1)).toBeLessThan(1e-5);
    expect((user + system) / 1e6).toBeLessThan(5);
  });

  it("draws numbers that saturate no layer: every parameter is seen in two draws", async () => {
    const proof = await proveGradients(makeLargeStep(1e6));
    expect(proof?.precision).toBe("float64");
    for (const { cosine } of proof?.parameters ?? []) expect(Math.abs((cosine ?? 0) - 1)).toBeLessThan(1e-9);
  });
});

const FIELD = `${SHARED}field/steps/`;
const names = hasShared
  ? readdirSync(FIELD)
      .filter((name) => name.endsWith(".onnx"))
      .map((name) => name.slice(0, -5))
      .filter((name) => hasRightOutputs(`${FIELD}${name}`) && name !== "muon_plain_momentum")
  : [];

describe.skipIf(!hasShared)("rows 106 and 107: steps of others, against AGR by hand", () => {
  it("none is wrong, and all are right", { timeout: 60_000 }, async () => {
    const refused: string[] = [];
    for (const name of names) {
      const model = decodeModel(readFileSync(`${FIELD}${name}.onnx`));
      try {
        await insertProven(model);
      } catch (error) {
        expect((error as OnnxAgrError).exitCode, name).toBe(4);
        refused.push(name);
        continue;
      }
      expect(await wrongOutputs(`${FIELD}${name}`, encodeModel(model)), name).toEqual([]);
    }
    expect(refused).toEqual([]);
  });
});
