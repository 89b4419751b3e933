import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { readLastStates } from "../../src/passes/last-state.ts";
import { splitWhatSlicesPart } from "../../src/passes/parting-slices.ts";
import { openSession } from "../support/ort.ts";
import { expectAlike, type Results } from "../support/rewritten-layer.ts";
import { valuesOf } from "../support/tensor-values.ts";

const [STEPS, BATCH, INPUTS, HIDDEN] = [5, 3, 4, 2];
const waves = (dims: readonly number[], by: number): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((all, size) => all * size, 1) }, (_, index) => Math.sin(index * by)),
  );

/** The loss and its gradients of all floating-point initializers, with or without a rewriting. */
async function resultsOf(
  net: Model,
  rewrite: ((types: ReturnType<typeof inferTypes>) => void) | null,
): Promise<Results> {
  const { graph } = net;
  const types = inferTypes(net);
  rewrite?.(types);
  const [loss] = graph.outputs;
  if (loss === undefined) throw new Error("no loss");
  const wanted = graph.initializers.filter(({ name }) => ["x", "w", "r"].includes(name));
  for (const [value, gradient] of addGradients(net, loss, wanted, types)) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  removeDeadNodes(graph);
  const session = await openSession(encodeModel(net));
  const results = await session.run({});
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, valuesOf(tensor)]));
}

interface Picked {
  readonly op?: "LSTM" | "GRU" | "RNN";
  readonly index?: number;
  readonly axis?: number;
  readonly perm?: readonly number[];
  readonly direction?: string;
  readonly lengths?: boolean;
  /** Shape of the index. */
  readonly of?: readonly number[];
}

const GATES = { LSTM: 4, GRU: 3, RNN: 1 };

/** A layer whose last state is picked from all states. */
function layerOf({ op = "LSTM", index = -1, axis = 0, perm, direction, lengths = false, of = [] }: Picked): Model {
  const sketch = new Sketch("layer");
  sketch.initializer("x", waves([STEPS, BATCH, INPUTS], 1.7));
  sketch.initializer("w", waves([1, GATES[op] * HIDDEN, INPUTS], 0.9));
  sketch.initializer("r", waves([1, GATES[op] * HIDDEN, HIDDEN], 0.7));
  sketch.initializer("one", GraphTensor.ints([1]));
  sketch.initializer("index", GraphTensor.from(7, of, BigInt64Array.of(BigInt(index))));
  if (lengths) sketch.initializer("lengths", GraphTensor.from(6, [BATCH], Int32Array.of(5, 2, 4)));
  const attributes = [
    attribute.int("hidden_size", HIDDEN),
    ...(direction === undefined ? [] : [attribute.string("direction", direction)]),
  ];
  const inputs = ["x", "w", "r", ...(lengths ? ["", "lengths"] : [])];
  sketch.node(op, inputs, ["all", "last"], attributes);
  sketch.node("Squeeze", ["all", "one"], ["states"]);
  if (perm !== undefined) sketch.node("Transpose", ["states"], ["turned"], [attribute.ints("perm", perm)]);
  sketch.node("Gather", [perm === undefined ? "states" : "turned", "index"], ["y"], [attribute.int("axis", axis)]);
  sketch.node("Sin", ["y"], ["bent"]);
  sketch.node("ReduceSum", ["bent"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

it.each<[string, Picked]>([
  ["of an LSTM", {}],
  ["of a GRU, by its number", { op: "GRU", index: STEPS - 1 }],
  ["of an RNN, with samples first", { op: "RNN", perm: [1, 0, 2], axis: 1 }],
  ["of an LSTM, with samples first, the axis from behind", { perm: [1, 0, 2], axis: -2 }],
])("the last state that is picked from all states is read from its own output: %s", async (_, picked) => {
  const expected = await resultsOf(layerOf(picked), null);
  const net = layerOf(picked);
  const actual = await resultsOf(net, (types) => {
    expect(readLastStates(net, types)).toBe(1);
    expect(net.graph.nodes.some(({ opType }) => opType === "Gather" || opType === "Transpose")).toBe(false);
  });
  expect(Object.keys(actual)).toHaveLength(4);
  expectAlike(actual, expected);
});

it.each<[string, Picked]>([
  ["another state", { index: 1 }],
  ["the first from behind", { index: -STEPS }],
  ["a layer that goes backward", { direction: "reverse" }],
  ["sequences of lengths of their own", { lengths: true }],
  ["features before samples", { perm: [2, 0, 1], axis: 1 }],
  ["a sample", { perm: [1, 0, 2], axis: 0 }],
  ["an index with an axis", { of: [1] }],
])("what is not the last state stays: %s", (_, picked) => {
  const net = layerOf(picked);
  expect(readLastStates(net, inferTypes(net))).toBe(0);
});

/** Slices of "w", each by its start, end, axis and step, that are put together in another order. */
function slicesOf(slices: readonly (readonly [start: number, end: number, axis: number, step?: number])[]): Model {
  const sketch = new Sketch("slices");
  sketch.initializer("w", waves([6, 4], 0.9));
  for (const [index, [start, end, axis, step = 1]] of slices.entries()) {
    const names = Object.entries({ start, end, axis, step }).map(([name, value]) => {
      sketch.initializer(`${name}${index}`, GraphTensor.ints([value]));
      return `${name}${index}`;
    });
    sketch.node("Slice", ["w", ...names], [`part${index}`]);
    sketch.node("Sin", [`part${index}`], [`bent${index}`]);
    sketch.initializer(`by${index}`, GraphTensor.floats([1], [index + 1.5]));
    sketch.node("Mul", [`bent${index}`, `by${index}`], [`own${index}`]);
    sketch.node("ReduceSum", [`own${index}`], [`sum${index}`], [attribute.int("keepdims", 0)]);
  }
  const sums = slices.map((_, index) => `sum${index}`);
  sketch.node("Sum", sums, ["loss"]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

it.each<[string, Parameters<typeof slicesOf>[0]]>([
  [
    "rows, in another order",
    [
      [0, 2, 0],
      [4, 6, 0],
      [2, 4, 0],
    ],
  ],
  [
    "columns, up to the end and from behind",
    [
      [-3, 2 ** 40, 1],
      [0, -3, -1],
    ],
  ],
])("slices that part a tensor are one Split, forward and backward: %s", async (_, slices) => {
  const expected = await resultsOf(slicesOf(slices), null);
  const net = slicesOf(slices);
  const actual = await resultsOf(net, (types) => {
    expect(splitWhatSlicesPart(net, types)).toBe(1);
    expect(net.graph.nodes.some(({ opType }) => opType === "Slice")).toBe(false);
  });
  expect(Object.keys(actual)).toEqual(["loss", "w_grad"]);
  expect(net.graph.nodes.some(({ opType }) => opType === "Pad" || opType === "Add")).toBe(false);
  expectAlike(actual, expected);
});

it.each<[string, Parameters<typeof slicesOf>[0]]>([
  [
    "a gap",
    [
      [0, 2, 0],
      [3, 6, 0],
    ],
  ],
  [
    "rows that are read twice",
    [
      [0, 4, 0],
      [3, 6, 0],
    ],
  ],
  [
    "less than the whole",
    [
      [0, 2, 0],
      [2, 5, 0],
    ],
  ],
  [
    "two axes",
    [
      [0, 3, 0],
      [2, 4, 1],
    ],
  ],
  [
    "steps of two",
    [
      [0, 6, 0, 2],
      [1, 6, 0, 2],
    ],
  ],
  ["the whole tensor", [[0, 6, 0]]],
])("slices that do not part a tensor stay: %s", (_, slices) => {
  const net = slicesOf(slices);
  expect(splitWhatSlicesPart(net, inferTypes(net))).toBe(0);
});
