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
