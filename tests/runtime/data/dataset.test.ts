import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../../src/index.ts";
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
