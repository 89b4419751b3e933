import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { einsumEquation } from "../einsum.ts";
import { REDUCTIONS } from "../operators/index.ts";
import { calculate } from "./arithmetic.ts";
import { reduceContent } from "./content.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";
import { made, over, plus, times } from "./named-sizes.ts";
import { each } from "./rows.ts";
import { broadcastShapes } from "./shapes.ts";

/** Operators that multiply, convolve, pool, normalize, reduce and recur. */

function matmul(call: InferenceCall): readonly Inferred[] {
  const [a, b] = [call.shape(0), call.shape(1)];
  const dtype = call.dtype(0);
  if (a === null || b === null || a.length === 0 || b.length === 0) return [{ dtype, shape: null }];
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) ?? [];
  const rows = a.length > 1 ? [a.at(-2) ?? null] : [];
  const columns = b.length > 1 ? [b.at(-1) ?? null] : [];
  return [{ dtype, shape: [...batch, ...rows, ...columns] }];
}

function fusedMatmul(call: InferenceCall): readonly Inferred[] {
  const [a, b] = [call.shape(0), call.shape(1)];
  const dtype = call.dtype(0);
  const isPlain = call.int("transBatchA") === 0 && call.int("transBatchB") === 0;
  if (a === null || b === null || a.length < 2 || b.length < 2 || !isPlain) return [{ dtype, shape: null }];
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) ?? [];
  const rows = a.at(call.int("transA") === 0 ? -2 : -1) ?? null;
  const columns = b.at(call.int("transB") === 0 ? -1 : -2) ?? null;
  return [{ dtype, shape: [...batch, rows, columns] }];
}

/** The image's batch and channels, and the points of the grid. */
function gridSample(call: InferenceCall): readonly Inferred[] {
  const [image, grid] = [call.shape(0), call.shape(1)];
  const dtype = call.dtype(0);
  if (image === null || grid === null) return [{ dtype, shape: null }];
  return [{ dtype, shape: [...image.slice(0, 2), ...grid.slice(1, -1)] }];
}

function gemm(call: InferenceCall): readonly Inferred[] {
  const [a, b] = [call.shape(0), call.shape(1)];
  const rows = a?.[call.int("transA") === 0 ? 0 : 1] ?? null;
  const columns = b?.[call.int("transB") === 0 ? 1 : 0] ?? null;
  return [{ dtype: call.dtype(0), shape: [rows, columns] }];
}

interface Extent {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly pads: number;
}

function extents(call: InferenceCall, kernel: readonly Dimension[] | null): readonly Extent[] | null {
  const sizes = call.ints("kernel_shape") ?? kernel;
  if (sizes === null || !sizes.every((size) => typeof size === "number")) return null;
  const pads = call.ints("pads");
  return sizes.map((size, axis) => ({
    kernel: size,
    stride: call.ints("strides")?.[axis] ?? 1,
    dilation: call.ints("dilations")?.[axis] ?? 1,
    pads: (pads?.[axis] ?? 0) + (pads?.[axis + sizes.length] ?? 0),
  }));
}

function windowed(call: InferenceCall, dim: Dimension, extent: Extent): Dimension {
  const { kernel, stride, dilation, pads } = extent;
  const auto = call.string("auto_pad");
  if (auto.startsWith("SAME")) return over(plus(dim, stride - 1), stride);
  const room = plus(dim, (auto === "VALID" ? 0 : pads) - dilation * (kernel - 1) - 1);
  if (call.intOrNull("ceil_mode") !== 1) {
    if (typeof room === "number") return Math.floor(room / stride) + 1;
    return plus(over(room, stride), 1);
  }
  const begin = call.ints("pads")?.[0] ?? 0;
  if (typeof dim !== "number" || typeof room !== "number") {
    return stride === 1 ? plus(room, 1) : made("windows", dim, kernel, stride, dilation, pads, begin);
  }
  const count = Math.ceil(room / stride) + 1;
  return (count - 1) * stride >= dim + begin ? count - 1 : count;
}

function conv(call: InferenceCall): readonly Inferred[] {
  const [image, weight] = [call.shape(0), call.shape(1)];
  const rank = image?.length ?? weight?.length ?? null;
  const sizes = extents(call, weight?.slice(2) ?? null);
  if (image === null || sizes === null) return [call.open(call.dtype(0), rank)];
  const [batch = null] = image;
  const spatial = image
    .slice(2)
    .map((dim, axis) => (sizes[axis] === undefined ? null : windowed(call, dim, sizes[axis])));
  return [{ dtype: call.dtype(0), shape: [batch, weight?.[0] ?? null, ...spatial] }];
}

const integerConv = (call: InferenceCall): readonly Inferred[] =>
  conv(call).map((each) => ({ ...each, dtype: DataType.int32 }));

function convTranspose(call: InferenceCall): readonly Inferred[] {
  const [image, weight] = [call.shape(0), call.shape(1)];
  const sizes = extents(call, weight?.slice(2) ?? null);
  const outputs = weight?.[1];
  const channels = typeof outputs === "number" ? outputs * call.int("group") : null;
  if (image === null || sizes === null) return [call.open(call.dtype(0), image?.length ?? null)];
  const auto = call.string("auto_pad");
  const spatial = image.slice(2).map((dim, axis): Dimension => {
    const extent = sizes[axis];
    if (extent === undefined) return null;
    const given = call.ints("output_shape")?.[axis];
    if (given !== undefined) return given;
    const strided = times(dim, extent.stride);
    if (auto.startsWith("SAME")) return strided;
    const extra = call.ints("output_padding")?.[axis] ?? 0;
    return plus(strided, extent.dilation * (extent.kernel - 1) + 1 + extra - extent.pads - extent.stride);
  });
  return [{ dtype: call.dtype(0), shape: [image[0] ?? null, channels, ...spatial] }];
}

function pool(call: InferenceCall): readonly Inferred[] {
  const image = call.shape(0);
  const sizes = extents(call, null);
  if (image === null || sizes === null) return [call.open(call.dtype(0), image?.length ?? null)];
  const spatial = image
    .slice(2)
    .map((dim, axis) => (sizes[axis] === undefined ? null : windowed(call, dim, sizes[axis])));
  const shape = [image[0] ?? null, image[1] ?? null, ...spatial];
  return [
    { dtype: call.dtype(0), shape },
    { dtype: DataType.int64, shape },
  ];
}

const globalPool: InferenceRule = (call) => [
  { dtype: call.dtype(0), shape: call.shape(0)?.map((dim, axis) => (axis < 2 ? dim : 1)) ?? null },
];

const perChannel = (call: InferenceCall): Inferred => ({ dtype: call.dtype(0), shape: [call.shape(0)?.[1] ?? null] });

function layerNorm(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const axis = call.int("axis");
  const from = dims === null ? 0 : axis < 0 ? axis + dims.length : axis;
  const statistics = { dtype: DataType.float, shape: dims?.map((dim, at) => (at < from ? dim : 1)) ?? null };
  return [call.same(), statistics, statistics];
}

function reduction(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const isIndex = call.node.opType === "ArgMax" || call.node.opType === "ArgMin";
  const dtype = isIndex ? DataType.int64 : call.dtype(0);
  const keeps = call.int("keepdims") !== 0;
  if (dims === null) return [{ dtype, shape: null }];
  const single = isIndex ? [call.int("axis")] : null;
  const given = single?.map((axis) => (axis < 0 ? axis + dims.length : axis)) ?? call.axes(1, dims.length);
  if (given === null) return [call.open(dtype, keeps ? dims.length : null)];
  if (given.length === 0 && call.int("noop_with_empty_axes") !== 0) {
    return [{ ...call.same(), content: call.content(0) }];
  }
  const axes = given.length === 0 ? dims.map((_, axis) => axis) : given;
  const kept = dims.map((dim, axis): Dimension => (axes.includes(axis) ? 1 : dim));
  return [
    {
      dtype,
      shape: keeps ? kept : dims.filter((_, axis) => !axes.includes(axis)),
      content: reducedContent(call, axes),
    },
  ];
}

/** Reductions that fold element by element, and how. */
const FOLDS: Readonly<Record<string, string>> = {
  ReduceMax: "Max",
  ReduceMin: "Min",
  ReduceProd: "Mul",
  ReduceSum: "Add",
};

function reducedContent(call: InferenceCall, axes: readonly number[]): readonly Dimension[] | null {
  const [op, content] = [FOLDS[call.node.opType], call.shaped(0)];
  if (op === undefined || content === null) return null;
  return reduceContent(content, axes, (a, b) => calculate(op, call.dtype(0), a, b))?.elements ?? null;
}

function loss(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const isScalar = call.string("reduction") !== "none";
  return [
    { dtype: call.dtype(0), shape: isScalar ? [] : call.shape(1) },
    { dtype: call.dtype(0), shape: dims },
  ];
}

function einsum(call: InferenceCall): readonly Inferred[] {
  const ranks = call.node.inputs.map((_, index) => call.rank(index));
  const equation = einsumEquation(call.string("equation"), ranks);
  if (equation === null) return [{ dtype: call.dtype(0), shape: null }];
  const sizes = new Map<string, Dimension>();
  for (const [index, term] of equation.terms.entries()) {
    for (const [axis, letter] of [...term].entries()) {
      const [known, dim] = [sizes.get(letter), call.shape(index)?.[axis] ?? null];
      const isTold = typeof known === "number" && known !== 1;
      /** An axis of size 1 broadcasts; one that is not known may be of any size. */
      if (known === undefined || known === 1 || (!isTold && typeof dim === "number" && dim !== 1))
        sizes.set(letter, dim);
    }
  }
  return [{ dtype: call.dtype(0), shape: [...equation.result].map((letter) => sizes.get(letter) ?? null) }];
}

/** LSTM, GRU and RNN: all hidden states, the last one, and the last cell. */
function recurrent(call: InferenceCall): readonly Inferred[] {
  const [first = null, second = null] = call.shape(0) ?? [];
  const hidden = call.intOrNull("hidden_size");
  const dtype = call.dtype(0);
  const directions = call.string("direction") === "bidirectional" ? 2 : 1;
  const batchFirst = call.int("layout") === 1;
  const [steps, batch] = batchFirst ? [second, first] : [first, second];
  const last = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  const all = batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
  return [
    { dtype, shape: all },
    { dtype, shape: last },
    { dtype, shape: last },
  ];
}

function attention(call: InferenceCall): readonly (Inferred | null)[] {
  const [q, v] = [call.shape(0), call.shape(2)];
  if (q === null || v === null) return [{ dtype: call.dtype(0), shape: null }];
  const isFlat = q.length === 3;
  const [heads, ofValues] = [call.intOrNull("q_num_heads") ?? 1, call.intOrNull("kv_num_heads") ?? 1];
  const width = v.at(-1);
  const scaled = typeof width === "number" ? (width / ofValues) * heads : null;
  const out = isFlat ? scaled : (width ?? null);
  return [{ dtype: call.dtype(0), shape: [...q.slice(0, -1), out] }];
}

export const NETWORK_INFERENCE: InferenceRows = [
  ["MatMul", matmul],
  ["Gemm", gemm],
  ["com.microsoft.FusedMatMul", fusedMatmul],
  ["com.microsoft.FusedGemm", gemm],
  ["com.microsoft.FusedConv", conv],
  ["com.microsoft.NhwcConv", (call) => [call.open(call.dtype(0), call.rank(0))]],
  ["Det", (call) => [{ dtype: call.dtype(0), shape: call.shape(0)?.slice(0, -2) ?? null }]],
  ["GridSample", gridSample],
  ["Einsum", einsum],
  ["Conv", conv],
  ["ConvInteger", integerConv],
  ["ConvTranspose", convTranspose],
  ...each(["MaxPool", "AveragePool", "LpPool"], pool),
  ...each(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"], globalPool),
  ["BatchNormalization", (call) => [call.same(), perChannel(call), perChannel(call)]],
  [
    "com.microsoft.BatchNormInternal",
    (call) => [call.same(), perChannel(call), perChannel(call), perChannel(call), perChannel(call)],
  ],
  ["LayerNormalization", layerNorm],
  ["com.microsoft.SkipLayerNormalization", (call) => [call.same(), null, null, call.same()]],
  ...each([...REDUCTIONS, "ArgMax", "ArgMin"], reduction),
  ["SoftmaxCrossEntropyLoss", loss],
  ["NegativeLogLikelihoodLoss", loss],
  ...each(["LSTM", "GRU", "RNN"], recurrent),
  ["Attention", attention],
];
