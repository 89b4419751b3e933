import { readFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import {
  attribute,
  checkModel,
  DataType,
  encodeModel,
  GraphTensor,
  lowerTrainingOps,
} from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { LOWERINGS } from "../../src/passes/lower-training-ops/table.ts";
import { toOrtTensor } from "../../src/runtime/feeds.ts";
import { loadTrainingBuild } from "../../src/runtime/ort-training/load.ts";
import { errorOf } from "../support/errors.ts";
import { type Case, KERNEL_CASES, REFERENCE_NODES, type Reference, referenceCase } from "./lower-training-ops/cases.ts";

interface Module {
  readonly InferenceSession: typeof InferenceSession;
}

function build({ inputs, nodes, outputs, shapes = {}, opset = 17 }: Case): Model {
  const sketch = new Sketch("case");
  for (const [name, { dtype, dims }] of Object.entries(inputs)) sketch.input(name, tensor(dtype, dims));
  for (const { op, domain = "com.microsoft", inputs: read, outputs: made, attributes = [] } of nodes) {
    sketch.node(op, read, made, attributes, domain);
  }
  for (const name of outputs) {
    const shape = shapes[name];
    sketch.output(name, tensor(DataType.float, shape ?? []));
    const output = sketch.graph.outputs.at(-1);
    if (shape === undefined && output !== undefined) output.type = null;
  }
  return model(sketch.graph, 8, [
    ["", opset],
    ["com.microsoft", 1],
  ]);
}

async function run(
  { InferenceSession: Session }: Module,
  bytes: Uint8Array,
  inputs: Readonly<Record<string, GraphTensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  const session = await Session.create(bytes, { logSeverityLevel: 3 });
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => {
      const copy = toOrtTensor(value, name);
      return [name, new Tensor(copy.type, copy.data.slice() as Float32Array, copy.dims)];
    }),
  );
  const results = await session.run(feeds);
  await session.release();
  return results;
}

type Results = Readonly<
  Record<string, { readonly type: string; readonly dims: readonly number[]; readonly data: unknown }>
>;

/** Sums of a few float32 products in another order: a few units in the last place of the largest value. */
const TOLERANCE = 2e-6;

function expectSame(
  actual: Results,
  expected: Results,
  { outputs, unordered = false }: Case,
  tolerance = TOLERANCE,
): void {
  for (const name of outputs) {
    const [want, got] = [expected[name], actual[name]];
    expect([name, got?.dims, got?.type]).toEqual([name, want?.dims, want?.type]);
    const numbers = (data: unknown): number[] => {
      const list = [...(data as Float32Array)].map(Number);
      return unordered ? list.sort((a, b) => a - b) : list;
    };
    const values = numbers(want?.data);
    const size = Math.max(1e-3, ...values.filter(Number.isFinite).map(Math.abs));
    for (const [index, value] of numbers(got?.data).entries()) {
      expect(Math.abs(value - (values[index] ?? Number.NaN)) / size, `${name}[${index}]`).toBeLessThan(tolerance);
    }
  }
}

async function runLowered(testCase: Case): Promise<Results> {
  const lowered = build(testCase);
  expect(lowerTrainingOps(lowered).changed).toBeGreaterThan(0);
  checkModel(lowered);
  expect([...lowered.opsets.keys()]).toEqual([""]);
  expect(lowerTrainingOps(lowered).changed).toBe(0);
  return run({ InferenceSession }, encodeModel(lowered), testCase.inputs);
}

describe("each operator's lowering gives what the training build's kernel gives", () => {
  it.each(KERNEL_CASES)("$name", async (testCase) => {
    const module = (await loadTrainingBuild(1)) as unknown as Module;
    const expected = await run(module, encodeModel(build(testCase)), testCase.inputs);
    expectSame(await runLowered(testCase), expected, testCase);
  });
});

const REFERENCES = JSON.parse(
  readFileSync(new URL("lower-training-ops/pytorch.json", import.meta.url), "utf8"),
) as Record<string, Reference>;

describe("operators without a kernel on the CPU give what PyTorch gives", () => {
  it.each(Object.keys(REFERENCE_NODES))("%s", async (name) => {
    const reference = REFERENCES[name];
    if (reference === undefined) throw new Error(`pytorch.json has no ${name}`);
    const { testCase, expected } = referenceCase(name, reference);
    const results = Object.fromEntries(Object.entries(expected).map(([at, value]) => [at, toOrtTensor(value, at)]));
    expectSame(await runLowered(testCase), results, testCase);
  });
});

it("every lowering has a test against a foreign result", () => {
  const tested = new Set([
    ...KERNEL_CASES.flatMap(({ nodes }) => nodes.map(({ op }) => op)),
    ...Object.keys(REFERENCE_NODES).map((name) => name.split(",")[0]),
  ]);
  expect(LOWERINGS.map(({ op }) => op).filter((op) => !tested.has(op))).toEqual([]);
});

describe("a model is refused before anything changes", () => {
  it("naming every operator that has no lowering", () => {
    const unknown = build({
      name: "unknown",
      inputs: { x: GraphTensor.floats([2], [1, 2]) },
      nodes: [
        { op: "ReluGrad", inputs: ["x", "x"], outputs: ["a"] },
        { op: "YieldOp", inputs: ["a"], outputs: ["b"] },
        { op: "ATen", domain: "org.pytorch.aten", inputs: ["b"], outputs: ["c"] },
      ],
      outputs: ["c"],
    });
    const before = encodeModel(unknown);
    const error = errorOf(() => lowerTrainingOps(unknown));
    expect([error.code, error.exitCode]).toEqual(["E_NO_LOWERING", 4]);
    expect(error.message).toMatch(/com\.microsoft\.YieldOp \(b\/YieldOp\); org\.pytorch\.aten\.ATen \(c\/ATen\)/);
    expect(encodeModel(unknown)).toEqual(before);
  });

  it("a window that depends on sizes that are not known, and pads that an output's size decides", () => {
    const dims = {
      data: GraphTensor.floats([1, 1, 2, 2], [1, 2, 3, 4]),
      w: GraphTensor.floats([1, 1, 2, 2], [1, 2, 3, 4]),
    };
    const lowered = (op: string): Error & { code?: string } => {
      const made = build({
        name: "refused",
        inputs: { dY: dims.data, x: dims.data, w: dims.w },
        nodes: [
          {
            op,
            inputs: ["dY", "x", "w"],
            outputs: ["dX", "dW"],
            attributes: [attribute.string("auto_pad", "SAME_UPPER"), attribute.ints("strides", [2, 2])],
          },
        ],
        outputs: ["dX", "dW"],
      });
      const x = made.graph.inputs.find(({ name }) => name === "x");
      if (x !== undefined) x.type = tensor(DataType.float, [1, 1, "height", "width"]);
      return errorOf(() => lowerTrainingOps(made));
    };
    expect(lowered("ConvGrad")).toMatchObject({
      code: "E_NO_LOWERING",
      message: expect.stringMatching(/ConvGrad\) cannot be lowered: auto_pad SAME_UPPER needs the spatial sizes/),
    });
    expect(lowered("ConvTransposeGrad")).toMatchObject({
      code: "E_NO_LOWERING",
      message: expect.stringMatching(
        /ConvTransposeGrad\) cannot be lowered: its pads depend on the size of its output/,
      ),
    });
  });

  it("and one of an older opset is raised first", () => {
    const old = build({
      name: "old",
      inputs: { x: GraphTensor.floats([2], [1, 2]) },
      nodes: [{ op: "ReluGrad", inputs: ["x", "x"], outputs: ["y"] }],
      outputs: ["y"],
      opset: 12,
    });
    expect(lowerTrainingOps(old).notes).toEqual(["the opset was raised from 12 to 17"]);
    expect(old.opset).toBe(17);
  });
});
