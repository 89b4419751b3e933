import {
  before,
  float,
  floats,
  graph,
  int,
  ints,
  type Operator,
  required,
  since,
  sparseTensor,
  string,
  strings,
  tensor,
  type,
  until,
} from "./operator.ts";

/**
 * Every operator of ONNX's own domain, up to opset 28.
 * Source: the operator schemas of ONNX 1.23; tests/ops/operators.test.ts compares row by row.
 */
// biome-ignore format: a table
export const ONNX_OPERATORS = {
  Abs: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Acos: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Acosh: { since: [9, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Add: { since: [1, 6, 7, 13, 14], inputs: "A B", outputs: "C", family: "linear", attributes: {} },
  AffineGrid: { since: [20], inputs: "theta size", outputs: "grid", attributes: { align_corners: int(0) } },
  And: { since: [1, 7], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  ArgMax: {
    since: [1, 11, 12, 13], inputs: "data", outputs: "reduced",
    attributes: { axis: int(0), keepdims: int(1), select_last_index: since(12, int(0)) },
  },
  ArgMin: {
    since: [1, 11, 12, 13], inputs: "data", outputs: "reduced",
    attributes: { axis: int(0), keepdims: int(1), select_last_index: since(12, int(0)) },
  },
  Asin: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Asinh: { since: [9, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Atan: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Atanh: { since: [9, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Attention: {
    since: [23, 24, 25], inputs: "Q K V attn_mask? past_key? past_value? nonpad_kv_seqlen?", outputs: "Y present_key? present_value? qk_matmul_output?",
    attributes: {
      is_causal: int(0), kv_num_heads: int(), left_window_size: since(25, int(-1)), q_num_heads: int(),
      qk_matmul_output_mode: int(0), right_window_size: since(25, int(-1)), scale: float(), softcap: float(0),
      softmax_precision: int(),
    },
  },
  AveragePool: {
    since: [1, 7, 10, 11, 19, 22], inputs: "X", outputs: "Y",
    attributes: {
      auto_pad: string("NOTSET"), ceil_mode: since(10, int(0)), count_include_pad: int(0), dilations: since(19, ints()),
      kernel_shape: required(ints()), pads: ints(), strides: ints(),
    },
  },
  BatchNormalization: {
    since: [1, 6, 7, 9, 14, 15], inputs: "X scale B input_mean input_var", outputs: "Y running_mean? running_var?",
    attributes: { epsilon: float(1e-5), momentum: float(0.9), spatial: until(9, int(1)), training_mode: since(14, int(0)) },
  },
  Bernoulli: { since: [15, 22], inputs: "input", outputs: "output", attributes: { dtype: int(), seed: float() } },
  BitCast: { since: [26], inputs: "input", outputs: "output", attributes: { to: required(int()) } },
  BitShift: {
    since: [11, 28], inputs: "X Y", outputs: "Z", family: "elementwise",
    attributes: { direction: required(string()) },
  },
  BitwiseAnd: { since: [18], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  BitwiseNot: { since: [18], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  BitwiseOr: { since: [18], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  BitwiseXor: { since: [18], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  BlackmanWindow: { since: [17], inputs: "size", outputs: "output", attributes: { output_datatype: int(1), periodic: int(1) } },
  Cast: {
    since: [1, 6, 9, 13, 19, 21, 23, 24, 25, 28], inputs: "input", outputs: "output", family: "elementwise",
    attributes: { round_mode: since(24, string("up")), saturate: since(19, int(1)), to: required(int()) },
  },
  CastLike: {
    since: [15, 19, 21, 23, 24, 25], inputs: "input target_type", outputs: "output", family: "elementwise",
    attributes: { round_mode: since(24, string("up")), saturate: since(19, int(1)) },
  },
  CausalConvWithState: {
    since: [27], inputs: "input weight bias? past_state?", outputs: "output present_state",
    attributes: { activation: string("none") },
  },
  Ceil: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Celu: { since: [12, 28], inputs: "X", outputs: "Y", family: "elementwise", attributes: { alpha: float(1) } },
  CenterCropPad: { since: [18], inputs: "input_data shape", outputs: "output_data", attributes: { axes: ints() } },
  Clip: {
    since: [1, 6, 11, 12, 13], inputs: "input min? max?", outputs: "output", family: "elementwise",
    attributes: { max: until(11, float(3.4028235e38)), min: until(11, float(-3.4028235e38)) },
  },
  Col2Im: {
    since: [18], inputs: "input image_shape block_shape", outputs: "output",
    attributes: { dilations: ints(), pads: ints(), strides: ints() },
  },
  Compress: { since: [9, 11, 28], inputs: "input condition", outputs: "output", attributes: { axis: int() } },
  Concat: { since: [1, 4, 11, 13], inputs: "inputs+", outputs: "concat_result", attributes: { axis: required(int()) } },
  ConcatFromSequence: {
    since: [11], inputs: "input_sequence", outputs: "concat_result",
    attributes: { axis: required(int()), new_axis: int(0) },
  },
  Constant: {
    since: [1, 9, 11, 12, 13, 19, 21, 23, 24, 25], inputs: "", outputs: "output",
    attributes: {
      sparse_value: since(11, sparseTensor()), value: tensor(), value_float: since(12, float()),
      value_floats: since(12, floats()), value_int: since(12, int()), value_ints: since(12, ints()),
      value_string: since(12, string()), value_strings: since(12, strings()),
    },
  },
  ConstantOfShape: { since: [9, 20, 21, 23, 24, 25], inputs: "input", outputs: "output", attributes: { value: tensor() } },
  Conv: {
    since: [1, 11, 22], inputs: "X W B?", outputs: "Y",
    attributes: { auto_pad: string("NOTSET"), dilations: ints(), group: int(1), kernel_shape: ints(), pads: ints(), strides: ints() },
  },
  ConvInteger: {
    since: [10], inputs: "x w x_zero_point? w_zero_point?", outputs: "y",
    attributes: { auto_pad: string("NOTSET"), dilations: ints(), group: int(1), kernel_shape: ints(), pads: ints(), strides: ints() },
  },
  ConvTranspose: {
    since: [1, 11, 22], inputs: "X W B?", outputs: "Y",
    attributes: {
      auto_pad: string("NOTSET"), dilations: ints(), group: int(1), kernel_shape: ints(), output_padding: ints(),
      output_shape: ints(), pads: ints(), strides: ints(),
    },
  },
  Cos: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Cosh: { since: [9, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  CumProd: { since: [26], inputs: "x axis", outputs: "y", attributes: { exclusive: int(0), reverse: int(0) } },
  CumSum: { since: [11, 14], inputs: "x axis", outputs: "y", attributes: { exclusive: int(0), reverse: int(0) } },
  DFT: {
    since: [17, 20], inputs: "input dft_length? axis?", outputs: "output",
    attributes: { axis: until(20, int(1)), inverse: int(0), onesided: int(0) },
  },
  DeformConv: {
    since: [19, 22], inputs: "X W offset B? mask?", outputs: "Y",
    attributes: { dilations: ints(), group: int(1), kernel_shape: ints(), offset_group: int(1), pads: ints(), strides: ints() },
  },
  DepthToSpace: {
    since: [1, 11, 13, 28], inputs: "input", outputs: "output",
    attributes: { blocksize: required(int()), mode: since(11, string("DCR")) },
  },
  DequantizeLinear: {
    since: [10, 13, 19, 21, 23, 24, 25, 28], inputs: "x x_scale x_zero_point?", outputs: "y",
    attributes: { axis: since(13, int(1)), block_size: since(21, int(0)), output_dtype: since(23, int(0)) },
  },
  Det: { since: [11, 22], inputs: "X", outputs: "Y", attributes: {} },
  Div: { since: [1, 6, 7, 13, 14], inputs: "A B", outputs: "C", family: "linear", attributes: {} },
  Dropout: {
    since: [1, 6, 7, 10, 12, 13, 22], inputs: "data ratio? training_mode?", outputs: "output mask?",
    attributes: { ratio: until(12, float(0.5)), seed: since(12, int()) },
  },
  DynamicQuantizeLinear: { since: [11], inputs: "x", outputs: "y y_scale y_zero_point", attributes: {} },
  Einsum: { since: [12, 28], inputs: "Inputs+", outputs: "Output", attributes: { equation: required(string()) } },
  Elu: { since: [1, 6, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: { alpha: float(1) } },
  Equal: { since: [1, 7, 11, 13, 19], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  Erf: { since: [9, 13], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Exp: { since: [1, 6, 13], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Expand: { since: [8, 13], inputs: "input shape", outputs: "output", family: "elementwise", attributes: {} },
  EyeLike: { since: [9, 22], inputs: "input", outputs: "output", attributes: { dtype: int(), k: int(0) } },
  Flatten: { since: [1, 9, 11, 13, 21, 23, 24, 25], inputs: "input", outputs: "output", attributes: { axis: int(1) } },
  Floor: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  GRU: {
    since: [1, 3, 7, 14, 22], inputs: "X W R B? sequence_lens? initial_h?", outputs: "Y? Y_h?",
    attributes: {
      activation_alpha: floats(), activation_beta: floats(), activations: strings(), clip: float(),
      direction: string("forward"), hidden_size: int(), layout: since(14, int(0)), linear_before_reset: int(0),
    },
  },
  Gather: { since: [1, 11, 13], inputs: "data indices", outputs: "output", attributes: { axis: int(0) } },
  GatherElements: { since: [11, 13], inputs: "data indices", outputs: "output", attributes: { axis: int(0) } },
  GatherND: { since: [11, 12, 13], inputs: "data indices", outputs: "output", attributes: { batch_dims: since(12, int(0)) } },
  Gelu: { since: [20], inputs: "X", outputs: "Y", family: "elementwise", attributes: { approximate: string("none") } },
  Gemm: {
    since: [1, 6, 7, 9, 11, 13], inputs: "A B C?", outputs: "Y",
    attributes: { alpha: float(1), beta: float(1), transA: int(0), transB: int(0) },
  },
  GlobalAveragePool: { since: [1, 22], inputs: "X", outputs: "Y", attributes: {} },
  GlobalLpPool: { since: [1, 2, 22], inputs: "X", outputs: "Y", attributes: { p: int(2) } },
  GlobalMaxPool: { since: [1, 22], inputs: "X", outputs: "Y", attributes: {} },
  Greater: { since: [1, 7, 9, 13], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  GreaterOrEqual: { since: [12, 16], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  GridSample: {
    since: [16, 20, 22], inputs: "X grid", outputs: "Y",
    attributes: { align_corners: int(0), mode: before(20, "bilinear", string("linear")), padding_mode: string("zeros") },
  },
  GroupNormalization: {
    since: [18, 21], inputs: "X scale bias", outputs: "Y",
    attributes: { epsilon: float(1e-5), num_groups: required(int()), stash_type: since(21, int(1)) },
  },
  HammingWindow: { since: [17], inputs: "size", outputs: "output", attributes: { output_datatype: int(1), periodic: int(1) } },
  HannWindow: { since: [17], inputs: "size", outputs: "output", attributes: { output_datatype: int(1), periodic: int(1) } },
  HardSigmoid: {
    since: [1, 6, 22], inputs: "X", outputs: "Y", family: "elementwise",
    attributes: { alpha: float(0.2), beta: float(0.5) },
  },
  HardSwish: { since: [14, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Hardmax: { since: [1, 11, 13], inputs: "input", outputs: "output", attributes: { axis: before(13, 1, int(-1)) } },
  Identity: { since: [1, 13, 14, 16, 19, 21, 23, 24, 25], inputs: "input", outputs: "output", family: "linear", attributes: {} },
  If: {
    since: [1, 11, 13, 16, 19, 21, 23, 24, 25], inputs: "cond", outputs: "outputs+",
    attributes: { else_branch: required(graph()), then_branch: required(graph()) },
  },
  ImageDecoder: { since: [20], inputs: "encoded_stream", outputs: "image", attributes: { pixel_format: string("RGB") } },
  InstanceNormalization: { since: [1, 6, 22], inputs: "input scale B", outputs: "output", attributes: { epsilon: float(1e-5) } },
  IsInf: {
    since: [10, 20], inputs: "X", outputs: "Y", family: "elementwise",
    attributes: { detect_negative: int(1), detect_positive: int(1) },
  },
  IsNaN: { since: [9, 13, 20], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  LRN: {
    since: [1, 13], inputs: "X", outputs: "Y",
    attributes: { alpha: float(0.0001), beta: float(0.75), bias: float(1), size: required(int()) },
  },
  LSTM: {
    since: [1, 7, 14, 22], inputs: "X W R B? sequence_lens? initial_h? initial_c? P?", outputs: "Y? Y_h? Y_c?",
    attributes: {
      activation_alpha: floats(), activation_beta: floats(), activations: strings(), clip: float(),
      direction: string("forward"), hidden_size: int(), input_forget: int(0), layout: since(14, int(0)),
    },
  },
  LayerNormalization: {
    since: [17], inputs: "X Scale B?", outputs: "Y Mean? InvStdDev?",
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
  },
  LeakyRelu: { since: [1, 6, 16], inputs: "X", outputs: "Y", family: "elementwise", attributes: { alpha: float(0.01) } },
  Less: { since: [1, 7, 9, 13], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  LessOrEqual: { since: [12, 16], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  LinearAttention: {
    since: [27], inputs: "query key value past_state? decay? beta?", outputs: "output present_state",
    attributes: {
      chunk_size: int(64), kv_num_heads: required(int()), q_num_heads: required(int()), scale: float(0),
      update_rule: string("gated_delta"),
    },
  },
  Log: { since: [1, 6, 13], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  LogSoftmax: { since: [1, 11, 13], inputs: "input", outputs: "output", attributes: { axis: before(13, 1, int(-1)) } },
  Loop: {
    since: [1, 11, 13, 16, 19, 21, 23, 24, 25], inputs: "M? cond? v_initial*", outputs: "v_final_and_scan_outputs+",
    attributes: { body: required(graph()) },
  },
  LpNormalization: { since: [1, 22], inputs: "input", outputs: "output", attributes: { axis: int(-1), p: int(2) } },
  LpPool: {
    since: [1, 2, 11, 18, 22], inputs: "X", outputs: "Y",
    attributes: {
      auto_pad: string("NOTSET"), ceil_mode: since(18, int(0)), dilations: since(18, ints()), kernel_shape: required(ints()),
      p: int(2), pads: ints(), strides: ints(),
    },
  },
  MatMul: { since: [1, 9, 13], inputs: "A B", outputs: "Y", attributes: {} },
  MatMulInteger: { since: [10], inputs: "A B a_zero_point? b_zero_point?", outputs: "Y", attributes: {} },
  Max: { since: [1, 6, 8, 12, 13], inputs: "data_0+", outputs: "max", family: "elementwise", attributes: {} },
  MaxPool: {
    since: [1, 8, 10, 11, 12, 22], inputs: "X", outputs: "Y Indices?",
    attributes: {
      auto_pad: string("NOTSET"), ceil_mode: since(10, int(0)), dilations: since(10, ints()), kernel_shape: required(ints()),
      pads: ints(), storage_order: since(8, int(0)), strides: ints(),
    },
  },
  MaxRoiPool: {
    since: [1, 22], inputs: "X rois", outputs: "Y",
    attributes: { pooled_shape: required(ints()), spatial_scale: float(1) },
  },
  MaxUnpool: {
    since: [9, 11, 22], inputs: "X I output_shape?", outputs: "output",
    attributes: { kernel_shape: required(ints()), pads: ints(), strides: ints() },
  },
  Mean: { since: [1, 6, 8, 13], inputs: "data_0+", outputs: "mean", family: "elementwise", attributes: {} },
  MeanVarianceNormalization: { since: [9, 13], inputs: "X", outputs: "Y", attributes: { axes: ints([0, 2, 3]) } },
  MelWeightMatrix: {
    since: [17], inputs: "num_mel_bins dft_length sample_rate lower_edge_hertz upper_edge_hertz", outputs: "output",
    attributes: { output_datatype: int(1) },
  },
  Min: { since: [1, 6, 8, 12, 13], inputs: "data_0+", outputs: "min", family: "elementwise", attributes: {} },
  Mish: { since: [18, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Mod: { since: [10, 13, 28], inputs: "A B", outputs: "C", family: "elementwise", attributes: { fmod: int(0) } },
  Mul: { since: [1, 6, 7, 13, 14], inputs: "A B", outputs: "C", family: "linear", attributes: {} },
  Multinomial: {
    since: [7, 22], inputs: "input", outputs: "output",
    attributes: { dtype: int(6), sample_size: int(1), seed: float() },
  },
  Neg: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "linear", attributes: {} },
  NegativeLogLikelihoodLoss: {
    since: [12, 13, 22], inputs: "input target weight?", outputs: "loss",
    attributes: { ignore_index: int(), reduction: string("mean") },
  },
  NonMaxSuppression: {
    since: [10, 11], inputs: "boxes scores max_output_boxes_per_class? iou_threshold? score_threshold?", outputs: "selected_indices",
    attributes: { center_point_box: int(0) },
  },
  NonZero: { since: [9, 13], inputs: "X", outputs: "Y", attributes: {} },
  Not: { since: [1], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  OneHot: { since: [9, 11, 28], inputs: "indices depth values", outputs: "output", attributes: { axis: int(-1) } },
  Optional: { since: [15, 28], inputs: "input?", outputs: "output", attributes: { type: type() } },
  OptionalGetElement: { since: [15, 18, 28], inputs: "input", outputs: "output", attributes: {} },
  OptionalHasElement: { since: [15, 18, 28], inputs: "input?", outputs: "output", attributes: {} },
  Or: { since: [1, 7], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
  PRelu: { since: [1, 6, 7, 9, 16], inputs: "X slope", outputs: "Y", family: "elementwise", attributes: {} },
  Pad: {
    since: [1, 2, 11, 13, 18, 19, 21, 23, 24, 25], inputs: "data pads constant_value? axes?", outputs: "output",
    attributes: { mode: string("constant"), pads: until(11, required(ints())), value: until(11, float(0)) },
  },
  Pow: { since: [1, 7, 12, 13, 15], inputs: "X Y", outputs: "Z", family: "elementwise", attributes: {} },
  QLinearConv: {
    since: [10], inputs: "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?", outputs: "y",
    attributes: { auto_pad: string("NOTSET"), dilations: ints(), group: int(1), kernel_shape: ints(), pads: ints(), strides: ints() },
  },
  QLinearMatMul: {
    since: [10, 21], inputs: "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point", outputs: "y",
    attributes: {  },
  },
  QuantizeLinear: {
    since: [10, 13, 19, 21, 23, 24, 25, 28], inputs: "x y_scale y_zero_point?", outputs: "y",
    attributes: {
      axis: since(13, int(1)), block_size: since(21, int(0)), output_dtype: since(21, int(0)), precision: since(23, int(0)),
      saturate: since(19, int(1)),
    },
  },
  RMSNormalization: {
    since: [23], inputs: "X scale", outputs: "Y",
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
  },
  RNN: {
    since: [1, 7, 14, 22], inputs: "X W R B? sequence_lens? initial_h?", outputs: "Y? Y_h?",
    attributes: {
      activation_alpha: floats(), activation_beta: floats(), activations: strings(["Tanh", "Tanh"]), clip: float(),
      direction: string("forward"), hidden_size: int(), layout: since(14, int(0)),
    },
  },
  RandomNormal: {
    since: [1, 22], inputs: "", outputs: "output",
    attributes: { dtype: int(1), mean: float(0), scale: float(1), seed: float(), shape: required(ints()) },
  },
  RandomNormalLike: {
    since: [1, 22], inputs: "input", outputs: "output",
    attributes: { dtype: int(), mean: float(0), scale: float(1), seed: float() },
  },
  RandomUniform: {
    since: [1, 22], inputs: "", outputs: "output",
    attributes: { dtype: int(1), high: float(1), low: float(0), seed: float(), shape: required(ints()) },
  },
  RandomUniformLike: {
    since: [1, 22], inputs: "input", outputs: "output",
    attributes: { dtype: int(), high: float(1), low: float(0), seed: float() },
  },
  Range: { since: [11, 27], inputs: "start limit delta", outputs: "output", attributes: { stash_type: since(27, int(1)) } },
  Reciprocal: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  ReduceL1: {
    since: [1, 11, 13, 18], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceL2: {
    since: [1, 11, 13, 18], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceLogSum: {
    since: [1, 11, 13, 18, 28], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceLogSumExp: {
    since: [1, 11, 13, 18, 28], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceMax: {
    since: [1, 11, 12, 13, 18, 20], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceMean: {
    since: [1, 11, 13, 18], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceMin: {
    since: [1, 11, 12, 13, 18, 20], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceProd: {
    since: [1, 11, 13, 18], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  ReduceSum: {
    since: [1, 11, 13], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(13, ints()), keepdims: int(1), noop_with_empty_axes: since(13, int(0)) },
  },
  ReduceSumSquare: {
    since: [1, 11, 13, 18], inputs: "data axes?", outputs: "reduced", family: "reduction",
    attributes: { axes: until(18, ints()), keepdims: int(1), noop_with_empty_axes: since(18, int(0)) },
  },
  RegexFullMatch: { since: [20], inputs: "X", outputs: "Y", attributes: { pattern: string() } },
  Relu: { since: [1, 6, 13, 14], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Reshape: {
    since: [1, 5, 13, 14, 19, 21, 23, 24, 25], inputs: "data shape", outputs: "reshaped",
    attributes: { allowzero: since(14, int(0)) },
  },
  Resize: {
    since: [10, 11, 13, 18, 19], inputs: "X roi? scales? sizes?", outputs: "Y",
    attributes: {
      antialias: since(18, int(0)), axes: since(18, ints()), coordinate_transformation_mode: since(11, string("half_pixel")),
      cubic_coeff_a: since(11, float(-0.75)), exclude_outside: since(11, int(0)), extrapolation_value: since(11, float(0)),
      keep_aspect_ratio_policy: since(18, string("stretch")), mode: string("nearest"),
      nearest_mode: since(11, string("round_prefer_floor")),
    },
  },
  ReverseSequence: {
    since: [10, 28], inputs: "input sequence_lens", outputs: "Y",
    attributes: { batch_axis: int(1), time_axis: int(0) },
  },
  RoiAlign: {
    since: [10, 16, 22], inputs: "X rois batch_indices", outputs: "Y",
    attributes: {
      coordinate_transformation_mode: since(16, string("half_pixel")), mode: string("avg"), output_height: int(1),
      output_width: int(1), sampling_ratio: int(0), spatial_scale: float(1),
    },
  },
  RotaryEmbedding: {
    since: [23], inputs: "X cos_cache sin_cache position_ids?", outputs: "Y",
    attributes: { interleaved: int(0), num_heads: int(), rotary_embedding_dim: int(0) },
  },
  Round: { since: [11, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  STFT: { since: [17], inputs: "signal frame_step window? frame_length?", outputs: "output", attributes: { onesided: int(1) } },
  Scan: {
    since: [8, 9, 11, 16, 19, 21, 23, 24, 25], inputs: "initial_state_and_scan_inputs+", outputs: "final_state_and_scan_outputs+",
    attributes: {
      body: required(graph()), directions: until(9, ints()), num_scan_inputs: required(int()),
      scan_input_axes: since(9, ints()), scan_input_directions: since(9, ints()), scan_output_axes: since(9, ints()),
      scan_output_directions: since(9, ints()),
    },
  },
  Scatter: { since: [9, 11], inputs: "data indices updates", outputs: "output", attributes: { axis: int(0) } },
  ScatterElements: {
    since: [11, 13, 16, 18], inputs: "data indices updates", outputs: "output",
    attributes: { axis: int(0), reduction: since(16, string("none")) },
  },
  ScatterND: {
    since: [11, 13, 16, 18], inputs: "data indices updates", outputs: "output",
    attributes: { reduction: since(16, string("none")) },
  },
  Selu: {
    since: [1, 6, 22], inputs: "X", outputs: "Y", family: "elementwise",
    attributes: { alpha: float(1.6732632), gamma: float(1.050701) },
  },
  SequenceAt: { since: [11], inputs: "input_sequence position", outputs: "tensor", attributes: {} },
  SequenceConstruct: { since: [11], inputs: "inputs+", outputs: "output_sequence", attributes: {} },
  SequenceEmpty: { since: [11], inputs: "", outputs: "output", attributes: { dtype: int() } },
  SequenceErase: { since: [11], inputs: "input_sequence position?", outputs: "output_sequence", attributes: {} },
  SequenceInsert: { since: [11], inputs: "input_sequence tensor position?", outputs: "output_sequence", attributes: {} },
  SequenceLength: { since: [11], inputs: "input_sequence", outputs: "length", attributes: {} },
  SequenceMap: {
    since: [17], inputs: "input_sequence additional_inputs*", outputs: "out_sequence+",
    attributes: { body: required(graph()) },
  },
  Shape: {
    since: [1, 13, 15, 19, 21, 23, 24, 25], inputs: "data", outputs: "shape",
    attributes: { end: since(15, int()), start: since(15, int(0)) },
  },
  Shrink: {
    since: [9], inputs: "input", outputs: "output", family: "elementwise",
    attributes: { bias: float(0), lambd: float(0.5) },
  },
  Sigmoid: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Sign: { since: [9, 13], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Sin: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Sinh: { since: [9, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Size: { since: [1, 13, 19, 21, 23, 24, 25], inputs: "data", outputs: "size", attributes: {} },
  Slice: {
    since: [1, 10, 11, 13], inputs: "data starts ends axes? steps?", outputs: "output",
    attributes: { axes: until(10, ints()), ends: until(10, required(ints())), starts: until(10, required(ints())) },
  },
  Softmax: { since: [1, 11, 13], inputs: "input", outputs: "output", attributes: { axis: before(13, 1, int(-1)) } },
  SoftmaxCrossEntropyLoss: {
    since: [12, 13], inputs: "scores labels weights?", outputs: "output log_prob?",
    attributes: { ignore_index: int(), reduction: string("mean") },
  },
  Softplus: { since: [1, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Softsign: { since: [1, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  SpaceToDepth: {
    since: [1, 13, 28], inputs: "input", outputs: "output",
    attributes: { blocksize: required(int()), mode: since(28, string("DCR")) },
  },
  Split: {
    since: [1, 2, 11, 13, 18], inputs: "input split?", outputs: "outputs+",
    attributes: { axis: int(0), num_outputs: since(18, int()), split: until(13, ints()) },
  },
  SplitToSequence: {
    since: [11, 24], inputs: "input split?", outputs: "output_sequence",
    attributes: { axis: int(0), keepdims: int(1) },
  },
  Sqrt: { since: [1, 6, 13], inputs: "X", outputs: "Y", family: "elementwise", attributes: {} },
  Squeeze: {
    since: [1, 11, 13, 21, 23, 24, 25], inputs: "data axes?", outputs: "squeezed",
    attributes: { axes: until(13, ints()) },
  },
  StringConcat: { since: [20], inputs: "X Y", outputs: "Z", attributes: {} },
  StringNormalizer: {
    since: [10], inputs: "X", outputs: "Y",
    attributes: { case_change_action: string("NONE"), is_case_sensitive: int(0), locale: string(), stopwords: strings() },
  },
  StringSplit: { since: [20], inputs: "X", outputs: "Y Z", attributes: { delimiter: string(), maxsplit: int() } },
  Sub: { since: [1, 6, 7, 13, 14], inputs: "A B", outputs: "C", family: "linear", attributes: {} },
  Sum: { since: [1, 6, 8, 13], inputs: "data_0+", outputs: "sum", family: "linear", attributes: {} },
  SwiGLU: { since: [28], inputs: "A B", outputs: "Y", attributes: { alpha: float(1) } },
  Swish: { since: [24], inputs: "X", outputs: "Y", family: "elementwise", attributes: { alpha: float(1) } },
  Tan: { since: [7, 22], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  Tanh: { since: [1, 6, 13], inputs: "input", outputs: "output", family: "elementwise", attributes: {} },
  TensorScatter: {
    since: [24], inputs: "past_cache update write_indices?", outputs: "present_cache",
    attributes: { axis: int(-2), mode: string("linear") },
  },
  TfIdfVectorizer: {
    since: [9], inputs: "X", outputs: "Y",
    attributes: {
      max_gram_length: required(int()), max_skip_count: required(int()), min_gram_length: required(int()),
      mode: required(string()), ngram_counts: required(ints()), ngram_indexes: required(ints()), pool_int64s: ints(),
      pool_strings: strings(), weights: floats(),
    },
  },
  ThresholdedRelu: { since: [10, 22], inputs: "X", outputs: "Y", family: "elementwise", attributes: { alpha: float(1) } },
  Tile: { since: [1, 6, 13], inputs: "input repeats", outputs: "output", attributes: {} },
  TopK: {
    since: [1, 10, 11, 24], inputs: "X K", outputs: "Values Indices",
    attributes: { axis: int(-1), k: until(10, required(int())), largest: since(11, int(1)), sorted: since(11, int(1)) },
  },
  Transpose: { since: [1, 13, 21, 23, 24, 25], inputs: "data", outputs: "transposed", attributes: { perm: ints() } },
  Trilu: { since: [14], inputs: "input k?", outputs: "output", attributes: { upper: int(1) } },
  Unique: {
    since: [11, 28], inputs: "X", outputs: "Y indices? inverse_indices? counts?",
    attributes: { axis: int(), sorted: int(1) },
  },
  Unsqueeze: {
    since: [1, 11, 13, 21, 23, 24, 25], inputs: "data axes", outputs: "expanded",
    attributes: { axes: until(13, required(ints())) },
  },
  Upsample: {
    since: [1, 7, 9, 10], inputs: "X scales", outputs: "Y",
    attributes: { mode: string("nearest"), scales: until(9, required(floats())) },
  },
  Where: { since: [9, 16], inputs: "condition X Y", outputs: "output", family: "elementwise", attributes: {} },
  Xor: { since: [1, 7], inputs: "A B", outputs: "C", family: "elementwise", attributes: {} },
} as const satisfies Readonly<Record<string, Operator>>;
