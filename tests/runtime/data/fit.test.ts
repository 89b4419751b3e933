import { describe, expect, it } from "vitest";
import { DataType, GraphTensor, type NamedTensor } from "../../../src/entries/graph.ts";
import { fitTensors } from "../../../src/entries/run.ts";
import type { InputSpec } from "../../../src/entries/training.ts";
import { errorOf } from "../../support/errors.ts";

const image = (...shape: InputSpec["shape"] & object): InputSpec => ({ name: "input", dtype: DataType.float, shape });
const classes: InputSpec = {
  name: "labels",
  dtype: DataType.int64,
  shape: ["N"],
  range: { least: 0, greatest: 9, ignored: null, of: "10 classes" },
};
const bytes = (dims: readonly number[], ...values: readonly number[]): GraphTensor =>
  GraphTensor.from(DataType.uint8, dims, Uint8Array.from(values));

function fitting(inputs: readonly InputSpec[], tensors: readonly NamedTensor[], options = {}) {
  const notes: string[] = [];
  const fitted = fitTensors(inputs, tensors, { ...options, tell: (note) => notes.push(note) });
  const shown = fitted.map(({ name, tensor }) => [name, tensor.dtype, tensor.dims, [...tensor.values()].map(Number)]);
  return { shown, notes };
}

describe("fitTensors", () => {
  it("gives images of bytes and their labels names, types, a scale and a channel, and says each once", () => {
    const { shown, notes } = fitting(
      [image("N", 1, 1, 2), classes],
      [
        { name: "images", tensor: bytes([2, 1, 2], 0, 51, 102, 255) },
        { name: "labels", tensor: bytes([2], 7, 3) },
      ],
    );
    expect(shown).toEqual([
      ["labels", DataType.int64, [2], [7, 3]],
      [
        "input",
        DataType.float,
        [2, 1, 1, 2],
        [0, 51, 102, 255].map((value) => Math.fround(Math.fround(value) * (1 / 255))),
      ],
    ]);
    expect(notes).toEqual([
      '"images" of the data is the model\'s "input"',
      '"labels": uint8 to int64',
      '"input": an axis of one channel added, [2,1,2] to [2,1,1,2]',
      '"input": uint8 to float, times 1/255 (--scale 1 leaves them)',
    ]);
  });

  it("float16 and bfloat16 become floats, number by number", () => {
    const bits = Uint16Array.of(0x3c00, 0xc100, 0x0001);
    const half = GraphTensor.from(DataType.float16, [3], bits);
    expect(fitting([image("N")], [{ name: "input", tensor: half }])).toEqual({
      shown: [["input", DataType.float, [3], [1, -2.5, 2 ** -24]]],
      notes: ['"input": float16 to float'],
    });
    const brain = GraphTensor.from(DataType.bfloat16, [2], Uint16Array.of(0x3f80, 0xc020));
    expect(fitting([image("N")], [{ name: "input", tensor: brain }], { scale: 2 }).shown[0]?.[3]).toEqual([2, -5]);
  });

  it("leaves alone what fits as it is", () => {
    const tensors = [{ name: "input", tensor: GraphTensor.floats([1, 2], [3, 4]) }];
    expect(fitting([image("N", 2)], tensors)).toEqual({
      shown: [["input", DataType.float, [1, 2], [3, 4]]],
      notes: [],
    });
  });

  it.each([
    ["channels last", [1, 2, 2, 3], ["N", 3, 2, 2], [1, 3, 2, 2], [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]],
    ["flattened", [1, 3, 4], ["N", 12], [1, 12], null],
    ["folded", [1, 12], ["N", 3, 2, 2], [1, 3, 2, 2], null],
    ["an axis added at the end", [12], ["N", 1], [12, 1], null],
    ["an axis removed at the end", [12, 1], ["N"], [12], null],
  ] as const)("%s", (_, dims, shape, becomes, moved) => {
    const values = Array.from({ length: 12 }, (__, index) => index);
    const { shown } = fitting([image(...shape)], [{ name: "input", tensor: GraphTensor.floats(dims, values) }]);
    expect(shown).toEqual([["input", DataType.float, becomes, moved ?? values]]);
  });

  it("takes y, class and their like for labels where the model has such an input, and for any other tensor where not", () => {
    const inputs = [image("N"), { name: "labels", dtype: DataType.int64, shape: ["N"] }];
    const x = { name: "x", tensor: GraphTensor.floats([1], [2]) };
    for (const name of ["y", "Y", "class", "classes", "target"]) {
      const { shown, notes } = fitting(inputs, [{ name, tensor: GraphTensor.ints([3]) }, x]);
      expect(shown).toEqual(
        expect.arrayContaining([
          ["input", DataType.float, [1], [2]],
          ["labels", DataType.int64, [1], [3]],
        ]),
      );
      expect(notes).toContain(`"${name}" of the data is the model's "labels"`);
    }
    const alone = fitting([image("N")], [{ name: "y", tensor: GraphTensor.floats([1], [2]) }]);
    expect(alone.shown).toEqual([["input", DataType.float, [1], [2]]]);
  });

  it("leaves what has no way, or no clear partner, to who refuses it by name", () => {
    const odd = [{ name: "input", tensor: GraphTensor.floats([2, 5], new Array(10).fill(0)) }];
    expect(fitting([image("N", 3, 2)], odd).shown[0]?.[2]).toEqual([2, 5]);
    const two = ["a", "b"].map((name) => ({ name, tensor: GraphTensor.floats([1], [0]) }));
    expect(fitting([image("N")], two)).toEqual({
      shown: two.map(({ name }) => [name, DataType.float, [1], [0]]),
      notes: [],
    });
  });

  it("scales and normalizes as it is told: per channel, by numbers or by the data's own", () => {
    const tensors = [{ name: "input", tensor: bytes([2, 2, 1], 0, 10, 4, 30) }];
    const numbers = fitting([image("N", 2, 1)], tensors, { scale: 0.5, normalize: { mean: [1, 2], std: [2, 4] } });
    expect(numbers.shown[0]?.[3]).toEqual([-0.5, 0.75, 0.5, 3.25]);
    const computed = fitting([image("N", 2, 1)], tensors, { scale: 1, normalize: "computed" });
    expect(computed.shown[0]?.[3]).toEqual([-1, -1, 1, 1]);
    expect(computed.notes).toEqual([
      '"input": minus 2.000, 20.00, divided by 2.000, 10.00 (mean and deviation of these data)',
      '"input": for other data: --normalize "2 20,2 10" (normalize)',
    ]);
    for (const normalize of [
      { mean: [1, 2, 3], std: [1] },
      { mean: [0], std: [0] },
    ])
      expect(errorOf(() => fitting([image("N", 2, 1)], tensors, { normalize })).code).toBe("E_OPTION");
  });

  it("row 65: refuses to take a mean of what is not finite, with the sample", () => {
    const tensor = GraphTensor.floats([3, 2], [0, 1, 2, Number.NaN, 4, 5]);
    const error = errorOf(() => fitting([image("N", 2)], [{ name: "input", tensor }], { normalize: "computed" }));
    expect([error.code, error.message]).toEqual([
      "E_DATA",
      expect.stringContaining("a number of sample 1 is not finite"),
    ]);
  });

  it("refuses a scale or a normalization that nothing takes", () => {
    const ids = [{ name: "input", tensor: GraphTensor.ints([1, 2]) }];
    const inputs = [{ name: "input", dtype: DataType.int64, shape: ["N"] }];
    for (const options of [{ scale: 2 }, { normalize: "computed" }]) {
      const error = errorOf(() => fitting(inputs, ids, options));
      expect([error.code, error.message]).toEqual(["E_OPTION", expect.stringContaining("no input takes such")]);
    }
  });

  it.each([
    ["a fraction among classes", GraphTensor.floats([2], [1, 1.5]), DataType.int64, /cannot hold 1.5 of sample 1/],
    [
      "an integer that a float cannot hold",
      GraphTensor.from(DataType.int64, [1], BigInt64Array.of(2n ** 24n + 1n)),
      DataType.float,
      /cannot hold 16777217/,
    ],
    [
      "a negative where there are none",
      GraphTensor.from(DataType.int32, [1], Int32Array.of(-1)),
      DataType.uint8,
      /cannot hold -1/,
    ],
  ])("refuses %s", (_, tensor, dtype, message) => {
    const error = errorOf(() => fitting([{ name: "input", dtype, shape: null }], [{ name: "input", tensor }]));
    expect([error.code, error.message]).toEqual(["E_DATA", expect.stringMatching(message)]);
  });
});
