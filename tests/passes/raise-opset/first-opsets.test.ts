import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../../fixtures/sketch.ts";
import { type Attribute, attribute, encodeModel, GraphTensor, raiseOpset } from "../../../src/entries/graph.ts";
import { type Model, writeModel } from "../../../src/index.ts";
import { cli } from "../../support/cli.ts";
import { errorOf } from "../../support/errors.ts";
import { openSession } from "../../support/ort.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const { int, ints, float: number, floats, string } = attribute;

interface Old {
  readonly opset: number;
  readonly op: string;
  readonly x: readonly number[];
  /** Initializers, with their numbers. */
  readonly more?: readonly (readonly [dims: readonly number[], values: readonly number[]])[];
  readonly attributes?: readonly Attribute[];
}

const count = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
const input = (dims: readonly number[]): number[] => Array.from({ length: count(dims) }, (_, index) => index - 4.5);

function modelOf({ opset, op, x, more = [], attributes = [] }: Old, declared = true): Model {
  const net = new Sketch("net");
  net.input("x", float([...x]));
  for (const [index, [dims, values]] of more.entries()) net.initializer(`w${index}`, GraphTensor.floats(dims, values));
  const names = more.map((_, index) => `w${index}`);
  net.node("Identity", ["x"], ["seen"]);
  net.node(op, [declared ? "x" : "seen", ...names], ["y"], attributes);
  net.output("y", { kind: "tensor", dtype: 1, shape: null });
  net.graph.inputs.push(...net.graph.initializers);
  return model(net.graph, 3, [["", opset]]);
}

async function run(raised: Model, x: readonly number[]): Promise<readonly [dims: readonly number[], values: number[]]> {
  const session = await openSession(encodeModel(raised));
  const { y } = await session.run({ x: new Tensor("float32", Float32Array.from(input(x)), [...x]) });
  await session.release();
  if (y === undefined) throw new Error("no y");
  return [y.dims, Array.from(y.data as Float32Array, Number)];
}

const consumed = ints("consumed_inputs", [0]);
const X = [2, 3, 2, 1];
const channelOf = (index: number): number => Math.floor(index / 2) % 3;
const perChannel = (fold: (value: number, channel: number) => number): number[] =>
  input(X).map((value, index) => fold(value, channelOf(index)));
const three = [[3], [1, 2, -3]] as const;
const at = (each: (typeof three)[1], channel: number): number => each[channel] ?? Number.NaN;

/** What the operators' descriptions of then say, written out. */
const CASES: readonly (readonly [name: string, Old, dims: readonly number[], values: readonly number[]])[] = [
  [
    "Add from an axis on",
    { opset: 6, op: "Add", x: X, more: [three], attributes: [int("broadcast", 1), int("axis", 1)] },
    X,
    perChannel((value, channel) => value + at(three[1], channel)),
  ],
  [
    "Mul from an axis on, of opset 1",
    { opset: 1, op: "Mul", x: X, more: [three], attributes: [int("broadcast", 1), int("axis", 1), consumed] },
    X,
    perChannel((value, channel) => value * at(three[1], channel)),
  ],
  [
    "Sub of the last axes",
    { opset: 6, op: "Sub", x: [2, 3], more: [three], attributes: [int("broadcast", 1)] },
    [2, 3],
    input([2, 3]).map((value, index) => value - at(three[1], index % 3)),
  ],
  [
    "Div by a number",
    { opset: 5, op: "Div", x: [2, 2], more: [[[], [4]]], attributes: [int("broadcast", 1)] },
    [2, 2],
    input([2, 2]).map((value) => value / 4),
  ],
  [
    "Gemm with a stretched bias",
    {
      ...{ opset: 6, op: "Gemm", x: [2, 2], attributes: [int("broadcast", 1), int("transB", 1)] },
      more: [
        [
          [2, 2],
          [1, 2, 3, 4],
        ],
        [[2], [10, 20]],
      ],
    },
    [2, 2],
    [-4.5 - 7 + 10, -13.5 - 14 + 20, -2.5 - 3 + 10, -7.5 - 6 + 20],
  ],
  [
    "PRelu with a slope per channel",
    { opset: 6, op: "PRelu", x: X, more: [three] },
    X,
    perChannel((value, channel) => (value < 0 ? value * at(three[1], channel) : value)),
  ],
  [
    "Reshape to its attribute",
    { opset: 4, op: "Reshape", x: [2, 3], attributes: [ints("shape", [3, -1])] },
    [3, 2],
    input([2, 3]),
  ],
  [
    "Concat of the second axis",
    {
      opset: 3,
      op: "Concat",
      x: [1, 2],
      more: [
        [
          [1, 2],
          [7, 8],
        ],
      ],
    },
    [1, 4],
    [...input([1, 2]), 7, 8],
  ],
  ["Cast to a type by name", { opset: 5, op: "Cast", x: [2], attributes: [string("to", "FLOAT")] }, [2], input([2])],
  ["Pad by paddings", { opset: 1, op: "Pad", x: [2], attributes: [ints("paddings", [1, 0])] }, [3], [0, ...input([2])]],
  [
    "Upsample by two scales",
    {
      ...{ opset: 6, op: "Upsample", x: [1, 1, 1, 2] },
      attributes: [number("height_scale", 1), number("width_scale", 2)],
    },
    [1, 1, 1, 4],
    [-4.5, -4.5, -3.5, -3.5],
  ],
  ["Selu with its older constants", { opset: 1, op: "Selu", x: [1] }, [1], [1.0507 * 1.6732 * (Math.exp(-4.5) - 1)]],
  ["Dropout of a test", { opset: 6, op: "Dropout", x: [3], attributes: [int("is_test", 1)] }, [3], input([3])],
  [
    "BatchNormalization of a test",
    {
      ...{ opset: 5, op: "BatchNormalization", x: X, more: [three, three, [[3], [0, 0, 1]], [[3], [1, 4, 9]]] },
      attributes: [int("is_test", 1), ints("consumed_inputs", [0, 0, 0, 1, 1]), number("epsilon", 0)],
    },
    X,
    perChannel((value, channel) => {
      const [mean, deviation] = [channel === 2 ? 1 : 0, channel + 1];
      return ((value - mean) / deviation) * at(three[1], channel) + at(three[1], channel);
    }),
  ],
];

describe("row 104: a model of an opset before 7 computes what its operators meant", () => {
  it.each(CASES)("%s", async (_, old, dims, values) => {
    for (const [declared, target] of [
      [true, 7],
      [true, 17],
      [false, 17],
    ] as const) {
      const raised = modelOf(old, declared);
      expect(raiseOpset(raised, target)).toMatchObject({ from: old.opset, to: target });
      const [gives, numbers] = await run(raised, old.x);
      expect(gives).toEqual(dims);
      for (const [index, value] of values.entries()) expect(numbers[index]).toBeCloseTo(value, 4);
    }
  });
});

describe("what has no equal is refused by name", () => {
  const bias = [[3], [1, 2, 3]] as const;
  it.each([
    ["Dropout in training", { opset: 6, op: "Dropout", x: [3] }, /Dropout.*opset 7.*training mode/],
    [
      "BatchNormalization in training",
      { opset: 6, op: "BatchNormalization", x: X, more: [bias, bias, bias, bias] },
      /training mode/,
    ],
    [
      "an operand that is too long",
      { opset: 6, op: "Add", x: [2, 3], more: [bias], attributes: [int("broadcast", 1), int("axis", 2)] },
      /too many to begin at axis 2/,
    ],
    ["a type that is none", { opset: 5, op: "Cast", x: [2], attributes: [string("to", "REAL")] }, /type "REAL"/],
    ["Split with sizes as an input", { opset: 1, op: "Split", x: [3], more: [bias] }, /are an input/],
    ["an attribute of another kind", { opset: 6, op: "Add", x: [3], attributes: [floats("axis", [1])] }, /its axis/],
  ] as const)("%s", (_, old, message) => {
    const error = errorOf(() => raiseOpset(modelOf(old), 17));
    expect(error).toMatchObject({ code: "E_NO_UPGRADE", exitCode: 4, message: expect.stringMatching(message) });
  });
});

it("row 104: a net of opset 6 is built, checked and trained by the command line", async () => {
  const folder = temporaryFolder();
  const net = new Sketch("net");
  net.input("x", float([4, 3, 2, 2]));
  const seeded = (dims: readonly number[]): GraphTensor =>
    GraphTensor.floats(
      dims,
      Array.from({ length: count(dims) }, (_, index) => Math.sin(index * 1.7)),
    );
  for (const [name, dims] of Object.entries({ kernel: [5, 3, 1, 1], shift: [5], slope: [5], fc: [20, 2], bias: [2] })) {
    net.initializer(name, seeded(dims));
  }
  net.node("Conv", ["x", "kernel"], ["conv"]);
  net.node("Add", ["conv", "shift"], ["added"], [int("broadcast", 1), int("axis", 1)]);
  net.node("PRelu", ["added", "slope"], ["bent"]);
  net.node("Dropout", ["bent"], ["kept"], [int("is_test", 1)]);
  net.node("Flatten", ["kept"], ["flat"]);
  net.node("Gemm", ["flat", "fc", "bias"], ["y"], [int("broadcast", 1)]);
  net.output("y", float([4, 2]));
  net.graph.inputs.push(...net.graph.initializers);
  const path = join(folder, "old.onnx");
  await writeModel(path, model(net.graph, 3, [["", 6]]));
  const built = cli(["build", path, "--loss", "mse", "-o", join(folder, "built"), "--json"]);
  expect(built.status).toBe(0);
  const { trainable } = JSON.parse(built.stdout) as { readonly trainable: readonly { readonly name: string }[] };
  expect(trainable.map(({ name }) => name).sort()).toEqual(["bias", "fc", "kernel", "shift", "slope"]);
  const checked = cli(["gradcheck", path, "--loss", "mse"]);
  expect([checked.status, checked.stderr]).toEqual([0, ""]);
});
