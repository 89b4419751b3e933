import { describe, expect, it } from "vitest";
import { GradientError, PassError } from "../../src/index.ts";
import { keyOf } from "../../src/passes/decompose/compound.ts";
import { decompose } from "../../src/passes/decompose/index.ts";
import { COMPOUNDS } from "../../src/passes/decompose/table.ts";
import { lowerTrainingOps } from "../../src/passes/lower-training-ops/index.ts";
import { CASES, forward, type GradientCase, nameOf, outputsOf } from "../autodiff/cases.ts";

const keys = new Set(COMPOUNDS.map(({ domain, op }) => keyOf(domain, op)));

/** Some operators are taken apart with some inputs and attributes alone. */
const isTakenApart = (testCase: GradientCase): boolean =>
  COMPOUNDS.some(({ domain, op, when }) => {
    if (testCase.domain !== domain || testCase.op !== op) return false;
    const node = when === undefined ? undefined : forward(testCase).graph.nodes.find(({ opType }) => opType === op);
    return node === undefined || when?.(node) === true;
  });

const compounds = CASES.filter(isTakenApart).map((each) => [nameOf(each), each] as const);

/** Operators that ONNX Runtime has no kernel for on the CPU: PyTorch's numbers stand alone. */
const NO_KERNEL = ["com.microsoft.NhwcConv"];

describe("operators that are made of others", () => {
  it.each(compounds)("%s: ONNX Runtime's kernel and the parts give PyTorch's numbers", async (_, testCase) => {
    const kernel = forward(testCase);
    const parts = forward(testCase);
    const lowered = forward(testCase);
    expect(Object.values(decompose(parts))).toEqual([1]);
    if (testCase.domain !== "") expect(lowerTrainingOps(lowered).changed).toBeGreaterThan(0);
    const isKernel = !NO_KERNEL.includes(`${testCase.domain}.${testCase.op}`);
    for (const model of [parts, lowered, ...(isKernel ? [kernel] : [])]) {
      if (model === lowered && testCase.domain === "") continue;
      const actual = await outputsOf(model, testCase);
      for (const [index, { data }] of testCase.outputs.entries()) {
        const scale = Math.max(1e-3, ...data.map(Math.abs));
        expect(actual[index]).toHaveLength(data.length);
        const worst = data.map((value, at) => Math.abs((actual[index]?.[at] ?? Number.NaN) - value) / scale);
        /** float32 against float64. */
        expect(Math.max(...worst), `output ${index}, ${[parts, lowered, kernel].indexOf(model)}`).toBeLessThan(2e-5);
      }
    }
  });

  it("have a case each", () => {
    const tested = new Set(compounds.map(([, { domain, op }]) => keyOf(domain, op)));
    expect([...keys].filter((key) => !tested.has(key))).toEqual([]);
  });

  it("row 105: are refused with attributes that the parts do not know, where they are trained and where they are lowered", () => {
    const found = CASES.find(({ op }) => op === "GroupQueryAttention");
    if (found === undefined) throw new Error("no case");
    const odd = { ...found, attributes: { ...found.attributes, smooth_softmax: { int: 1 } } };
    const reason = "its attribute smooth_softmax is 1, which is not known";
    expect(() => decompose(forward(odd))).toThrow(GradientError);
    expect(() => decompose(forward(odd))).toThrow(reason);
    expect(() => lowerTrainingOps(forward(odd))).toThrow(PassError);
    expect(() => lowerTrainingOps(forward(odd))).toThrow(reason);
  });
});
