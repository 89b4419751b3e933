import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { makePlainStep, UPDATES, type UpdateName } from "../../fixtures/plain-steps.ts";
import { checkModel, DataType, encodeModel } from "../../src/entries/graph.ts";
import { insertAgr, type Model } from "../../src/index.ts";
import { joinUpdates } from "../../src/passes/joined/join-updates.ts";
import { wholeStep } from "../../src/passes/portable/whole-step.ts";
import { openSession } from "../support/ort.ts";

/** What a model gives for inputs made up by their names, by output, as bytes. */
async function outputsOf({ graph }: Model, bytes: Uint8Array): Promise<ReadonlyMap<string, string>> {
  const session = await openSession(bytes);
  try {
    const feeds = graph.inputs.map(({ name, type }) => {
      if (type?.kind !== "tensor" || type.dtype !== DataType.float) throw new Error(`${name} is no tensor of floats`);
      const dims = (type.shape ?? []).map(Number);
      const size = dims.reduce((product, dim) => product * dim, 1);
      const seed = Buffer.from(name).reduce((sum, byte) => sum + byte, 0);
      /** Means of squares are not negative. */
      const numbers = Float32Array.from({ length: size }, (_, at) => 0.6 + Math.sin(at * 12.9898 + seed) / 2);
      return [name, new Tensor("float32", numbers, dims)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    const hex = ({ data }: Tensor): string => Buffer.from((data as Float32Array).buffer).toString("hex");
    return new Map(Object.entries(results).map(([name, tensor]) => [name, hex(tensor)]));
  } finally {
    await session.release();
  }
}

const VARIANTS: Readonly<Record<string, (update: UpdateName) => Model>> = {
  "as exported": (update) => makePlainStep({ network: "attention", update }),
  clipped: (update) => makePlainStep({ network: "attention", update, clip: true }),
  "with AGR": (update) => {
    const model = makePlainStep({ network: "attention", update });
    insertAgr(model, { minElements: 1 });
    return model;
  },
};

describe("joined updates of steps in plain operators", () => {
  for (const [variant, make] of Object.entries(VARIANTS)) {
    it.each(Object.keys(UPDATES) as UpdateName[])(`%s, ${variant}: the same bit for bit`, async (update) => {
      const { step } = wholeStep(make(update));
      const before = encodeModel(step.model);
      const expected = await outputsOf(step.model, before);
      const { step: joined, parameters, separate } = joinUpdates(step);
      const { model } = separate(joined);
      checkModel(model);
      /** Not that whose gradient ends in an addition. */
      expect(parameters).toBe(update === "sgd" && variant !== "with AGR" ? 0 : 4);
      expect(await outputsOf(model, encodeModel(model))).toEqual(expected);
    });
  }
});
