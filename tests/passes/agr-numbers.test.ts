import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { DataType, decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { type InsertAgrOptions, insertAgr } from "../../src/index.ts";
import { agrReference, worstDifference } from "../support/agr-reference.ts";
import { publishedCases } from "../support/published-cases.ts";
import { type Gradient, runInsertedGradients } from "../support/run-gradients.ts";
import { hasShared } from "../support/shared.ts";

/** float32 has 24 bits: a short sum and the four operations after it stay within a few units of the last place (6e-8). */
const TOLERANCE = 2e-7;

const GRADIENTS: readonly Gradient[] = [
  { shape: [4], values: [1, -2, 3, -4] },
  { shape: [2, 3], values: [0.5, -0.25, 1e-3, 7, -3, 0.125] },
  { shape: [3, 2, 1], values: [1e-8, -2e-8, 3e-8, 4e-8, -5e-8, 6e-8] },
  { shape: [1], values: [0.75] },
  { shape: [5], values: [0, 0, 0, 0, 0] },
  { shape: [6], values: [1e-42, -2e-42, 0, 1e-40, 3e-41, -1e-41] },
];

const parameters = GRADIENTS.map(({ shape }, index) => ({ name: `p${index}`, shape }));

async function run(options: InsertAgrOptions, gradients: readonly Gradient[], variant = {}): Promise<Float32Array[]> {
  const model = decodeModel(encodeModel(makeOptimizer(variant)));
  insertAgr(model, options);
  return runInsertedGradients(decodeModel(encodeModel(model)), gradients);
}

describe("in onnxruntime-node, against the formula in float64", () => {
  const forms: readonly (readonly [string, InsertAgrOptions])[] = [
    ["function", { parameters }],
    ["inline", { parameters, form: "inline" }],
    ["map", {}],
    ["count", { count: GRADIENTS.length }],
  ];
  for (const [form, options] of forms) {
    for (const opset of [14, 17, 21]) {
      if (form === "map" && opset === 14) continue;
      for (const scope of ["tensor", "channel", "global"] as const) {
        it(`${form}, opset ${opset}, scope ${scope}, strength 0.5`, async () => {
          const perSum = ({ shape, values }: Gradient): number =>
            scope === "channel" ? values.length / (shape[0] ?? 1) : values.length;
          const expected = agrReference(GRADIENTS, { scope, strength: 0.5, applies: (each) => perSum(each) >= 2 });
          const actual = await run({ ...options, scope, strength: 0.5 }, GRADIENTS, { opset });
          for (const [index, values] of actual.entries()) {
            expect(worstDifference(values, expected[index] ?? [], GRADIENTS[index]?.values ?? [])).toBeLessThan(
              TOLERANCE,
            );
          }
        });
      }
    }
  }

  it("row 67: with strength 0 every bit stays", async () => {
    const actual = await run({ parameters, strength: 0 }, [
      ...GRADIENTS.slice(0, 5),
      { shape: [6], values: [-0, 0, 1, -1, 1e-30, 1e30] },
    ]);
    for (const [index, values] of actual.entries()) {
      const given = index === 5 ? [-0, 0, 1, -1, 1e-30, 1e30] : (GRADIENTS[index]?.values ?? []);
      expect(new Uint32Array(values.buffer)).toEqual(new Uint32Array(Float32Array.from(given).buffer));
    }
  });

  it("selects by rank and by shape inside the graph", async () => {
    const byRank = await run({ parameters, minRank: 2 }, GRADIENTS);
    const byName = await run({ parameters, include: ["p0", "p2"] }, GRADIENTS);
    const ranked = agrReference(GRADIENTS, { applies: ({ shape }) => shape.length >= 2 });
    const named = agrReference(GRADIENTS, { applies: (each) => each === GRADIENTS[0] || each === GRADIENTS[2] });
    for (const index of GRADIENTS.keys()) {
      const { values = [] } = GRADIENTS[index] ?? {};
      expect(worstDifference(byRank[index] ?? [], ranked[index] ?? [], values)).toBeLessThan(TOLERANCE);
      expect(worstDifference(byName[index] ?? [], named[index] ?? [], values)).toBeLessThan(TOLERANCE);
    }
  });

  it("row 65: minElements 1 is the literal paper: one element becomes zero", async () => {
    const actual = await run({ parameters, minElements: 1 }, GRADIENTS);
    expect([...(actual[3] ?? [])]).toEqual([0]);
  });

  it("row 65: one-hot becomes zero, two equal entries are halved, zero stays zero", async () => {
    const gradients = [
      { shape: [4], values: [0, 0, 5, 0] },
      { shape: [2], values: [0.5, 0.5] },
      { shape: [2], values: [0, 0] },
    ];
    const actual = await run({ count: 3 }, gradients);
    expect(actual.map((values) => [...values])).toEqual([
      [0, 0, 0, 0],
      [0.25, 0.25],
      [0, 0],
    ]);
  });

  it("row 65: NaN and infinities go as in the formula, and an unselected gradient keeps them as they are", async () => {
    const gradients = [
      { shape: [3], values: [1, Number.NaN, 2] },
      { shape: [3], values: [1, Number.POSITIVE_INFINITY, -2] },
      { shape: [3], values: [3e38, 3e38, -3e38] },
      { shape: [1], values: [Number.POSITIVE_INFINITY] },
    ];
    for (const options of [{ count: 4 }, { count: 4, form: "inline" as const }, {}]) {
      const actual = await run(options, gradients);
      expect(actual.map((values) => [...values])).toEqual([
        [Number.NaN, Number.NaN, Number.NaN],
        [1, Number.NaN, -2],
        [3e38, 3e38, -3e38].map(Math.fround),
        [Number.POSITIVE_INFINITY],
      ]);
    }
  });
});

describe("float16 gradients", () => {
  it("are summed in float32, where float16 would overflow, and come back as float16", async () => {
    const values = [30000, -40000, 50000, 20000];
    for (const options of [{ count: 1 }, { count: 1, form: "inline" as const }, {}]) {
      const model = decodeModel(encodeModel(makeOptimizer()));
      for (const input of model.graph.inputs) {
        if (input.name === "gradients")
          input.type = { kind: "sequence", element: { kind: "tensor", dtype: DataType.float16, shape: null } };
      }
      insertAgr(model, options);
      const [actual = []] = await runInsertedGradients(
        decodeModel(encodeModel(model)),
        [{ shape: [4], values }],
        DataType.float16,
      );
      const [expected = []] = agrReference([{ shape: [4], values }]);
      expect(worstDifference(actual, expected, values)).toBeLessThan(2 ** -11);
    }
  });
});

describe.skipIf(!hasShared)("in onnxruntime-node, against the published code's numbers", () => {
  it.each(publishedCases())("$name", async ({ shape, gradient, expected }) => {
    const [actual = []] = await run({ count: 1, minElements: 1 }, [{ shape, values: gradient }]);
    expect(worstDifference(actual, expected, gradient)).toBeLessThan(TOLERANCE);
  });
});
