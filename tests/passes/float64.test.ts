import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, type ValueType } from "../../src/entries/graph.ts";
import { toDouble } from "../../src/passes/change-precision.ts";
import { keyOf } from "../../src/passes/decompose/compound.ts";
import { decompose } from "../../src/passes/decompose/index.ts";
import { secondsInFloat64 } from "../../src/passes/float64/cost.ts";
import { IN_FLOAT64 } from "../../src/passes/float64/table.ts";
import { CASES, forward, type GradientCase, nameOf, outputsOf } from "../autodiff/cases.ts";
import { openSession } from "../support/ort.ts";

const isWritten = (testCase: GradientCase): boolean =>
  IN_FLOAT64.some(({ domain, op, when }) => {
    if (testCase.domain !== domain || testCase.op !== op) return false;
    const node = when === undefined ? undefined : forward(testCase).graph.nodes.find(({ opType }) => opType === op);
    return node === undefined || when?.(node) === true;
  });

const written = CASES.filter(isWritten).map((each) => [nameOf(each), each] as const);

describe("operators written in such that have float64 kernels", () => {
  it.each(written)("%s: the same written in float32 gives PyTorch's numbers", async (_, testCase) => {
    const parts = forward(testCase);
    expect(Object.values(decompose(parts, IN_FLOAT64))).toEqual([1]);
    const outputs = await outputsOf(parts, testCase);
    for (const [index, { data }] of testCase.outputs.entries()) {
      const scale = Math.max(1, ...data.map(Math.abs));
      const differences = data.map((value, at) => Math.abs((outputs[index]?.[at] ?? Number.NaN) - value) / scale);
      expect(Math.max(...differences), `output ${index}`).toBeLessThan(2e-6);
    }
  });

  it("every one has a case", () => {
    const tested = new Set(written.map(([, { domain, op }]) => keyOf(domain, op)));
    expect(IN_FLOAT64.map(({ domain, op }) => keyOf(domain, op)).filter((key) => !tested.has(key))).toEqual([]);
  });

  it("what cannot be written, since the rank of its input is not known, stays", () => {
    const sketch = new Sketch("open");
    sketch.input("x", { kind: "tensor", dtype: DataType.float, shape: [null] });
    sketch.input("shape", { kind: "tensor", dtype: DataType.int64, shape: [null] });
    sketch.node("Reshape", ["x", "shape"], ["image"]);
    sketch.node("GlobalAveragePool", ["image"], ["y"]);
    sketch.output("y", { kind: "tensor", dtype: DataType.float, shape: null });
    const graph = model(sketch.graph, 8, [["", 17]]);
    toDouble(graph);
    expect(graph.graph.nodes.map(({ opType }) => opType)).toEqual(["Reshape", "GlobalAveragePool"]);
  });

  it("the error function is right to float64", async () => {
    const double: ValueType = { kind: "tensor", dtype: DataType.double, shape: [null] };
    const sketch = new Sketch("erf");
    sketch.input("x", double);
    sketch.node("Erf", ["x"], ["y"]);
    sketch.output("y", double);
    const graph = model(sketch.graph, 8, [["", 17]]);
    decompose(graph, IN_FLOAT64);
    /** By the C library's `erf`, as Python's math module gives it. */
    const expected = new Map([
      ...([
        [-7, -1],
        [-4.5, -0.9999999998033839],
        [-3, -0.9999779095030014],
        [-1.2, -0.9103139782296353],
      ] as const),
      ...([
        [-0.46875, -0.49261347321793797],
        [-0.3, -0.3286267594591274],
        [-1e-8, -1.1283791670955126e-8],
      ] as const),
      ...([
        [0, 0],
        [0.001, 0.0011283787909692365],
        [0.2, 0.22270258921047847],
        [0.47, 0.4937450508860821],
      ] as const),
      ...([
        [0.9, 0.7969082124228322],
        [2.2, 0.9981371537020182],
        [3.7, 0.9999998328489421],
      ] as const),
      ...([
        [5, 0.9999999999984626],
        [6.5, 1],
      ] as const),
    ]);
    const session = await openSession(encodeModel(graph), {});
    const { y } = await session.run({ x: new Tensor("float64", Float64Array.from(expected.keys()), [expected.size]) });
    await session.release();
    for (const [at, [x, value]] of [...expected].entries()) {
      expect(Math.abs(Number(y?.data[at]) - value), `erf(${x})`).toBeLessThanOrEqual(
        4e-16 * Math.max(1e-8, Math.abs(value)) + 1e-16,
      );
    }
  });

  it("what the patches of convolutions take is told", () => {
    const seconds = new Map(
      CASES.filter(({ op }) => op === "Conv").map((each) => [each.title, secondsInFloat64(forward(each))]),
    );
    const groups = CASES.find(({ op, title }) => op === "Conv" && title === "2-D, groups");
    const [x, w] = groups?.inputs ?? [];
    const [output] = groups?.outputs ?? [];
    const product = (dims: readonly number[]): number => dims.reduce((all, size) => all * size, 1);
    const pixels = product(output?.dims ?? []) / (output?.dims[1] ?? 1);
    const elements = pixels * (x?.dims[1] ?? 0) * product(w?.dims.slice(2) ?? []);
    expect(seconds.get("2-D, groups")).toBeCloseTo(5e-9 * elements, 12);
  });
});
