import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const X = Float32Array.from({ length: 41 }, (_, at) => (at - 20) / 2);
const W = Float32Array.from({ length: 41 }, (_, at) => Math.cos(at));

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** d/dx x sigmoid(x) */
const gated = (x: number): number => sigmoid(x) * (1 + x * (1 - sigmoid(x)));
const slope = (x: number): number => sigmoid(x) * (1 - sigmoid(x));

interface Gate {
  readonly factors: readonly [string, string];
  /** Whether the sigmoid itself is part of the loss. */
  readonly isRead?: boolean;
}

/** The gradient of sum(w (a b)), and how many nodes compute it. */
async function gradientOf({ factors, isRead = false }: Gate): Promise<{ dX: readonly number[]; count: number }> {
  const sketch = new Sketch("gate");
  sketch.initializer("x", GraphTensor.floats([X.length], [...X]));
  sketch.initializer("w", GraphTensor.floats([X.length], [...W]));
  sketch.node("Neg", ["x"], ["n"]);
  sketch.node("Sigmoid", ["x"], ["s"]);
  sketch.node("Mul", factors, ["y"]);
  sketch.node("Add", ["y", "s"], ["sum"]);
  sketch.node("Mul", [isRead ? "sum" : "y", "w"], ["weighted"]);
  sketch.node("ReduceSum", ["weighted"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const [loss] = net.graph.outputs;
  const x = net.graph.initializers.find(({ name }) => name === "x");
  if (loss === undefined || x === undefined) throw new Error("no loss");
  removeDeadNodes(net.graph);
  const before = net.graph.nodeCount;
  const gradient = addGradients(net, loss, [x], inferTypes(net)).get(x);
  if (gradient === undefined) throw new Error("no gradient");
  gradient.type = x.type ?? float([X.length]);
  net.graph.replaceOutputs([gradient]);
  removeDeadNodes(net.graph);
  const session = await openSession(encodeModel(net));
  const [result] = Object.values(await session.run({}));
  await session.release();
  if (result === undefined) throw new Error("no result");
  return { dX: valuesOf(result), count: net.graph.nodeCount - before };
}

const weighted = (of: (x: number) => number): readonly number[] => [...X].map((x, at) => (W[at] ?? Number.NaN) * of(x));

it.each<[string, Gate, (x: number) => number]>([
  ["x times its sigmoid", { factors: ["x", "s"] }, gated],
  ["a sigmoid times what it is of", { factors: ["s", "x"] }, gated],
  ["where the sigmoid is read elsewhere, too", { factors: ["x", "s"], isRead: true }, (x) => gated(x) + slope(x)],
  ["a sigmoid times something else", { factors: ["s", "n"] }, (x) => -gated(x)],
  ["a sigmoid squared", { factors: ["s", "s"] }, (x) => 2 * sigmoid(x) * slope(x)],
])("the gradient of %s", async (_, gate, derivative) => {
  const { dX } = await gradientOf(gate);
  /** 1 - s is right to 6e-8, and times up to 10. */
  for (const [at, expected] of weighted(derivative).entries()) {
    expect(Math.abs((dX[at] ?? Number.NaN) - expected)).toBeLessThan(1.2e-6);
  }
});

it("goes to what is gated at once, in fewer nodes than to both factors", async () => {
  const [once, apart] = [await gradientOf({ factors: ["x", "s"] }), await gradientOf({ factors: ["s", "n"] })];
  expect(once.count).toBeLessThan(apart.count - 1);
});

/** By its series, which is right to rounding for numbers up to 4. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

type Line = readonly [op: string, inputs: readonly string[], output: string];

/** The gradient of sum(w y) for x and for the numbers named, with y made by the lines. */
async function gradientsOf(
  lines: readonly Line[],
  numbers: Readonly<Record<string, number>>,
  wanted: readonly string[],
): Promise<{ gradients: readonly (readonly number[])[]; count: number }> {
  const sketch = new Sketch("gelu");
  sketch.initializer("x", GraphTensor.floats([SMALL.length], [...SMALL]));
  sketch.initializer("w", GraphTensor.floats([SMALL.length], [...W.subarray(0, SMALL.length)]));
  for (const [name, value] of Object.entries(numbers)) sketch.initializer(name, GraphTensor.floats([], [value]));
  for (const [op, inputs, output] of lines) sketch.node(op, inputs, [output]);
  sketch.node("Mul", ["y", "w"], ["weighted"]);
  sketch.node("ReduceSum", ["weighted"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const [loss] = net.graph.outputs;
  if (loss === undefined) throw new Error("no loss");
  const before = net.graph.nodeCount;
  const of = wanted.flatMap((each) => net.graph.initializers.filter(({ name }) => name === each));
  const all = addGradients(net, loss, of, inferTypes(net));
  const results = of.map((value) => {
    const gradient = all.get(value);
    if (gradient === undefined) throw new Error("no gradient");
    gradient.type = value.type;
    return gradient;
  });
  net.graph.replaceOutputs(results);
  removeDeadNodes(net.graph);
  const count = net.graph.nodeCount - before;
  const session = await openSession(encodeModel(net));
  const made = await session.run({});
  await session.release();
  return { gradients: Object.values(made).map(valuesOf), count };
}

const SMALL = X.filter((x) => Math.abs(x) <= 4);
const phi = (x: number): number => 0.5 * (1 + erf(x * Math.SQRT1_2));
/** d/dx x Phi(x) */
const geluSlope = (x: number): number => phi(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
const NUMBERS = { root: Math.SQRT2, inverse: Math.SQRT1_2, one: 1, half: 0.5, two: 2, minus: -0.5 };
const ERF: readonly Line[] = [
  ["Div", ["x", "root"], "z"],
  ["Erf", ["z"], "e"],
  ["Add", ["e", "one"], "s"],
];

const GELUS: readonly (readonly [string, readonly Line[], (x: number) => number])[] = [
  ["x s, then halved", [...ERF, ["Mul", ["x", "s"], "m"], ["Mul", ["m", "half"], "y"]], geluSlope],
  ["halved, then times s", [...ERF, ["Mul", ["half", "x"], "m"], ["Mul", ["s", "m"], "y"]], geluSlope],
  ["times a halved sum", [...ERF, ["Mul", ["s", "half"], "m"], ["Mul", ["x", "m"], "y"]], geluSlope],
  [
    "a product for the quotient, offset first",
    [
      ["Mul", ["inverse", "x"], "z"],
      ["Erf", ["z"], "e"],
      ["Add", ["one", "e"], "s"],
      ["Div", ["s", "two"], "m"],
      ["Mul", ["x", "m"], "y"],
    ],
    geluSlope,
  ],
  [
    "negative, so in two factors",
    [...ERF, ["Mul", ["s", "minus"], "m"], ["Mul", ["x", "m"], "y"]],
    (x) => -geluSlope(x),
  ],
  ["of something else", [["Neg", ["x"], "n"], ...ERF, ["Mul", ["n", "s"], "y"]], (x) => -2 * geluSlope(x)],
];

it.each(GELUS)("the gradient of GELU, %s", async (_, lines, derivative) => {
  const { gradients } = await gradientsOf(lines, NUMBERS, ["x"]);
  for (const [at, x] of SMALL.entries()) {
    expect(Math.abs((gradients[0]?.[at] ?? Number.NaN) - (W[at] ?? Number.NaN) * derivative(x))).toBeLessThan(1e-6);
  }
});

it("goes through GELU at once, in fewer nodes than to both factors", async () => {
  const counts = await Promise.all(
    [GELUS[0], GELUS[5]].map(async (gelu) => (await gradientsOf(gelu?.[1] ?? [], NUMBERS, ["x"])).count),
  );
  expect(counts[0]).toBeLessThan((counts[1] ?? 0) - 1);
});

it("a number of GELU that is trained has its gradient", async () => {
  const lines = GELUS[0]?.[1] ?? [];
  const { gradients } = await gradientsOf(lines, NUMBERS, ["x", "root", "one"]);
  const sum = (of: (x: number) => number): number =>
    SMALL.reduce((total, x, at) => total + (W[at] ?? Number.NaN) * of(x), 0);
  const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  for (const [at, x] of SMALL.entries()) {
    expect(Math.abs((gradients[0]?.[at] ?? Number.NaN) - (W[at] ?? Number.NaN) * geluSlope(x))).toBeLessThan(1e-6);
  }
  /** x Phi(x sqrt(2) / root) by root at sqrt(2), and x (erf(z) + one) / 2 by one. */
  expect(gradients[1]?.[0]).toBeCloseTo(
    sum((x) => (-x * x * density(x)) / Math.SQRT2),
    5,
  );
  expect(gradients[2]?.[0]).toBeCloseTo(
    sum((x) => x / 2),
    5,
  );
});
