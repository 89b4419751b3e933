import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { makeOrtStep, makePreviewStep } from "../../fixtures/tensor-optimizers.ts";
import { attribute, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { type InsertAgrOptions, insertAgr, type Model, verifyInsertion } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

const PARAMETERS = [
  { name: "w", shape: [4, 3] },
  { name: "b", shape: [4] },
  { name: "one", shape: [1] },
];

const MODELS: readonly (readonly [string, () => Model, InsertAgrOptions, edges: number, whole: boolean | null])[] = [
  ["a sequence, unrolled", makeOptimizer, { parameters: PARAMETERS }, 1, null],
  [
    "a sequence, selected by name, inline",
    makeOptimizer,
    { parameters: PARAMETERS, include: ["w"], form: "inline" },
    1,
    null,
  ],
  ["a sequence, mapped", makeOptimizer, { minRank: 2 }, 1, null],
  ["a sequence, one sum", makeOptimizer, { count: 3, scope: "global", strength: 0.5 }, 1, null],
  ["ONNX Runtime's tensors", () => makeOrtStep("AdamOptimizer"), {}, 2, null],
  ["ONNX's operators", () => makePreviewStep("Adam"), { scope: "global" }, 2, null],
  ["a plain step", () => makePlainStep({ update: "adan" }), {}, 2, true],
  ["a plain step, one sum, clipped", () => makePlainStep({ update: "sgd", clip: true }), { scope: "global" }, 2, true],
  [
    "a plain step, gradients shown",
    () => makePlainStep({ update: "sgd", report: true }),
    { reported: "regularized" },
    2,
    true,
  ],
];

describe("verifyInsertion", () => {
  it.each(MODELS)("%s", async (_, make, options, edges, whole) => {
    const inserted = make();
    insertAgr(inserted, options);
    const verification = await verifyInsertion(make(), inserted, options);
    expect(verification.edgesReason).toBeNull();
    expect(verification.edges).toHaveLength(edges);
    for (const { error } of verification.edges ?? []) expect(error).toBeLessThan(2e-6);
    expect(verification.identicalAtStrengthZero).toBe(whole);
    expect(verification.wholeGraphReason === null).toBe(whole !== null);
  });

  it("finds an insertion that does something else than the formula", async () => {
    const inserted = makePlainStep({ update: "sgd" });
    insertAgr(inserted, { form: "inline" });
    const constant = inserted.graph.nodes.find(({ name }) => name.endsWith("/strength"));
    constant?.attributes.set("value", attribute.tensor("value", GraphTensor.scalar(1, 0.9)));
    const error = await rejectionOf(verifyInsertion(makePlainStep({ update: "sgd" }), inserted));
    expect([error.code, error.exitCode]).toEqual(["E_VERIFY", 7]);
    expect(error.message).toMatch(/what the optimizer reads for "weight_gradient" differs from the formula/);
  });

  it("changes neither model", async () => {
    const [original, inserted] = [makePlainStep({ update: "lion" }), makePlainStep({ update: "lion" })];
    insertAgr(inserted);
    const bytes = [encodeModel(original), encodeModel(inserted)];
    await verifyInsertion(original, inserted);
    expect([encodeModel(original), encodeModel(inserted)]).toEqual(bytes);
    expect(decodeModel(encodeModel(inserted)).metadata.has("onnx-agr")).toBe(true);
  });
});
