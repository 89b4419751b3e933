import { InferenceSession, type Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { removeDeadNodes } from "../../src/passes/dead-nodes.ts";
import { valuesOf } from "../support/tensor-values.ts";

const [STEPS, BATCH, INPUTS, HIDDEN] = [4, 2, 3, 5];

type Kind = "LSTM" | "GRU";
type Weights = Readonly<Record<"x" | "w" | "r" | "b" | "h", readonly number[]>>;

const GATES: Readonly<Record<Kind, number>> = { LSTM: 4, GRU: 3 };
const sizesOf = (gates: number): Readonly<Record<keyof Weights, readonly number[]>> => ({
  x: [STEPS, BATCH, INPUTS],
  w: [1, gates * HIDDEN, INPUTS],
  r: [1, gates * HIDDEN, HIDDEN],
  b: [1, 2 * gates * HIDDEN],
  h: [1, BATCH, HIDDEN],
});

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
const range = (size: number): readonly number[] => Array.from({ length: size }, (_, at) => at);

/** The hidden states [T, N, H] by ONNX's definition, in float64. */
function statesOf(kind: Kind, linearBeforeReset: boolean, { x, w, r, b, h }: Weights): readonly number[] {
  const gates = GATES[kind];
  const at = (values: readonly number[], index: number): number => values[index] ?? Number.NaN;
  const states: number[] = [];
  let [hidden, cells]: [readonly number[], readonly number[]] = [h, h.map(() => 0)];
  for (const t of range(STEPS)) {
    const next: number[] = [];
    const nextCells: number[] = [];
    for (const n of range(BATCH)) {
      const ofInput = (row: number): number =>
        range(INPUTS).reduce(
          (sum, i) => sum + at(w, row * INPUTS + i) * at(x, (t * BATCH + n) * INPUTS + i),
          at(b, row),
        );
      const ofState = (row: number, scale: (j: number) => number): number =>
        range(HIDDEN).reduce(
          (sum, j) => sum + at(r, row * HIDDEN + j) * at(hidden, n * HIDDEN + j) * scale(j),
          at(b, gates * HIDDEN + row),
        );
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
  return states;
}

/** What the loss multiplies each hidden state with. */
const SHARE = (index: number): number => Math.cos(index * 0.7) + 0.3;

it.each<[string, Kind, boolean, "all" | "last"]>([
  ["LSTM, all hidden states", "LSTM", false, "all"],
  ["LSTM that gives the last hidden state alone", "LSTM", false, "last"],
  ["GRU, linear before reset", "GRU", true, "all"],
  ["GRU, linear before reset, that gives the last hidden state alone", "GRU", true, "last"],
  ["GRU, reset before the product", "GRU", false, "all"],
  ["GRU, reset before the product, that gives the last hidden state alone", "GRU", false, "last"],
])("gradients of a recurrent layer are those of its definition: %s", async (_, kind, linearBeforeReset, given) => {
  const sizes = sizesOf(GATES[kind]);
  const names = ["x", "w", "r", "b", "h"] as const;
  const weights = Object.fromEntries(
    names.map((name, which) => {
      const size = sizes[name].reduce((product, dim) => product * dim, 1);
      return [name, range(size).map((index) => Math.fround(0.6 * Math.sin(index * 1.3 + which)))];
    }),
  ) as Record<keyof Weights, number[]>;
  const sketch = new Sketch("layer");
  for (const name of names) sketch.initializer(name, GraphTensor.floats(sizes[name], weights[name]));
  const isAll = given === "all";
  const dims = isAll ? [STEPS, 1, BATCH, HIDDEN] : [1, BATCH, HIDDEN];
  const count = dims.reduce((product, dim) => product * dim, 1);
  sketch.initializer("share", GraphTensor.floats(dims, range(count).map(SHARE)));
  const inputs = ["x", "w", "r", "b", "", "h"];
  const attributes = [
    attribute.int("hidden_size", HIDDEN),
    ...(kind === "GRU" ? [attribute.int("linear_before_reset", linearBeforeReset ? 1 : 0)] : []),
  ];
  sketch.node(kind, inputs, isAll ? ["y"] : ["", "y"], attributes);
  sketch.node("Mul", ["y", "share"], ["shared"]);
  sketch.node("ReduceSum", ["shared"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const { graph } = net;
  const [loss] = graph.outputs;
  if (loss === undefined) throw new Error("no loss");
  const wanted = graph.initializers.filter(({ name }) => name !== "share");
  for (const [value, gradient] of addGradients(net, loss, wanted)) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  removeDeadNodes(graph);
  const session = await InferenceSession.create(encodeModel(net), { logSeverityLevel: 3 });
  const results = await session.run({} as Record<string, Tensor>);
  await session.release();

  const lossOf = (all: Weights): number =>
    statesOf(kind, linearBeforeReset, all)
      .slice(isAll ? 0 : -BATCH * HIDDEN)
      .reduce((sum, state, index) => sum + state * Math.fround(SHARE(index)), 0);
  for (const name of names) {
    const actual = valuesOf(results[`${name}_grad`]);
    const step = 1e-5;
    const expected = weights[name].map((value, index) => {
      const moved = (by: number): number => lossOf({ ...weights, [name]: weights[name].with(index, value + by) });
      return (moved(step) - moved(-step)) / (2 * step);
    });
    const scale = Math.max(...expected.map(Math.abs));
    expect(actual).toHaveLength(expected.length);
    const largest = Math.max(...actual.map((value, index) => Math.abs(value - (expected[index] ?? Number.NaN))));
    expect(largest / scale, name).toBeLessThan(3e-6);
  }
});
