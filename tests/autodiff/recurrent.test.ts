import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, checkModel, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

interface Sizes {
  readonly steps: number;
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
}

const SMALL: Sizes = { steps: 4, batch: 2, inputs: 3, hidden: 5 };
/** So many multiplications a step that a loop takes the operator's place, with samples in columns. */
const LARGE: Sizes = { steps: 2, batch: 32, inputs: 40, hidden: 96 };
/** The same with many samples. */
const MANY: Sizes = { steps: 2, batch: 66, inputs: 20, hidden: 68 };
/** More samples than hidden states: they stay in rows. */
const WIDE: Sizes = { steps: 2, batch: 72, inputs: 20, hidden: 64 };

type Kind = "LSTM" | "GRU";
type Weights = Readonly<Record<"x" | "w" | "r" | "b" | "h" | "c", readonly number[]>>;
/** What of a layer the loss reads: all hidden states, the last one, or these and the last cell, of a layer without a bias. */
type Given = "all" | "last" | "every";

const GATES: Readonly<Record<Kind, number>> = { LSTM: 4, GRU: 3 };
const shapesOf = (
  gates: number,
  { steps, batch, inputs, hidden }: Sizes,
): Readonly<Record<keyof Weights, readonly number[]>> => ({
  x: [steps, batch, inputs],
  w: [1, gates * hidden, inputs],
  r: [1, gates * hidden, hidden],
  b: [1, 2 * gates * hidden],
  h: [1, batch, hidden],
  c: [1, batch, hidden],
});

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
const range = (size: number): readonly number[] => Array.from({ length: size }, (_, at) => at);

/** The hidden states [T, N, H] by ONNX's definition, in float64, and behind them the last one and the last cells. */
function statesOf(
  kind: Kind,
  linearBeforeReset: boolean,
  sizes: Sizes,
  { x, w, r, b, h, c }: Weights,
): readonly number[] {
  const { steps: STEPS, batch: BATCH, inputs: INPUTS, hidden: HIDDEN } = sizes;
  const gates = GATES[kind];
  const at = (values: readonly number[], index: number): number => values[index] ?? Number.NaN;
  const states: number[] = [];
  let [hidden, cells]: [readonly number[], readonly number[]] = [h, c];
  for (const t of range(STEPS)) {
    const next: number[] = [];
    const nextCells: number[] = [];
    for (const n of range(BATCH)) {
      const ofInput = (row: number): number => {
        let sum = at(b, row);
        for (let i = 0; i < INPUTS; i++) sum += at(w, row * INPUTS + i) * at(x, (t * BATCH + n) * INPUTS + i);
        return sum;
      };
      const ofState = (row: number, scale: (j: number) => number): number => {
        let sum = at(b, gates * HIDDEN + row);
        for (let j = 0; j < HIDDEN; j++) sum += at(r, row * HIDDEN + j) * at(hidden, n * HIDDEN + j) * scale(j);
        return sum;
      };
      const whole = (gate: number, j: number): number =>
        ofInput(gate * HIDDEN + j) + ofState(gate * HIDDEN + j, () => 1);
      for (const j of range(HIDDEN)) {
        const before = at(hidden, n * HIDDEN + j);
        if (kind === "LSTM") {
          const cell = sigmoid(whole(2, j)) * at(cells, n * HIDDEN + j) + sigmoid(whole(0, j)) * Math.tanh(whole(3, j));
          nextCells.push(cell);
          next.push(sigmoid(whole(1, j)) * Math.tanh(cell));
          continue;
        }
        const reset = (k: number): number => sigmoid(whole(1, k));
        const row = 2 * HIDDEN + j;
        const ofHidden = linearBeforeReset ? reset(j) * ofState(row, () => 1) : ofState(row, reset);
        const z = sigmoid(whole(0, j));
        next.push((1 - z) * Math.tanh(ofInput(row) + ofHidden) + z * before);
      }
    }
    [hidden, cells] = [next, nextCells];
    states.push(...next);
  }
  return [...states, ...hidden, ...cells];
}

/** What the loss multiplies each hidden state with. */
const SHARE = (index: number): number => Math.cos(index * 0.7) + 0.3;

it.each<[string, Kind, boolean, Given, Sizes]>([
  ["LSTM, all hidden states", "LSTM", false, "all", SMALL],
  ["LSTM that gives the last hidden state alone", "LSTM", false, "last", SMALL],
  ["LSTM as a loop, all hidden states", "LSTM", false, "all", LARGE],
  ["LSTM as a loop that gives the last hidden state alone", "LSTM", false, "last", LARGE],
  ["LSTM without a bias, all outputs", "LSTM", false, "every", SMALL],
  ["LSTM as a loop without a bias, all outputs", "LSTM", false, "every", LARGE],
  ["LSTM as a loop of many samples, all hidden states", "LSTM", false, "all", MANY],
  ["LSTM as a loop of samples in rows, all hidden states", "LSTM", false, "all", WIDE],
  ["LSTM as a loop of samples in rows without a bias, all outputs", "LSTM", false, "every", WIDE],
  ["GRU, linear before reset", "GRU", true, "all", SMALL],
  ["GRU, linear before reset, that gives the last hidden state alone", "GRU", true, "last", SMALL],
  ["GRU, reset before the product", "GRU", false, "all", SMALL],
  ["GRU, reset before the product, that gives the last hidden state alone", "GRU", false, "last", SMALL],
])(
  "gradients of a recurrent layer are those of its definition: %s",
  async (_, kind, linearBeforeReset, given, sizes) => {
    const shapes = shapesOf(GATES[kind], sizes);
    const isEvery = given === "every";
    const names = isEvery ? (["x", "w", "r", "h", "c"] as const) : (["x", "w", "r", "b", "h"] as const);
    const amplitude = sizes === SMALL ? 0.6 : 0.15;
    const weights = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], which) => {
        const size = shape.reduce((product, dim) => product * dim, 1);
        const isIn = names.some((each) => each === name);
        return [name, range(size).map((index) => (isIn ? Math.fround(amplitude * Math.sin(index * 1.3 + which)) : 0))];
      }),
    ) as Record<keyof Weights, number[]>;
    const sketch = new Sketch("layer");
    for (const name of names) sketch.initializer(name, GraphTensor.floats(shapes[name], weights[name]));
    const { steps, batch, hidden } = sizes;
    const one = batch * hidden;
    const from = given === "last" ? steps * one : 0;
    const to = { all: steps, last: steps + 1, every: steps + 2 }[given] * one;
    const count = to - from;
    const dims = given === "last" ? [1, batch, hidden] : [steps, 1, batch, hidden];
    sketch.initializer("share", GraphTensor.floats([count], range(count).map(SHARE)));
    sketch.initializer("flat", GraphTensor.ints([-1]));
    const inputs = isEvery ? ["x", "w", "r", "", "", "h", "c"] : ["x", "w", "r", "b", "", "h"];
    const attributes = [
      attribute.int("hidden_size", hidden),
      ...(kind === "GRU" ? [attribute.int("linear_before_reset", linearBeforeReset ? 1 : 0)] : []),
    ];
    const outputs = { all: ["y"], last: ["", "y"], every: ["y", "last", "cells"] }[given];
    sketch.node(kind, inputs, outputs, attributes);
    const read = outputs.filter((name) => name !== "");
    for (const name of read) sketch.node("Reshape", [name, "flat"], [`${name}/flat`]);
    const parts = read.map((name) => `${name}/flat`);
    sketch.node("Concat", parts, ["joined"], [attribute.int("axis", 0)]);
    sketch.node("Mul", ["joined", "share"], ["shared"]);
    sketch.node("ReduceSum", ["shared"], ["loss"], [attribute.int("keepdims", 0)]);
    sketch.output("y", float(dims));
    sketch.output("loss", float([]));
    const net = model(sketch.graph, 8, [["", 17]]);
    const { graph } = net;
    const loss = graph.outputs.find(({ name }) => name === "loss");
    if (loss === undefined) throw new Error("no loss");
    const wanted = graph.initializers.filter(({ name }) => names.some((each) => each === name));
    for (const [value, gradient] of addGradients(net, loss, wanted)) {
      gradient.type = value.type;
      graph.addOutput(gradient);
    }
    removeDeadNodes(graph);
    expect(graph.nodes.some(({ opType }) => opType === "LSTM")).toBe(kind === "LSTM" && sizes === SMALL);
    checkModel(decodeModel(encodeModel(net)));
    const session = await openSession(encodeModel(net));
    const results = await session.run({});
    await session.release();

    const outputsOf = (all: Weights): readonly number[] =>
      statesOf(kind, linearBeforeReset, sizes, all).slice(from, to);
    const lossOf = (all: Weights): number =>
      outputsOf(all).reduce((sum, state, index) => sum + state * Math.fround(SHARE(index)), 0);
    const states = outputsOf(weights);
    for (const [index, value] of valuesOf(results["y"]).entries())
      expect(value).toBeCloseTo(states[index] ?? Number.NaN, 6);
    for (const name of names) {
      const actual = valuesOf(results[`${name}_grad`]);
      expect(actual).toHaveLength(weights[name].length);
      const step = 1e-5;
      /** Each element of a small layer; of a large one the derivative along one direction, which all elements have a part in. */
      const directions: readonly ((index: number) => number)[] =
        sizes !== SMALL
          ? [(index) => Math.cos(index * 2.1)]
          : range(weights[name].length).map((which) => (index: number) => (index === which ? 1 : 0));
      const along = (values: readonly number[], part: (value: number, share: number) => number): readonly number[] =>
        directions.map((share) => values.reduce((sum, value, index) => sum + part(value, share(index)), 0));
      const expected = directions.map((share) => {
        const moved = (by: number): number =>
          lossOf({ ...weights, [name]: weights[name].map((value, index) => value + by * share(index)) });
        return (moved(step) - moved(-step)) / (2 * step);
      });
      const scale = Math.max(...along(actual, (value, share) => Math.abs(value * share)));
      const largest = Math.max(
        ...along(actual, (value, share) => value * share).map((value, at) =>
          Math.abs(value - (expected[at] ?? Number.NaN)),
        ),
      );
      expect(largest / scale, name).toBeLessThan(3e-6);
    }
  },
);
