import type { Attribute } from "../graph/attribute.ts";
import type { Node } from "../graph/graph.ts";
import { type OperatorName, operatorOf } from "../ops/operators/index.ts";

/**
 * What a rule knows of an attribute. `read`: it is right for every value. `free`: the gradient, written in the operator's inputs
 * and outputs, does not depend on it. A list: it is right for these values alone.
 */
export type Knowledge = "read" | "free" | readonly (number | string)[];

type Attributes = Readonly<Record<string, Knowledge>>;

const ALPHA: Attributes = { alpha: "read" };
const AXIS: Attributes = { axis: "read" };
const EPSILON: Attributes = { epsilon: "read" };
const SUM: Attributes = { keepdims: "read", noop_with_empty_axes: "read" };
const REDUCTION: Attributes = { ...SUM, axes: "read" };
/** How a number is rounded does not move the straight line through the cast. */
const CAST: Attributes = { saturate: "free", round_mode: "free" };
const WINDOW: Attributes = { auto_pad: "read", dilations: "read", kernel_shape: "read", pads: "read", strides: "read" };
const POOL: Attributes = { ...WINDOW, ceil_mode: "read" };
/** The type of what is computed inside, which decides rounding alone. */
const STASH: Attributes = { stash_type: "free" };
const LABELLED: Attributes = { reduction: "read", ignore_index: "read" };
const GEMM: Attributes = { alpha: "read", beta: "read", transA: "read", transB: "read" };
const MASKED: Attributes = { num_heads: "read", mask_filter_value: "read", scale: "read", unidirectional: "read" };
const ROTARY: Attributes = { interleaved: "read", num_heads: "read", rotary_embedding_dim: "read" };
const RECURRENT: Attributes = {
  activations: "read",
  clip: "read",
  direction: "read",
  hidden_size: "read",
  layout: [0],
};

/** The attributes of every operator with a rule that has any; what is not here is refused. */
export const KNOWN_ATTRIBUTES: Readonly<Partial<Record<OperatorName, Attributes>>> = {
  Attention: {
    is_causal: "read",
    kv_num_heads: "read",
    q_num_heads: "read",
    scale: "read",
    softcap: "read",
    softmax_precision: "free",
    qk_matmul_output_mode: "read",
    left_window_size: [-1],
    right_window_size: [-1],
  },
  AveragePool: { ...POOL, count_include_pad: "read" },
  BatchNormalization: { ...EPSILON, training_mode: "read", momentum: "free" },
  "com.microsoft.BatchNormInternal": { ...EPSILON, training_mode: "free", momentum: "free" },
  "com.microsoft.QuickGelu": ALPHA,
  "com.microsoft.Attention": {
    ...MASKED,
    qkv_hidden_sizes: "read",
    do_rotary: [0],
    past_present_share_buffer: [0],
  },
  "com.microsoft.MultiHeadAttention": MASKED,
  "com.microsoft.GroupQueryAttention": {
    num_heads: "read",
    kv_num_heads: "read",
    scale: "read",
    softcap: "read",
    do_rotary: "read",
    rotary_interleaved: "read",
    local_window_size: "read",
    smooth_softmax: [0],
    qk_output: [0],
  },
  "com.microsoft.RotaryEmbedding": { ...ROTARY, scale: [1], is_packed_batching: [0] },
  "com.microsoft.FusedConv": { ...WINDOW, group: "read", activation: "read", activation_params: "read" },
  "com.microsoft.FusedGemm": {
    ...GEMM,
    activation: "read",
    activation_alpha: "read",
    activation_beta: "read",
    activation_gamma: [],
  },
  "com.microsoft.NhwcConv": { ...WINDOW, group: "read" },
  "com.microsoft.SkipSimplifiedLayerNormalization": EPSILON,
  /** mask_index_type tells shape inference something. */
  "com.microsoft.EmbedLayerNormalization": { ...EPSILON, mask_index_type: "free" },
  "com.microsoft.SkipLayerNormalization": EPSILON,
  "com.microsoft.FusedMatMul": { alpha: "read", transA: "read", transB: "read", transBatchA: [0], transBatchB: [0] },
  Cast: { ...CAST, to: "free" },
  CastLike: CAST,
  Celu: ALPHA,
  Col2Im: { dilations: "read", pads: "read", strides: "read" },
  Concat: AXIS,
  Conv: { ...WINDOW, group: "read" },
  ConvTranspose: { ...WINDOW, group: "read", output_padding: "free", auto_pad: ["NOTSET", "VALID"] },
  CumSum: { exclusive: "read", reverse: "read" },
  DeformConv: {
    dilations: "read",
    group: "read",
    kernel_shape: "read",
    offset_group: "read",
    pads: "read",
    strides: "read",
  },
  DepthToSpace: { blocksize: "read", mode: "read" },
  DFT: { axis: "read", inverse: "read", onesided: "read" },
  Dropout: { seed: "free" },
  Einsum: { equation: "read" },
  Elu: ALPHA,
  Flatten: { axis: "free" },
  Gather: AXIS,
  GatherElements: AXIS,
  GatherND: { batch_dims: "read" },
  Gelu: { approximate: "read" },
  Gemm: GEMM,
  GlobalLpPool: { p: "read" },
  GridSample: { align_corners: "read", mode: ["linear", "bilinear", "nearest"], padding_mode: ["zeros", "border"] },
  GroupNormalization: { ...EPSILON, ...STASH, num_groups: "read" },
  GRU: { ...RECURRENT, linear_before_reset: "read" },
  HardSigmoid: { alpha: "read", beta: "free" },
  If: { then_branch: "read", else_branch: "read" },
  InstanceNormalization: EPSILON,
  LayerNormalization: { ...EPSILON, ...STASH, axis: "read" },
  LeakyRelu: ALPHA,
  LogSoftmax: AXIS,
  LpNormalization: { axis: "read", p: "read" },
  LpPool: { ...WINDOW, dilations: [], ceil_mode: [0], p: "read" },
  LRN: { alpha: "read", beta: "read", bias: "read", size: "read" },
  LSTM: { ...RECURRENT, input_forget: "read" },
  MeanVarianceNormalization: { axes: "read" },
  /** Where each value goes is an input. */
  MaxUnpool: { kernel_shape: "free", pads: "free", strides: "free" },
  MaxPool: { ...POOL, storage_order: "free" },
  /** Of real numbers there is the remainder of C alone. */
  Mod: { fmod: [1] },
  NegativeLogLikelihoodLoss: LABELLED,
  Pad: { mode: "read" },
  DequantizeLinear: { axis: "read", block_size: [0], output_dtype: [0] },
  /** Saturation is that of floating-point types of 8 bits, which are refused. */
  QuantizeLinear: { axis: "read", block_size: [0], output_dtype: [0], precision: [0], saturate: "free" },
  ReduceL1: REDUCTION,
  ReduceL2: REDUCTION,
  ReduceLogSum: REDUCTION,
  ReduceLogSumExp: REDUCTION,
  ReduceMax: REDUCTION,
  ReduceMean: REDUCTION,
  ReduceMin: REDUCTION,
  ReduceProd: REDUCTION,
  ReduceSum: SUM,
  ReduceSumSquare: REDUCTION,
  Reshape: { allowzero: "free" },
  Resize: {
    antialias: "read",
    axes: [],
    coordinate_transformation_mode: "read",
    cubic_coeff_a: "read",
    exclude_outside: "read",
    extrapolation_value: "free",
    keep_aspect_ratio_policy: ["stretch"],
    mode: "read",
    nearest_mode: "read",
  },
  RMSNormalization: { ...EPSILON, ...STASH, axis: "read" },
  RNN: RECURRENT,
  RotaryEmbedding: ROTARY,
  Loop: { body: "read" },
  ReverseSequence: { batch_axis: "read", time_axis: "read" },
  Scan: {
    body: "read",
    num_scan_inputs: "read",
    scan_input_axes: "read",
    scan_input_directions: "read",
    scan_output_axes: "read",
    scan_output_directions: "read",
  },
  RoiAlign: {
    coordinate_transformation_mode: ["half_pixel", "output_half_pixel"],
    mode: ["avg", "max"],
    output_height: "read",
    output_width: "read",
    sampling_ratio: "read",
    spatial_scale: "read",
  },
  ScatterElements: { axis: "read", reduction: "read" },
  ScatterND: { reduction: "read" },
  Selu: { alpha: "read", gamma: "read" },
  Shrink: { bias: "free", lambd: "read" },
  SimplifiedLayerNormalization: { ...EPSILON, ...STASH, axis: "read" },
  STFT: { onesided: "read" },
  Softmax: AXIS,
  SoftmaxCrossEntropyLoss: LABELLED,
  SpaceToDepth: { blocksize: "read", mode: ["DCR"] },
  /** The parts' sizes are those of the outputs. */
  Split: { axis: "read", num_outputs: "free" },
  Squeeze: { axes: "free" },
  Swish: ALPHA,
  ThresholdedRelu: ALPHA,
  TopK: { axis: "read", largest: "free", sorted: "free" },
  Transpose: { perm: "read" },
  Trilu: { upper: "read" },
  Unsqueeze: { axes: "free" },
};

const KNOWN: ReadonlyMap<string, Attributes> = new Map(Object.entries(KNOWN_ATTRIBUTES));

const utf8 = new TextDecoder();

/** Why a rule may not be used for a node: an attribute that it does not know, or not with this value. Null: it may. */
export function unknownAttribute(node: Node): string | null {
  const known = KNOWN.get(operatorOf(node));
  for (const each of node.attributes.values()) {
    const knowledge = known !== undefined && Object.hasOwn(known, each.name) ? known[each.name] : [];
    if (knowledge === "read" || knowledge === "free") continue;
    const value = plainValue(each);
    if (value !== null && knowledge?.includes(value) === true) continue;
    return `its attribute ${each.name}${value === null ? "" : ` is ${value}, which`} is not known to the gradient's rule`;
  }
  return null;
}

function plainValue(each: Attribute): number | string | null {
  if (each.kind === "int") return Number(each.value);
  if (each.kind === "float") return each.value;
  return each.kind === "string" ? utf8.decode(each.value) : null;
}
