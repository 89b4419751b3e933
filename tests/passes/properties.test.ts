import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep, UPDATES, type UpdateName } from "../../fixtures/plain-steps.ts";
import { makeOrtStep, makePreviewStep } from "../../fixtures/tensor-optimizers.ts";
import { checkModel, DataType, decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { type InsertAgrOptions, insertAgr, type Model, OnnxAgrError, stripAgr } from "../../src/index.ts";
import { isFull } from "../support/counts.ts";

const updates = fc.constantFrom(...(Object.keys(UPDATES) as UpdateName[]));

const models: fc.Arbitrary<Model> = fc.oneof(
  fc
    .record({
      algorithm: fc.constantFrom("AdamWOptimizer" as const, "SGDOptimizerV2" as const),
      irVersion: fc.integer({ min: 7, max: 10 }),
      opset: fc.integer({ min: 14, max: 21 }),
      clip: fc.boolean(),
    })
    .map(makeOptimizer),
  fc
    .record({
      network: fc.constantFrom("linear" as const, "attention" as const),
      update: updates,
      biasUpdate: updates,
      clip: fc.boolean(),
      report: fc.boolean(),
      tied: fc.boolean(),
      frozen: fc.boolean(),
      matrix: fc.boolean(),
    })
    .map(makePlainStep),
  fc
    .tuple(
      fc.constantFrom("AdamOptimizer" as const, "LambOptimizer" as const, "SGDOptimizer" as const),
      fc.constantFrom(DataType.float, DataType.float16, DataType.double),
    )
    .map(([opType, dtype]) => makeOrtStep(opType, dtype)),
  fc.constantFrom("Adam" as const, "Adagrad" as const, "Momentum" as const).map(makePreviewStep),
);

const options: fc.Arbitrary<InsertAgrOptions> = fc.record(
  {
    scope: fc.constantFrom("tensor" as const, "channel" as const, "global" as const),
    strength: fc.double({ min: 0, max: 1, noNaN: true }),
    minElements: fc.integer({ min: 1, max: 5 }),
    minRank: fc.integer({ min: 0, max: 2 }),
    form: fc.constantFrom("function" as const, "inline" as const),
    count: fc.integer({ min: 1, max: 4 }),
    exclude: fc.constantFrom([], ["*b*"], ["x.a"]),
    reported: fc.constantFrom("raw" as const, "regularized" as const),
  },
  { requiredKeys: [] },
);

const RUNS = isFull ? 200 : 60;

describe("whatever the form and the options", () => {
  it("an insertion that is possible is idempotent, valid and undone byte for byte; one that is not changes nothing", () => {
    let inserted = 0;
    fc.assert(
      fc.property(models, options, options, (made, first, second) => {
        const original = encodeModel(made);
        const model = decodeModel(original);
        for (const each of [first, second]) {
          const before = encodeModel(model);
          try {
            insertAgr(model, each);
          } catch (error) {
            expect(error).toBeInstanceOf(OnnxAgrError);
            expect(encodeModel(model)).toEqual(before);
            continue;
          }
          inserted++;
          const bytes = encodeModel(model);
          const again = decodeModel(bytes);
          checkModel(again);
          expect(insertAgr(again, each).changed).toBe(0);
          expect(encodeModel(again)).toEqual(bytes);
          stripAgr(again);
          expect(encodeModel(again)).toEqual(original);
        }
      }),
      { numRuns: RUNS, seed: 11 },
    );
    expect(inserted).toBeGreaterThan(RUNS / 2);
  });
});
