import { float, floats, int, ints, type Operator, required, string, strings } from "./operator.ts";

const WINDOW = {
  auto_pad: string("NOTSET"),
  dilations: ints(),
  kernel_shape: ints(),
  pads: ints(),
  strides: ints(),
} as const;
const POOL = { ...WINDOW, ceil_mode: int(0) } as const;
const LABELLED = { ignore_index: int(), reduction: string("mean") } as const;
const CELLS = {
  activation_alpha: floats(),
  activation_beta: floats(),
  activations: strings(),
  clip: float(),
  direction: string("forward"),
  hidden_size: int(),
} as const;
const LSTM = { ...CELLS, input_forget: int(0) } as const;
const GRU = { ...CELLS, linear_before_reset: int(0) } as const;

/**
 * Operators that only ONNX Runtime's training builds have.
 * Source: orttraining/core/graph/training_op_defs.cc of ONNX Runtime 1.19. Those that take any attribute of their forward operator
 * are given what that has.
 */
// biome-ignore format: a table
export const TRAINING_OPERATORS = {
  AveragePoolGrad: { since: [9], inputs: "dY", outputs: "dX", attributes: { ...POOL, count_include_pad: int(0) } },
  MaxPoolGrad: { since: [9], inputs: "dY Indices", outputs: "dX", attributes: { ...POOL, storage_order: int(0) } },
  SparseSoftmaxCrossEntropy: { since: [9], inputs: "logits label weight?", outputs: "Y log_prob?", attributes: { reduction: string("mean") } },
  SparseSoftmaxCrossEntropyGrad: { since: [9], inputs: "dY log_prob label weight?", outputs: "d_logits", attributes: { reduction: string("mean") } },
  "com.microsoft.AdamOptimizer": {
    since: [1], inputs: "R T weights gradients moment_1 moment_2 mixed_precision_weights? loss_scale? global_gradient_norm? update_signal?",
    outputs: "new_T new_moment_1 new_moment_2 new_weights? new_gradients? new_mixed_precision_weights?",
    attributes: {
      alpha: float(0.9), beta: float(0.999), do_bias_correction: int(1), epsilon: float(1e-8), lambda: float(0), weight_decay_mode: int(0),
    },
  },
  "com.microsoft.AdamWOptimizer": {
    since: [1], inputs: "lr step weights gradients momentums_1 momentums_2 update_signal?",
    outputs: "updated_flag updated_weights? updated_momentums_1? updated_momentums_2?",
    attributes: {
      adam_mode: int(0), alpha: float(0.9), beta: float(0.999), correct_bias: int(1), epsilon: float(1e-8), weight_decay: float(0.01),
    },
  },
  "com.microsoft.All": { since: [1], inputs: "X", outputs: "Y", attributes: {} },
  "com.microsoft.BatchNormInternal": {
    since: [1], inputs: "X scale B input_mean input_var", outputs: "Y running_mean? running_var? saved_mean? saved_inv_std?",
    attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(1) },
  },
  "com.microsoft.BatchNormalizationGrad": {
    since: [1], inputs: "dY X scale mean variance", outputs: "X_grad scale_grad bias_grad", attributes: { epsilon: float() },
  },
  "com.microsoft.BatchScale": {
    since: [1], inputs: "input", outputs: "output_0 output_1 output_2?",
    attributes: { scale_0: required(float()), scale_1: required(float()), scale_2: float() },
  },
  "com.microsoft.BiasFastGeluGrad_dX": { since: [1], inputs: "dY X B", outputs: "dX", attributes: {} },
  "com.microsoft.BiasGeluGrad_dX": { since: [1], inputs: "dY X B", outputs: "dX", attributes: {} },
  "com.microsoft.BitmaskDropoutGrad": { since: [1], inputs: "dy mask ratio? training_mode?", outputs: "dx", attributes: {} },
  "com.microsoft.BroadcastGradientArgs": { since: [1], inputs: "a_shape b_shape", outputs: "a_axes? b_axes?", attributes: {} },
  "com.microsoft.ConcatTraining": {
    since: [1], inputs: "inputs+", outputs: "concat_result per_input_length?", attributes: { axis: required(int()) },
  },
  "com.microsoft.ConvGrad": { since: [9], inputs: "dY X W", outputs: "dX? dW? dB?", attributes: { ...WINDOW, group: int(1) } },
  "com.microsoft.ConvTransposeGrad": {
    since: [1], inputs: "dY X W", outputs: "dX? dW? dB?",
    attributes: { ...WINDOW, group: int(1), output_padding: ints(), output_shape: ints() },
  },
  "com.microsoft.DivGrad": { since: [1], inputs: "dY A B", outputs: "dA? dB?", attributes: {} },
  "com.microsoft.DropoutGrad": { since: [1], inputs: "dy mask ratio? training_mode?", outputs: "dx", attributes: {} },
  "com.microsoft.FakeQuant": {
    since: [1], inputs: "input_tensor scale zero_point", outputs: "fake_quantized_tensor mask",
    attributes: { quant_max: int(255), quant_min: int(0) },
  },
  "com.microsoft.FakeQuantGrad": { since: [1], inputs: "dY gradient_mask", outputs: "dX", attributes: {} },
  "com.microsoft.FastGeluGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: {} },
  "com.microsoft.FlattenAndUnpad": { since: [1], inputs: "input indices", outputs: "output unflatten_dims", attributes: {} },
  "com.microsoft.GRUGrad": {
    since: [1], inputs: "X W R B? sequence_lens? initial_h? HAll ZRH dHAll? dHt?", outputs: "dX? dW? dR? dB? dH0?", attributes: GRU,
  },
  "com.microsoft.GRUTraining": { since: [1], inputs: "X W R B? sequence_lens? initial_h?", outputs: "HAll? HT? ZRH?", attributes: GRU },
  "com.microsoft.GatherElementsGrad": { since: [1], inputs: "dY shape indices", outputs: "dX", attributes: { axis: int(0) } },
  "com.microsoft.GatherGrad": { since: [1], inputs: "shape indices dY", outputs: "dX", attributes: { axis: int(0) } },
  "com.microsoft.GatherNDGrad": { since: [1], inputs: "shape indices update", outputs: "output", attributes: { batch_dims: int(0) } },
  "com.microsoft.GeluGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: {} },
  "com.microsoft.Group": { since: [1], inputs: "input_tensors+", outputs: "done", attributes: {} },
  "com.microsoft.InPlaceAccumulator": { since: [1], inputs: "old_sum value update_signal?", outputs: "new_sum", attributes: {} },
  "com.microsoft.InPlaceAccumulatorV2": {
    since: [1], inputs: "accumulation_buffer value overwrite_flag?", outputs: "updated_flag accumulation_buffer_out?", attributes: {},
  },
  "com.microsoft.InplaceClipGradNorm": {
    since: [1], inputs: "gradients", outputs: "clipped_gradients", attributes: { max_norm: float(1), norm_type: string("fro") },
  },
  "com.microsoft.InvertibleLayerNormalizationGrad": {
    since: [1], inputs: "Y_grad Y scale bias inv_std_var", outputs: "X_grad scale_grad bias_grad", attributes: { axis: int(-1) },
  },
  "com.microsoft.IsFinite": { since: [1], inputs: "X", outputs: "Y", attributes: {} },
  "com.microsoft.LSTMGrad": {
    since: [1], inputs: "X W R sequence_lens? initial_h? initial_c? HAll CAll iofc dHAll? dHt? dCt? P?",
    outputs: "dX? dW? dR? dB? dH0? dC0? dP?", attributes: LSTM,
  },
  "com.microsoft.LSTMTraining": {
    since: [1], inputs: "X W R B? sequence_lens? initial_h? initial_c? P?", outputs: "HAll? HT? CT? CAll? iofc?", attributes: LSTM,
  },
  "com.microsoft.LambOptimizer": {
    since: [1], inputs: "update_signal? loss_scale? gradient_norm? R? step? groups*", outputs: "new_step? new_groups*",
    attributes: {
      alpha: floats(), beta: floats(), do_bias_correction: int(1), epsilon: floats(), lambda: floats(), max_norm_clip: floats(),
      ratio_max: float(Number.POSITIVE_INFINITY), ratio_min: float(Number.NEGATIVE_INFINITY),
    },
  },
  "com.microsoft.LayerNormalizationGrad": {
    since: [1], inputs: "Y_grad X scale mean inv_std_var", outputs: "X_grad scale_grad bias_grad", attributes: { axis: int(-1) },
  },
  "com.microsoft.LeakyReluGrad": { since: [1], inputs: "dY Y", outputs: "dX", attributes: { alpha: float(0.01) } },
  "com.microsoft.LogSoftmaxGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: { axis: int(1) } },
  "com.microsoft.LogSoftmaxGrad_13": { since: [1], inputs: "dY X", outputs: "dX", attributes: { axis: int(-1) } },
  "com.microsoft.MixedPrecisionScale": {
    since: [1], inputs: "S X+", outputs: "Y+", attributes: { fuse_outputs: int(0), to: required(int()) },
  },
  "com.microsoft.NegativeLogLikelihoodLossInternal": {
    since: [1], inputs: "input target weight? ignore_index?", outputs: "loss", attributes: { reduction: string("mean") },
  },
  "com.microsoft.PadAndUnflatten": { since: [1], inputs: "input indices unflatten_dims", outputs: "output", attributes: {} },
  "com.microsoft.PassThrough": { since: [1], inputs: "inputs+", outputs: "outputs+", attributes: {} },
  "com.microsoft.QuickGeluGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: { alpha: float(1.702) } },
  "com.microsoft.ReduceAllL2": { since: [1], inputs: "X+", outputs: "Y", attributes: { ignore_mask: int(0) } },
  "com.microsoft.ReduceSumTraining": {
    since: [1], inputs: "data axes", outputs: "reduced", attributes: { keepdims: int(1), noop_with_empty_axes: int(0) },
  },
  "com.microsoft.ReluGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: {} },
  "com.microsoft.ResizeGrad": {
    since: [1], inputs: "dY X roi scales", outputs: "dX",
    attributes: {
      coordinate_transformation_mode: string("half_pixel"), cubic_coeff_a: float(-0.75), exclude_outside: int(0),
      extrapolation_value: float(0), mode: string("nearest"), nearest_mode: string("round_prefer_floor"),
    },
  },
  "com.microsoft.SGDOptimizer": { since: [1], inputs: "ETA W G", outputs: "NW? NG?", attributes: {} },
  "com.microsoft.SGDOptimizerV2": {
    since: [1], inputs: "lr weights gradients update_signal?", outputs: "update_completed updated_weights?", attributes: {},
  },
  "com.microsoft.Scale": { since: [1], inputs: "input scale", outputs: "output", attributes: { scale_down: int(0) } },
  "com.microsoft.ScaledSum": {
    since: [1], inputs: "input_0 input_1 input_2?", outputs: "output",
    attributes: { scale_0: required(float()), scale_1: required(float()), scale_2: float() },
  },
  "com.microsoft.ShrunkenGather": { since: [1], inputs: "data indices", outputs: "output", attributes: { axis: int(0) } },
  "com.microsoft.SigmoidGrad": { since: [1], inputs: "dY Y", outputs: "dX", attributes: {} },
  "com.microsoft.SimplifiedLayerNormalizationGrad": {
    since: [1], inputs: "Y_grad X scale inv_std_var", outputs: "X_grad scale_grad", attributes: { axis: int(-1) },
  },
  "com.microsoft.SliceGrad": { since: [1], inputs: "dY shape starts ends axes? steps?", outputs: "dX", attributes: {} },
  "com.microsoft.SoftmaxCrossEntropy": { since: [1], inputs: "logits label", outputs: "Y log_prob?", attributes: { reduction: string("mean") } },
  "com.microsoft.SoftmaxCrossEntropyGrad": {
    since: [1], inputs: "dY log_prob label", outputs: "d_logits", attributes: { reduction: string("mean") },
  },
  "com.microsoft.SoftmaxCrossEntropyLossGrad": {
    since: [1], inputs: "dY log_prob label weight? bias?", outputs: "d_logits", attributes: { ...LABELLED, output_type: int() },
  },
  "com.microsoft.SoftmaxCrossEntropyLossInternal": {
    since: [1], inputs: "scores labels weights? ignore_index?", outputs: "output log_prob?",
    attributes: { output_type: int(), reduction: string("mean") },
  },
  "com.microsoft.SoftmaxCrossEntropyLossInternalGrad": {
    since: [1], inputs: "dY log_prob label weight? ignore_index? bias?", outputs: "d_logits",
    attributes: { output_type: int(), reduction: string("mean") },
  },
  "com.microsoft.SoftmaxDropoutGrad": {
    since: [1], inputs: "dY mask softmax_Y ratio?", outputs: "dX", attributes: { axis: required(int()), seed: int() },
  },
  "com.microsoft.SoftmaxGrad": { since: [1], inputs: "dY X", outputs: "dX", attributes: { axis: int(1) } },
  "com.microsoft.SoftmaxGrad_13": { since: [1], inputs: "dY X", outputs: "dX", attributes: { axis: int(-1) } },
  "com.microsoft.SplitTraining": { since: [1], inputs: "input split", outputs: "outputs+", attributes: { axis: int(0) } },
  "com.microsoft.TanhGrad": { since: [1], inputs: "dY Y", outputs: "dX", attributes: {} },
  "com.microsoft.View": { since: [1], inputs: "input shapes+", outputs: "outputs+", attributes: {} },
  "com.microsoft.ZeroGradient": { since: [1], inputs: "old_gradient reset_signal", outputs: "zero_gradient", attributes: {} },
} as const satisfies Readonly<Record<string, Operator>>;
