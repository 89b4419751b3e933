import { type Attribute, attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";

export interface Input {
  readonly dims: readonly number[];
  /** Default: numbers between -3 and 3 that repeat nowhere. */
  readonly values?: readonly number[];
  readonly dtype?: number;
  /** An initializer of the model. Default: an input. */
  readonly constant?: boolean;
  /** What the model says of its shape. Default: the dimensions. */
  readonly declared?: readonly (number | string)[];
}

/** One node in an old opset. */
export interface Case {
  readonly name: string;
  readonly opset: number;
  readonly op: string;
  readonly inputs: readonly Input[];
  readonly attributes?: readonly Attribute[];
  readonly outputs?: number;
  /** Element type of the outputs. Default float. */
  readonly gives?: number;
}

const { int, ints, float, floats, string } = attribute;
const x = (...dims: number[]): Input => ({ dims });
const held = (dims: readonly number[], values: readonly number[], dtype: number = DataType.float): Input => ({
  dims,
  values,
  dtype,
  constant: true,
});
const int64 = (...values: number[]): Input => ({ dims: [values.length], values, dtype: DataType.int64 });

export const tensorOf = ({ dims, values, dtype = DataType.float }: Input): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const numbers = values ?? Array.from({ length: size }, (_, index) => ((index * 37 + 11) % 61) / 10 - 3);
  if (dtype === DataType.int64) return GraphTensor.from(dtype, dims, BigInt64Array.from(numbers, BigInt));
  if (dtype === DataType.double) return GraphTensor.from(dtype, dims, Float64Array.from(numbers));
  return GraphTensor.from(dtype, dims, Float32Array.from(numbers));
};

const one = (
  opset: number,
  op: string,
  inputs: readonly Input[],
  attributes: readonly Attribute[] = [],
  more = "",
) => ({
  name: `${op} of opset ${opset}${more === "" ? "" : `, ${more}`}`,
  ...{ opset, op, inputs, attributes },
});

const REDUCTIONS = ["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"];

export const CASES: readonly Case[] = [
  ...["Relu", "Sigmoid", "Tanh", "Elu", "LeakyRelu", "Selu", "Exp", "Abs", "Neg", "HardSigmoid"].map((op) =>
    one(6, op, [x(2, 3)]),
  ),
  one(6, "Clip", [x(3, 4)], [float("min", -1), float("max", 2)]),
  one(6, "Softmax", [x(2, 3, 2)], [], "over two axes as one"),
  one(6, "Reshape", [x(2, 6), held([3], [0, -1, 2], DataType.int64)]),
  one(6, "Cast", [x(2, 3)], [int("to", DataType.float)]),
  one(6, "Tile", [x(2, 3), held([2], [2, 1], DataType.int64)]),
  one(6, "InstanceNormalization", [x(1, 2, 4), held([2], [1, 2]), held([2], [0, 1])]),
  one(5, "Conv", [x(1, 2, 5, 5), held([2, 2, 3, 3], tensorValues(36))], [ints("pads", [1, 1, 1, 1])]),
  one(4, "Concat", [x(2, 3), x(2, 2)], [int("axis", 1)]),
  one(2, "Pad", [x(2, 3)], [ints("pads", [1, 0, 0, 2]), float("value", 1.5)]),
  { ...one(2, "Split", [x(5, 2)], [ints("split", [2, 3]), int("axis", 0)]), outputs: 2 },
  one(2, "LpPool", [x(1, 1, 4, 4)], [ints("kernel_shape", [2, 2]), int("p", 3)]),
  one(9, "Slice", [x(4, 5)], [ints("starts", [1, -4]), ints("ends", [3, 1000]), ints("axes", [0, 1])]),
  one(
    9,
    "Slice",
    [x(4, 5)],
    [ints("starts", [1]), { name: "ends", kind: "ints", value: [2n ** 63n - 1n] }, ints("axes", [1])],
    "to the border",
  ),
  one(7, "Slice", [x(4, 5)], [ints("starts", [1]), ints("ends", [-1])], "without axes"),
  one(8, "Pad", [x(2, 3)], [ints("pads", [1, 0, 0, 2]), float("value", 1.5)]),
  one(10, "Pad", [x(1, 1, 4, 4)], [ints("pads", [0, 0, 1, 1, 0, 0, 1, 1]), string("mode", "reflect")], "reflect"),
  one(10, "Pad", [x(2, 3)], [ints("pads", [0, 1, 0, 1]), string("mode", "edge")], "edge"),
  one(7, "Clip", [x(3, 4)], [float("min", -1), float("max", 2)]),
  one(10, "Clip", [x(3, 4)], [float("max", 0.5)], "no lower bound"),
  one(10, "Clip", [x(3, 4)], [float("min", 0)], "no upper bound"),
  one(10, "Clip", [x(3, 4)], [], "no bounds"),
  one(12, "Squeeze", [x(1, 3, 1)], [ints("axes", [0, -1])]),
  one(8, "Squeeze", [x(1, 3, 1)], [], "all axes"),
  one(9, "Unsqueeze", [x(3, 2)], [ints("axes", [0, 2])]),
  one(11, "ReduceSum", [x(2, 3, 4)], [ints("axes", [-1]), int("keepdims", 0)]),
  one(7, "ReduceSum", [x(2, 3)], [], "over all axes"),
  ...REDUCTIONS.flatMap((name) => [
    one(8, `Reduce${name}`, [x(2, 3, 2)], [ints("axes", [1])]),
    one(13, `Reduce${name}`, [x(2, 3, 2)], name === "Sum" ? [] : [ints("axes", [0, 2]), int("keepdims", 0)]),
  ]),
  { ...one(11, "Split", [x(5, 2)], [ints("split", [2, 3]), int("axis", 0)]), outputs: 2 },
  { ...one(8, "Split", [x(2, 6)], [int("axis", 1)], "in equal parts"), outputs: 3 },
  { ...one(13, "Split", [x(6, 2)], [], "in equal parts"), outputs: 2 },
  { ...one(9, "TopK", [x(3, 5)], [int("k", 2), int("axis", 1)]), outputs: 1 },
  one(8, "Dropout", [x(3, 4)], [float("ratio", 0.25)]),
  one(11, "Dropout", [x(3, 4)], [], "the ratio left out"),
  one(8, "Upsample", [x(1, 2, 3, 3)], [floats("scales", [1, 1, 2, 3]), string("mode", "nearest")]),
  one(7, "Upsample", [x(1, 2, 3, 3)], [floats("scales", [1, 1, 2, 2]), string("mode", "linear")], "linear"),
  one(9, "Upsample", [x(1, 1, 3, 3), held([4], [1, 1, 1.5, 2.5])], [], "its scales an input"),
  one(10, "Resize", [x(1, 1, 3, 4), held([4], [1, 1, 2.6, 1.7])], [], "enlarging"),
  one(10, "Resize", [x(1, 1, 7, 5), held([4], [1, 1, 0.4, 0.6])], [], "reducing"),
  one(10, "Resize", [x(1, 1, 7, 5), held([4], [1, 1, 0.4, 1.6])], [string("mode", "linear")], "linear, both"),
  one(
    10,
    "Resize",
    [x(1, 1, 4, 5), { dims: [4], values: [1, 1, 2, 0.6] }],
    [string("mode", "linear")],
    "linear, scales computed",
  ),
  one(11, "Resize", [x(1, 1, 3, 4), held([0], []), held([4], [1, 1, 2, 2])], [], "enlarging"),
  ...["Softmax", "LogSoftmax", "Hardmax"].flatMap((op) => [
    one(7, op, [x(2, 3)], [], "of a matrix"),
    one(9, op, [x(2, 3, 2)], [], "over two axes as one"),
    one(11, op, [x(2, 3, 2)], [int("axis", -1)], "over the last axis"),
    one(11, op, [x(2, 3, 2)], [int("axis", 0)], "over all axes"),
    one(12, op, [{ dims: [2, 3], declared: ["N", "C"] }], [int("axis", 1)], "of unknown sizes"),
  ]),
  one(7, "BatchNormalization", [
    x(2, 3, 2),
    held([3], [1, 2, 3]),
    held([3], [0, 1, -1]),
    held([3], [0.5, 0, 1]),
    held([3], [1, 2, 0.5]),
  ]),
  one(
    8,
    "BatchNormalization",
    [x(2, 2), held([2], [1, 2]), held([2], [0, 1]), held([2], [0.5, 0]), held([2], [1, 2])],
    [int("spatial", 1), float("epsilon", 1e-3)],
    "spatial",
  ),
  one(9, "OneHot", [int64(0, 2, 1, 3), held([1], [3], DataType.int64), held([2], [-1, 5])], [], "one index too large"),
  one(9, "OneHot", [int64(0, -1, 2), held([1], [3], DataType.int64), held([2], [0, 1])], [], "a negative index"),
  one(9, "Scatter", [x(3, 3), held([1, 2], [2, 0], DataType.int64), x(1, 2)], [int("axis", 1)]),
  one(
    10,
    "RoiAlign",
    [x(1, 1, 6, 6), held([2, 4], [0, 0, 4, 4, 1, 1, 5, 3]), held([2], [0, 0], DataType.int64)],
    [int("output_height", 2), int("output_width", 2), int("sampling_ratio", 2)],
  ),
  one(
    16,
    "GridSample",
    [x(1, 1, 4, 4), { dims: [1, 2, 2, 2], values: [-0.7, -0.2, 0.4, 0.9, 0.1, 0.3, -0.5, 0.6] }],
    [string("mode", "bicubic")],
    "bicubic",
  ),
  one(16, "GridSample", [x(1, 1, 4, 4), { dims: [1, 2, 2, 2], values: [-0.7, -0.2, 0.4, 0.9, 0.1, 0.3, -0.5, 0.6] }]),
  one(
    7,
    "AveragePool",
    [x(1, 1, 5, 5)],
    [ints("kernel_shape", [3, 3]), ints("pads", [1, 1, 1, 1]), ints("strides", [2, 2])],
  ),
  one(
    10,
    "AveragePool",
    [x(1, 1, 6, 6)],
    [ints("kernel_shape", [3, 3]), ints("strides", [2, 2]), int("ceil_mode", 1)],
    "rounded up",
  ),
  one(
    7,
    "AveragePool",
    [x(1, 1, 5, 5)],
    [ints("kernel_shape", [2, 2]), string("auto_pad", "SAME_UPPER"), int("count_include_pad", 1)],
    "SAME_UPPER",
  ),
  one(7, "MaxPool", [x(1, 1, 5, 5)], [ints("kernel_shape", [2, 2]), string("auto_pad", "SAME_LOWER")], "SAME_LOWER"),
  one(
    10,
    "MaxPool",
    [x(1, 1, 6, 6)],
    [ints("kernel_shape", [3, 3]), ints("strides", [2, 2]), int("ceil_mode", 1)],
    "rounded up",
  ),
  one(
    7,
    "Conv",
    [x(1, 2, 5, 5), held([2, 2, 3, 3], tensorValues(36))],
    [string("auto_pad", "SAME_UPPER"), ints("strides", [2, 2])],
  ),
  one(
    7,
    "ConvTranspose",
    [x(1, 1, 3, 3), held([1, 2, 3, 3], tensorValues(18))],
    [string("auto_pad", "SAME_UPPER"), ints("strides", [2, 2])],
    "SAME_UPPER",
  ),
  one(7, "Gemm", [x(2, 3), x(3, 4), x(4)], [float("alpha", 0.5), float("beta", 2)]),
  one(7, "PRelu", [x(2, 3, 2), held([3, 1], [0.1, 0.2, 0.3])]),
  one(7, "Flatten", [x(2, 3, 4)], [int("axis", 2)]),
  one(7, "Concat", [x(2, 3), x(2, 2)], [int("axis", 1)]),
  one(7, "Gather", [x(4, 3), int64(2, 0)], [int("axis", 0)]),
  one(7, "Pow", [{ dims: [3], values: [1, 2, 3] }, held([1], [2])]),
  one(7, "Sum", [x(2, 3), x(2, 3)]),
  one(8, "Mean", [x(2, 3), x(3)]),
  one(8, "Max", [x(2, 3), x(3)]),
  one(7, "Transpose", [x(2, 3)]),
  one(7, "Tile", [x(2, 3), held([2], [2, 1], DataType.int64)]),
  one(7, "Reshape", [x(2, 6), held([3], [0, -1, 2], DataType.int64)]),
  one(7, "DepthToSpace", [x(1, 8, 2, 2)], [int("blocksize", 2)]),
  one(7, "LRN", [x(1, 4, 3, 3)], [int("size", 3)]),
  one(7, "InstanceNormalization", [x(1, 2, 4), held([2], [1, 2]), held([2], [0, 1])]),
  { ...one(7, "ArgMax", [x(3, 4)], [int("axis", 1)]), gives: DataType.int64 },
  one(
    7,
    "LSTM",
    [x(3, 2, 2), held([1, 8, 2], tensorValues(16)), held([1, 8, 2], tensorValues(16)), held([1, 16], tensorValues(16))],
    [int("hidden_size", 2)],
  ),
  one(
    7,
    "GRU",
    [x(3, 2, 2), held([1, 6, 2], tensorValues(12)), held([1, 6, 2], tensorValues(12))],
    [int("hidden_size", 2)],
  ),
  one(
    7,
    "GRU",
    [x(3, 2, 2), held([1, 6, 2], tensorValues(12)), held([1, 6, 2], tensorValues(12))],
    [int("hidden_size", 2), int("linear_before_reset", 1)],
    "linear before reset",
  ),
  one(
    7,
    "RNN",
    [x(3, 2, 2), held([1, 2, 2], tensorValues(4)), held([1, 2, 2], tensorValues(4))],
    [int("hidden_size", 2)],
  ),
  one(8, "Expand", [x(1, 3), held([2], [2, 3], DataType.int64)]),
  one(9, "Where", [{ dims: [2], values: [1, 0], dtype: DataType.bool }, x(2), x(2)]),
  one(11, "CumSum", [x(2, 3), held([1], [1], DataType.int64)]),
  one(12, "Einsum", [x(2, 3), x(3, 2)], [string("equation", "ij,jk->ik")]),
  one(11, "ScatterElements", [x(3, 3), held([1, 2], [2, 0], DataType.int64), x(1, 2)], [int("axis", 1)]),
  one(11, "ScatterND", [x(4), held([2, 1], [3, 1], DataType.int64), x(2)]),
  one(11, "GatherND", [x(3, 2), held([2, 1], [2, 0], DataType.int64)]),
  one(11, "Clip", [{ dims: [2], dtype: DataType.float }, held([], [-1]), held([], [1])]),
];

function tensorValues(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => ((index * 29 + 7) % 41) / 20 - 1);
}
