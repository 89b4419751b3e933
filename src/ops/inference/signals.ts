import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import type { InferenceCall, InferenceRule, Inferred } from "./inference.ts";
import { over, plus, times } from "./named-sizes.ts";
import { broadcastShapes, product } from "./shapes.ts";

/** Operators of signals, quantization, selection and randomness. */

const single = (dtype: number, shape: readonly Dimension[] | null): readonly Inferred[] => [{ dtype, shape }];

const first: InferenceRule = (call) => [call.same()];

/** `dtype`, else the first input's type. */
const likeOr =
  (fallback: (call: InferenceCall) => number): InferenceRule =>
  (call) =>
    single(call.intOrNull("dtype") ?? fallback(call), call.shape(0));

const drawn: InferenceRule = (call) => single(call.intOrNull("dtype") ?? DataType.float, call.ints("shape"));

const one = (call: InferenceCall, index: number): Dimension => call.content(index)?.[0] ?? null;

function window(call: InferenceCall): readonly Inferred[] {
  return single(call.intOrNull("output_datatype") ?? DataType.float, [one(call, 0)]);
}

/** Frequencies of a transform: all, or those of a real signal alone. */
const bins = (length: Dimension, isHalf: boolean): Dimension => (isHalf ? plus(over(length, 2), 1) : length);

function dft(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return single(call.dtype(0), null);
  const byInput = call.opset >= 20;
  const given = byInput ? (call.has(2) ? one(call, 2) : -2) : (call.intOrNull("axis") ?? 1);
  if (typeof given !== "number") return [call.open(call.dtype(0), dims.length)];
  const axis = given < 0 ? given + dims.length : given;
  const length = call.has(1) ? one(call, 1) : (dims[axis] ?? null);
  const isHalf = (call.intOrNull("onesided") ?? 0) !== 0 && (call.intOrNull("inverse") ?? 0) === 0;
  const isReal = (call.intOrNull("onesided") ?? 0) !== 0 && (call.intOrNull("inverse") ?? 0) !== 0;
  const size = bins(length, isHalf);
  return single(
    call.dtype(0),
    dims.map((dim, at) => (at === axis ? size : at === dims.length - 1 ? (isReal ? 1 : 2) : dim)),
  );
}

function stft(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const length = call.has(3) ? one(call, 3) : (call.shape(2)?.[0] ?? null);
  const room = typeof length === "number" ? plus(dims?.[1] ?? null, -length) : null;
  const frames = plus(over(room, one(call, 1)), 1);
  return single(call.dtype(0), [dims?.[0] ?? null, frames, bins(length, (call.intOrNull("onesided") ?? 1) !== 0), 2]);
}

function col2im(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const image = call.content(1);
  const block = call.content(2);
  if (image === null) return single(call.dtype(0), null);
  const channels = block === null ? null : over(dims?.[1] ?? null, product(block));
  return single(call.dtype(0), [dims?.[0] ?? null, channels, ...image]);
}

function centerCropPad(call: InferenceCall): readonly Inferred[] {
  const [dims, sizes] = [call.shape(0), call.content(1)];
  if (dims === null || sizes === null) return [call.open(call.dtype(0), dims?.length ?? null)];
  const axes = call.ints("axes")?.map((axis) => (axis < 0 ? axis + dims.length : axis)) ?? dims.map((_, at) => at);
  return single(
    call.dtype(0),
    dims.map((dim, axis) => (axes.includes(axis) ? (sizes[axes.indexOf(axis)] ?? null) : dim)),
  );
}

function compress(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const given = call.intOrNull("axis");
  if (given === null) return single(call.dtype(0), [null]);
  if (dims === null) return single(call.dtype(0), null);
  const axis = given < 0 ? given + dims.length : given;
  return single(
    call.dtype(0),
    dims.map((dim, at) => (at === axis ? null : dim)),
  );
}

/** The type of the zero point, which is uint8 where there is none. */
const quantized =
  (zeroPoint: number): InferenceRule =>
  (call) => {
    const dtype = call.has(zeroPoint) ? call.dtype(zeroPoint) : (call.intOrNull("output_dtype") ?? 0) || DataType.uint8;
    return single(dtype, call.shape(0));
  };

function product2(call: InferenceCall, dtype: number, right: number): readonly Inferred[] {
  const [a, b] = [call.shape(0), call.shape(right)];
  if (a === null || b === null || a.length < 2 || b.length < 2) return single(dtype, null);
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) ?? [];
  return single(dtype, [...batch, a.at(-2) ?? null, b.at(-1) ?? null]);
}

function roiAlign(call: InferenceCall): readonly Inferred[] {
  const rois = call.shape(1)?.[0] ?? null;
  const channels = call.shape(0)?.[1] ?? null;
  return single(call.dtype(0), [
    rois,
    channels,
    call.intOrNull("output_height") ?? 1,
    call.intOrNull("output_width") ?? 1,
  ]);
}

function unique(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const given = call.intOrNull("axis");
  const indices: Inferred = { dtype: DataType.int64, shape: [null] };
  if (given !== null && dims === null) return [{ dtype: call.dtype(0), shape: null }, indices, indices, indices];
  const axis = given === null || dims === null ? 0 : given < 0 ? given + dims.length : given;
  const shape = given === null || dims === null ? [null] : dims.map((dim, at) => (at === axis ? null : dim));
  return [{ dtype: call.dtype(0), shape }, indices, indices, indices];
}

function affineGrid(call: InferenceCall): readonly Inferred[] {
  const size = call.content(1);
  if (size === null) return single(call.dtype(0), null);
  const [batch = null, , ...spatial] = size;
  return single(call.dtype(0), [batch, ...spatial, spatial.length]);
}

function upsample(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const attribute = call.node.attributes.get("scales");
  const factors = attribute?.kind === "floats" ? attribute.value : call.numbers(1);
  if (dims === null || factors?.length !== dims.length) return [call.open(call.dtype(0), dims?.length ?? null)];
  return single(
    call.dtype(0),
    dims.map((dim, axis) => {
      const factor = factors[axis] ?? 1;
      if (typeof dim === "number") return Math.floor(dim * factor);
      return Number.isSafeInteger(factor) ? times(dim, factor) : null;
    }),
  );
}

const bitwise: InferenceRule = (call) => single(call.dtype(0), broadcastShapes([call.shape(0), call.shape(1)]));

export const SIGNAL_INFERENCE: readonly (readonly [op: string, rule: InferenceRule])[] = [
  ...["BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"].map((op) => [op, bitwise] as const),
  ...["Scatter", "TensorScatter"].map((op) => [op, first] as const),
  ...["BlackmanWindow", "HammingWindow", "HannWindow"].map((op) => [op, window] as const),
  ...["Bernoulli", "RandomNormalLike", "RandomUniformLike"].map((op) => [op, likeOr((call) => call.dtype(0))] as const),
  ...["RandomNormal", "RandomUniform"].map((op) => [op, drawn] as const),
  [
    "Multinomial",
    (call) =>
      single(call.intOrNull("dtype") ?? DataType.int32, [
        call.shape(0)?.[0] ?? null,
        call.intOrNull("sample_size") ?? 1,
      ]),
  ],
  ["DFT", dft],
  ["STFT", stft],
  ["Col2Im", col2im],
  ["CenterCropPad", centerCropPad],
  ["Compress", compress],
  ["DequantizeLinear", (call) => single(call.dtype(1), call.shape(0))],
  ["QuantizeLinear", quantized(2)],
  [
    "DynamicQuantizeLinear",
    (call) => [
      { dtype: DataType.uint8, shape: call.shape(0) },
      { dtype: DataType.float, shape: [] },
      { dtype: DataType.uint8, shape: [] },
    ],
  ],
  ["MatMulInteger", (call) => product2(call, DataType.int32, 1)],
  ["QLinearMatMul", (call) => product2(call, call.dtype(7), 3)],
  ["RoiAlign", roiAlign],
  ["NonMaxSuppression", () => single(DataType.int64, [null, 3])],
  ["Unique", unique],
  ["AffineGrid", affineGrid],
  ["Upsample", upsample],
];
