import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { batches, datasetFor } from "../../../src/runtime/data/dataset.ts";
import { errorOf } from "../../support/errors.ts";
import { valuesOf } from "../../support/tensor-values.ts";

const inputs = [
  { name: "x", dtype: DataType.float, shape: ["N", 2] },
  { name: "y", dtype: DataType.int64, shape: ["N"] },
];
const x = { name: "x", tensor: GraphTensor.floats([5, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) };
const y = { name: "y", tensor: GraphTensor.ints([0, 1, 2, 3, 4]) };
const rowsOf = (epoch: number, shuffle: boolean, seed = 1, dropLast = false): number[][] =>
  [...batches(datasetFor(inputs, [y, x]), epoch, { batchSize: 2, shuffle, seed, dropLast })].map((feeds) => {
    const labels = valuesOf(feeds["y"]);
    expect(valuesOf(feeds["x"])).toEqual(labels.flatMap((label) => [2 * label, 2 * label + 1]));
    return labels;
  });

describe("batches", () => {
  it("come in file order without shuffling, the rest last", () => {
    expect(rowsOf(0, false)).toEqual([[0, 1], [2, 3], [4]]);
    expect(rowsOf(7, false, 1, true)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("hold every sample once when shuffled, in an order that depends on seed and epoch alone", () => {
    const order = (epoch: number, seed: number): string => rowsOf(epoch, true, seed).join();
    expect(rowsOf(0, true).flat().sort()).toEqual([0, 1, 2, 3, 4]);
    expect(order(3, 1)).toBe(order(3, 1));
    const distinct = new Set([0, 1, 2, 3, 4, 5].flatMap((epoch) => [order(epoch, 1), order(epoch, 2)]));
    expect(distinct.size).toBeGreaterThan(9);
  });
});

describe("datasetFor refuses", () => {
  it.each([
    ["a missing tensor", [x], /no tensor "y".*they have "x"/],
    [
      "numbers of samples that differ",
      [x, { name: "y", tensor: GraphTensor.ints([1]) }],
      /"x" has 5 samples, "y" has 1/,
    ],
    ["a scalar", [{ name: "x", tensor: GraphTensor.floats([], [1]) }, y], /"x" is a scalar/],
    [
      "no samples",
      [
        { name: "x", tensor: GraphTensor.floats([0, 2], []) },
        { name: "y", tensor: GraphTensor.ints([]) },
      ],
      /no samples/,
    ],
  ])("%s", (_, tensors, message) => {
    const error = errorOf(() => datasetFor(inputs, tensors));
    expect(error.exitCode).toBe(5);
    expect(error.message).toMatch(message);
  });
});

describe("inputs that are no samples along axis 0", () => {
  const specs = [
    { name: "h", dtype: DataType.float, shape: [2, "N", 1] },
    { name: "x", dtype: DataType.float, shape: ["T", "N"] },
    { name: "rate", dtype: DataType.int64, shape: [] },
  ];
  const h = GraphTensor.floats([2, 3, 1], [0, 1, 2, 10, 11, 12]);
  const data = {
    x: GraphTensor.floats([1, 3], [5, 6, 7]),
    h,
    rate: GraphTensor.from(DataType.int64, [], BigInt64Array.of(8n)),
  };
  const sampleAxes = { x: 1, h: 1 };
  const plan = { batchSize: 2, shuffle: false, seed: 0, dropLast: false };

  it("are taken along their axes, and scalars as they are", () => {
    const made = [...batches(datasetFor(specs, data, { sampleAxes }), 0, plan)];
    expect(made.map((feeds) => specs.map(({ name }) => valuesOf(feeds[name])))).toEqual([
      [[0, 1, 10, 11], [5, 6], [8]],
      [[2, 12], [7], [8]],
    ]);
    expect(made.map(({ h: state }) => state?.dims)).toEqual([
      [2, 2, 1],
      [2, 1, 1],
    ]);
  });

  it("are filled with a number, as long as the batch, or the same for all", () => {
    const filled = [...batches(datasetFor(specs, data, { sampleAxes, constants: { h: 0.5, rate: 3 } }), 0, plan)];
    expect(filled.map((feeds) => specs.map(({ name }) => valuesOf(feeds[name])))).toEqual([
      [[0.5, 0.5, 0.5, 0.5], [5, 6], [3]],
      [[0.5, 0.5], [7], [3]],
    ]);
    const [first] = batches(datasetFor(specs, data, { sampleAxes: { x: 1 }, constants: { h } }), 0, plan);
    expect(valuesOf(first?.["h"])).toEqual([0, 1, 2, 10, 11, 12]);
  });

  it.each([
    ["another axis", {}, 5, /"x" has 1 samples|"h" has 2/, /--sample-axis|--input/],
    ["no such axis", { sampleAxes: { h: 3 } }, 2, /3 is no sample axis of "h": its axes count from 0 to 2/, /^$/],
    ["no such input", { constants: { g: 1 } }, 2, /no input "g"/, /It takes h, x, rate/],
    [
      "two open sizes",
      { sampleAxes, constants: { x: 1 } },
      5,
      /one number does not fill "x"/,
      /--input x=constant:<file>/,
    ],
    ["another type", { sampleAxes, constants: { rate: 0.5 } }, 5, /"rate" is int64, which 0.5 is not/, /^$/],
    ["nothing", { constants: { h, x: data.x, rate: 1 } }, 5, /no input has samples/, /^$/],
  ])("are refused: %s", (_, options, exitCode, message, hint) => {
    const error = errorOf(() => datasetFor(specs, data, options));
    expect([error.exitCode, error.message]).toEqual([exitCode, expect.stringMatching(message)]);
    expect(error.hint ?? "").toMatch(hint);
  });

  it("names the value of a scalar that the model takes one of per sample", () => {
    const error = errorOf(() => datasetFor(inputs, { x: x.tensor, y: data.rate }));
    expect(error.hint).toContain("--input y=constant:8");
  });
});
