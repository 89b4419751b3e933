import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { sizesOfBatches } from "../../../src/entries/run.ts";
import type { InputSpec } from "../../../src/entries/training.ts";
import { datasetFor } from "../../../src/index.ts";

const floats = (...dims: number[]): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((size, dim) => size * dim, 1) }, () => 0),
  );

const spec = (name: string, ...shape: (string | number | null)[]): InputSpec => ({
  name,
  dtype: DataType.float,
  shape,
});

describe("sizes of batches", () => {
  it("are the batch size along the axis of samples, and those of the data along the others", () => {
    const inputs = [spec("x", "batch", "length", 4), spec("state", 1, "samples", 8), spec("table", "rows", 4)];
    const dataset = datasetFor(
      inputs,
      { x: floats(10, 6, 4), state: floats(1, 10, 8), table: floats(3, 4) },
      {
        constants: { table: floats(3, 4) },
        sampleAxes: { state: 1 },
      },
    );
    expect(sizesOfBatches(inputs, dataset, 5)).toEqual({ batch: 5, length: 6, samples: 5, rows: 3 });
  });

  it("are none where a model leaves none open, or gives them no names", () => {
    const inputs = [spec("x", 5, 4), spec("y", null, 4)];
    const dataset = datasetFor(inputs, { x: floats(10, 4), y: floats(10, 4) });
    expect(sizesOfBatches(inputs, dataset, 5)).toEqual({});
  });

  it("are none where exporters write that there is no name", () => {
    const inputs = [spec("x", "batch", "?"), spec("y", "batch", "unk")];
    const dataset = datasetFor(inputs, { x: floats(10, 4), y: floats(10, 3) });
    expect(sizesOfBatches(inputs, dataset, 5)).toEqual({ batch: 5 });
  });

  it("are none where a name stands for several", () => {
    const inputs = [spec("x", "batch", "length"), spec("y", "batch", "length"), spec("z", "batch", "length")];
    const dataset = datasetFor(inputs, { x: floats(10, 4), y: floats(10, 3), z: floats(10, 4) });
    expect(sizesOfBatches(inputs, dataset, 5)).toEqual({ batch: 5 });
  });

  it("are those of all samples where there are fewer than a batch takes", () => {
    const inputs = [spec("x", "batch", 4)];
    expect(sizesOfBatches(inputs, datasetFor(inputs, { x: floats(10, 4) }), 64)).toEqual({ batch: 10 });
  });

  it("are those of the samples alone where these are read when a batch needs them", () => {
    const inputs = [spec("x", "batch", "length")];
    const source = { names: ["x"], sampleBytes: 4, identity: async () => "", read: async () => [] };
    expect(sizesOfBatches(inputs, { tensors: [], size: 10, source }, 5)).toEqual({ batch: 5 });
  });
});
