import { attribute } from "../../src/entries/graph.ts";
import { bool, f32, type InferenceCase, i8, i32, i64, shape, type, u8, x } from "./inference-cases.ts";

const { int, ints, string } = attribute;

/** Operators of signals, quantization, selection and randomness. */
export const SIGNALS: readonly InferenceCase[] = [
  shape("BitShift", [u8([2, 1], [1, 2]), u8([3], [1, 2, 3])], [string("direction", "LEFT")]),
  ...["BitwiseAnd", "BitwiseOr", "BitwiseXor"].map((op) =>
    shape(op, [i32([2, 1], [5, 6]), i32([3], [1, 2, 3])], { opset: 18 }),
  ),
  shape("ReverseSequence", [x([4, 2, 3]), i64([2], [2, 4])]),
  shape("Scatter", [x([3, 2]), i64([1, 2], [0, 2]), x([1, 2])], { opset: 10 }),
  ...["BlackmanWindow", "HammingWindow", "HannWindow"].flatMap((op) => [
    shape(op, [i64([], [8])]),
    shape(op, [i64([], [5])], [int("output_datatype", 11)]),
  ]),
  shape("Bernoulli", [f32([2, 3])]),
  ...["RandomNormalLike", "RandomUniformLike"].flatMap((op) => [
    shape(op, [x([2, 3])]),
    shape(op, [x([2, 3])], [int("dtype", 11)]),
  ]),
  ...["RandomNormal", "RandomUniform"].map((op) => shape(op, [], [ints("shape", [2, 3])])),
  shape("Multinomial", [f32([2, 3])], [int("sample_size", 5)]),
  shape("Multinomial", [f32([2, 3])], [int("sample_size", 2), int("dtype", 7)]),
  shape("DFT", [x([2, 6, 1])], [int("axis", 1)]),
  shape("DFT", [x([2, 7, 1])], [int("axis", 1), int("onesided", 1)]),
  shape("DFT", [x([2, 6, 3, 2])], [int("axis", 2), int("inverse", 1)]),
  shape("DFT", [x([2, 6, 1]), i64([], [4])], [int("axis", 1), int("onesided", 1)]),
  shape("DFT", [x([2, 6, 1]), null, i64([], [1])], { opset: 20 }),
  shape("DFT", [x([2, 6, 1])], { opset: 20 }),
  shape("STFT", [x([2, 32, 1]), i64([], [4]), f32([8])]),
  shape("STFT", [x([2, 33, 1]), i64([], [5]), null, i64([], [9])], [int("onesided", 0)]),
  shape("Col2Im", [x([1, 12, 4]), i64([2], [4, 4]), i64([2], [2, 2])], {
    opset: 18,
    attributes: [ints("strides", [2, 2])],
  }),
  shape("CenterCropPad", [x([4, 5]), i64([2], [6, 3])], { opset: 18 }),
  shape("CenterCropPad", [x([4, 5]), i64([1], [2])], { opset: 18, attributes: [ints("axes", [-1])] }),
  type("Compress", [x([2, 3]), bool([3], [1, 0, 1])], [int("axis", 1)]),
  type("Compress", [x([2, 3]), bool([6], [1, 0, 1, 0, 0, 1])]),
  shape("DequantizeLinear", [i8([2, 3], [1, 2, 3, 4, 5, 6]), f32([], [0.5])]),
  shape("QuantizeLinear", [x([2, 3]), f32([], [0.5])]),
  shape("QuantizeLinear", [x([2, 3]), f32([], [0.5]), i8([], [0])]),
  shape("DynamicQuantizeLinear", [x([2, 3])], { outputs: 3 }),
  shape("MatMulInteger", [
    u8([2, 3], [1, 2, 3, 4, 5, 6]),
    u8(
      [3, 4],
      Array.from({ length: 12 }, (_, at) => at),
    ),
  ]),
  shape(
    "ConvInteger",
    [
      u8(
        [1, 1, 4, 5],
        Array.from({ length: 20 }, (_, at) => at),
      ),
      u8([2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
    [ints("pads", [0, 1, 0, 0]), ints("strides", [1, 2])],
  ),
  shape("QLinearMatMul", [
    ...[u8([1, 2], [1, 2]), f32([], [0.5]), u8([], [0]), u8([2, 3], [1, 2, 3, 4, 5, 6]), f32([], [0.5]), u8([], [0])],
    ...[f32([], [1]), u8([], [0])],
  ]),
  shape(
    "RoiAlign",
    [x([1, 2, 6, 6]), f32([3, 4], [0, 0, 2, 2, 1, 1, 4, 4, 0, 0, 5, 5]), i64([3], [0, 0, 0])],
    [...[int("output_height", 2), int("output_width", 3)]],
  ),
  type("NonMaxSuppression", [f32([1, 2, 4], [0, 0, 1, 1, 0, 0, 2, 2]), f32([1, 1, 2], [0.9, 0.8]), i64([1], [2])]),
  type("Unique", [x([6])], { outputs: 4 }),
  type("Unique", [x([3, 2])], { outputs: 4, attributes: [int("axis", 0)] }),
  shape("AffineGrid", [f32([1, 2, 3]), i64([4], [1, 1, 4, 5])], { opset: 20 }),
  shape("Upsample", [x([1, 2, 3, 4]), f32([4], [1, 1, 2, 2.5])], { opset: 9 }),
];
