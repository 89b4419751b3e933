import { describe, expect, it } from "vitest";
import { GRADIENT_RULES } from "../../src/autodiff/table.ts";
import { operatorOf, schemaOf } from "../../src/ops/operators/index.ts";
import { build, CASES, type GradientCase, nameOf, open } from "./cases.ts";

/** Largest difference, relative to the largest entry of what is expected. */
function difference(actual: readonly number[] | undefined, expected: readonly number[]): number {
  if (actual === undefined || actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const scale = Math.max(1e-3, ...expected.map(Math.abs));
  return Math.max(0, ...expected.map((value, index) => Math.abs((actual[index] ?? Number.NaN) - value) / scale)) || 0;
}

const largest = (differences: readonly number[]): number =>
  differences.some(Number.isNaN) ? Number.NaN : Math.max(0, ...differences);

describe("gradients are PyTorch's", () => {
  for (const dynamic of [false, true]) {
    it.each(CASES.map((each) => [nameOf(each), each] as const))(
      `%s, ${dynamic ? "symbolic" : "static"} shapes`,
      async (_, testCase) => {
        const built = build(testCase, "float", dynamic);
        const session = await open(testCase, built, "float");
        const results = await session.run({});
        await session.release();
        for (const [index, output] of testCase.outputs.entries()) {
          expect(difference(results[`y${index}`], output.data), `output ${index}`).toBeLessThan(1e-4);
        }
        for (const [name, gradient] of Object.entries(testCase.gradients)) {
          expect(difference(results[built.gradients[name] ?? ""], gradient.data), name).toBeLessThan(1e-4);
        }
      },
    );
  }
});

const isMissingKernel = (error: unknown): boolean =>
  error instanceof Error &&
  /does not support double|NOT_IMPLEMENTED|Could not find an implementation|Type Error|type inference failed/i.test(
    error.message,
  );

/** The largest difference; null where a kernel is missing. */
async function centralDifferences(testCase: GradientCase): Promise<number | null> {
  const built = build(testCase, "double", false);
  let session: Awaited<ReturnType<typeof open>>;
  let analytic: Awaited<ReturnType<typeof session.run>>;
  try {
    session = await open(testCase, built, "double");
    analytic = await session.run({});
  } catch (error) {
    if (isMissingKernel(error)) return null;
    throw error;
  }
  const step = 1e-5;
  const worst: number[] = [];
  for (const name of Object.keys(testCase.gradients)) {
    const own = testCase.inputs.find((input) => input?.name === name)?.data ?? [];
    const numeric: number[] = [];
    for (let index = 0; index < own.length; index++) {
      const at = async (delta: number): Promise<number> => {
        const moved = own.map((value, each) => (each === index ? value + delta : value));
        return (await session.run({ [name]: moved }, ["loss"]))["loss"]?.[0] ?? Number.NaN;
      };
      numeric.push(((await at(step)) - (await at(-step))) / (2 * step));
    }
    worst.push(difference(analytic[built.gradients[name] ?? ""], numeric));
  }
  await session.release();
  return largest(worst);
}

describe("gradients are central differences in float64", () => {
  it.each(CASES.map((each) => [nameOf(each), each] as const))("%s", async (_, testCase) => {
    const worst = await centralDifferences(testCase);
    if (testCase.single === null) {
      expect(worst, "ONNX Runtime lacks a kernel: say single(...) where the case is made").not.toBeNull();
      expect(worst).toBeLessThan(1e-5);
    }
    if (testCase.single === "no float64 kernel") expect(worst).toBeNull();
  });
});

it("the attributes of the cases are of the kinds that the operators have", () => {
  for (const testCase of CASES) {
    const schema = schemaOf(operatorOf({ domain: testCase.domain, opType: testCase.op }));
    for (const [name, value] of Object.entries(testCase.attributes)) {
      expect(Object.keys(value), `${nameOf(testCase)}, ${name}`).toEqual([schema?.attributes[name]?.kind]);
    }
  }
});

it("gradients are written in ONNX's own operators", () => {
  const foreign = CASES.filter((each) => [...build(each, "float", false).domains].some((domain) => domain !== ""));
  expect(foreign.map(nameOf)).toEqual([]);
});

it("every gradient rule has a case", () => {
  const tested = new Set(CASES.map(({ op, domain }) => (domain === "" ? op : `${domain}.${op}`)));
  const rules = [...GRADIENT_RULES].flatMap(([op, rule]) => (rule === "zero" ? [] : [op]));
  /** These have tests of their own: control.test.ts, loops.test.ts and quantization.test.ts beside this, and the running statistics in build-artifacts. */
  const quantization = ["DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"];
  const own = [...quantization, "If", "Loop", "Scan", "com.microsoft.BatchNormInternal"].sort();
  expect(rules.filter((op) => !tested.has(op)).sort()).toEqual(own);
});
