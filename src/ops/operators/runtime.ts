import { float, floats, int, ints, type Operator, required, string } from "./operator.ts";

/** Operators of ONNX Runtime, ONNX's optimizers, and what converters of scikit-learn put before a model, that graphs of training have. Source: their schemas in ONNX Runtime 1.30 and ONNX 1.23; compared row by row. */
// biome-ignore format: a table
export const RUNTIME_OPERATORS = {
  SimplifiedLayerNormalization: {
    since: [1], inputs: "X scale", outputs: "Y inv_std_var?",
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
  },
  "ai.onnx.ml.Binarizer": { since: [1], inputs: "X", outputs: "Y", attributes: { threshold: float(0) } },
  "ai.onnx.ml.Imputer": {
    since: [1], inputs: "X", outputs: "Y",
    attributes: {
      imputed_value_floats: floats(), imputed_value_int64s: ints(), replaced_value_float: float(0), replaced_value_int64: int(0),
    },
  },
  "ai.onnx.ml.Normalizer": { since: [1], inputs: "X", outputs: "Y", attributes: { norm: string("MAX") } },
  "ai.onnx.ml.Scaler": { since: [1], inputs: "X", outputs: "Y", attributes: { offset: floats(), scale: floats() } },
  "ai.onnx.preview.training.Adagrad": {
    since: [1], inputs: "R T inputs+", outputs: "outputs+",
    attributes: { decay_factor: float(0), epsilon: float(1e-6), norm_coefficient: float(0) },
  },
  "ai.onnx.preview.training.Adam": {
    since: [1], inputs: "R T inputs+", outputs: "outputs+",
    attributes: {
      alpha: float(0.9), beta: float(0.999), epsilon: float(1e-6), norm_coefficient: float(0),
      norm_coefficient_post: float(0),
    },
  },
  "ai.onnx.preview.training.Momentum": {
    since: [1], inputs: "R T inputs+", outputs: "outputs+",
    attributes: { alpha: required(float()), beta: required(float()), mode: required(string()), norm_coefficient: required(float()) },
  },
  "com.microsoft.Attention": {
    since: [1], inputs: "input weights bias? mask_index? past? attention_bias? past_sequence_length?", outputs: "output present?",
    attributes: {
      do_rotary: int(), mask_filter_value: float(), num_heads: required(int()), past_present_share_buffer: int(),
      qkv_hidden_sizes: ints(), rotary_embedding_dim: int(), scale: float(), unidirectional: int(0),
    },
  },
  "com.microsoft.BiasDropout": {
    since: [1], inputs: "data bias residual? ratio? training_mode?", outputs: "output mask?",
    attributes: { seed: int() },
  },
  "com.microsoft.BiasGelu": { since: [1], inputs: "A B", outputs: "C", attributes: {} },
  "com.microsoft.BiasSoftmax": {
    since: [1], inputs: "data bias", outputs: "output",
    attributes: { axis: int(1), is_inner_broadcast: required(int()) },
  },
  "com.microsoft.BitmaskBiasDropout": {
    since: [1], inputs: "data bias residual? ratio? training_mode?", outputs: "output mask?",
    attributes: { seed: int() },
  },
  "com.microsoft.BitmaskDropout": {
    since: [1], inputs: "data ratio? training_mode?", outputs: "output mask?",
    attributes: { seed: int() },
  },
  "com.microsoft.EmbedLayerNormalization": {
    since: [1], inputs: "input_ids segment_ids? word_embedding position_embedding segment_embedding? gamma beta mask? position_ids?", outputs: "output mask_index? embedding_sum?",
    attributes: { epsilon: float(1e-12), mask_index_type: int() },
  },
  "com.microsoft.FastGelu": { since: [1], inputs: "X bias?", outputs: "Y", attributes: {} },
  "com.microsoft.FusedConv": {
    since: [1], inputs: "X W B? Z?", outputs: "Y",
    attributes: {
      activation: string(), activation_params: floats(), auto_pad: string("NOTSET"), dilations: ints(), group: int(1),
      kernel_shape: ints(), pads: ints(), strides: ints(),
    },
  },
  "com.microsoft.FusedGemm": {
    since: [1], inputs: "A B C?", outputs: "Y",
    attributes: {
      activation: string(), activation_alpha: float(), activation_beta: float(), activation_gamma: float(), alpha: float(1),
      beta: float(1), transA: int(0), transB: int(0),
    },
  },
  "com.microsoft.FusedMatMul": {
    since: [1], inputs: "A B", outputs: "Y",
    attributes: { alpha: float(1), transA: int(0), transB: int(0), transBatchA: int(0), transBatchB: int(0) },
  },
  "com.microsoft.Gelu": { since: [1], inputs: "X", outputs: "Y", attributes: {} },
  "com.microsoft.GroupQueryAttention": {
    since: [1], inputs: "query key? value? past_key? past_value? seqlens_k total_sequence_length cos_cache? sin_cache? position_ids? attention_bias? head_sink? k_scale? v_scale? q_norm_weight? k_norm_weight?", outputs: "output present_key? present_value? output_qk?",
    attributes: {
      causal: int(1), do_rotary: int(), k_quant_type: string("NONE"), kv_cache_bit_width: int(),
      kv_num_heads: required(int()), local_window_size: int(-1), num_heads: required(int()), qk_norm_epsilon: float(1e-6),
      qk_output: int(0), rotary_interleaved: int(), scale: float(), sliding_window_cache: int(0), smooth_softmax: int(-1),
      softcap: float(), v_quant_type: string("NONE"),
    },
  },
  "com.microsoft.IsAllFinite": {
    since: [1], inputs: "input+", outputs: "output",
    attributes: { isinf_only: int(0), isnan_only: int(0) },
  },
  "com.microsoft.MultiHeadAttention": {
    since: [1], inputs: "query key? value? bias? key_padding_mask? attention_bias? past_key? past_value? past_sequence_length? cache_indirection?", outputs: "output present_key? present_value? qk?",
    attributes: { mask_filter_value: float(), num_heads: required(int()), scale: float(), unidirectional: int(0) },
  },
  "com.microsoft.NhwcConv": {
    since: [1], inputs: "X W B?", outputs: "Y",
    attributes: { auto_pad: string("NOTSET"), dilations: ints(), group: int(1), kernel_shape: ints(), pads: ints(), strides: ints() },
  },
  "com.microsoft.QuickGelu": { since: [1], inputs: "X", outputs: "Y", attributes: { alpha: float(1.702) } },
  "com.microsoft.RotaryEmbedding": {
    since: [1], inputs: "input position_ids cos_cache sin_cache", outputs: "output",
    attributes: { interleaved: int(), is_packed_batching: int(), num_heads: int(), rotary_embedding_dim: int(), scale: float() },
  },
  "com.microsoft.SkipLayerNormalization": {
    since: [1], inputs: "input skip gamma beta? bias?", outputs: "output mean? inv_std_var? input_skip_bias_sum?",
    attributes: { epsilon: float(1e-12) },
  },
  "com.microsoft.SkipSimplifiedLayerNormalization": {
    since: [1], inputs: "input skip gamma bias?", outputs: "output mean? inv_std_var? input_skip_bias_sum?",
    attributes: { epsilon: float(1e-12) },
  },
  "com.microsoft.Trilu": { since: [1], inputs: "X k?", outputs: "Y", attributes: { upper: int(1) } },
} as const satisfies Readonly<Record<string, Operator>>;
