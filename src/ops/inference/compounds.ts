import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";

/** Operators that are made of others: attention, rotary embeddings, normalized sums. */

const times = (dim: Dimension | undefined, factor: number): Dimension =>
  typeof dim === "number" ? dim * factor : null;
const over = (dim: Dimension | undefined, divisor: number): Dimension =>
  typeof dim === "number" ? dim / divisor : null;
const plus = (a: Dimension | undefined, b: Dimension | undefined): Dimension =>
  typeof a === "number" && typeof b === "number" ? a + b : null;

/** Query [batch, length, width], keys and values of the same or cut into heads; then keys and values with those before them. */
function attention(call: InferenceCall, heads: number, groups: number): readonly Inferred[] {
  const dtype = call.dtype(0);
  const [query, value] = [call.shape(0), call.shape(2)];
  if (query === null || value === null) return [{ dtype, shape: null }];
  const width = value.length === 4 ? value[3] : over(value[2], groups);
  return [{ dtype, shape: [query[0] ?? null, query[1] ?? null, times(width ?? undefined, heads)] }];
}

const multiHead: InferenceRule = (call) => attention(call, call.int("num_heads"), call.int("num_heads"));

function grouped(call: InferenceCall): readonly Inferred[] {
  const [heads, groups] = [call.int("num_heads"), call.int("kv_num_heads")];
  if (call.has(2)) return attention(call, heads, groups);
  const query = call.shape(0);
  const dtype = call.dtype(0);
  if (query === null) return [{ dtype, shape: null }];
  const width = over(query[2], heads + 2 * groups);
  return [{ dtype, shape: [query[0] ?? null, query[1] ?? null, times(width, heads)] }];
}

/** The weight makes query, key and value at once. */
function joint(call: InferenceCall): readonly Inferred[] {
  const [x, weight, past] = [call.shape(0), call.shape(1), call.shape(4)];
  const dtype = call.dtype(0);
  const width = call.ints("qkv_hidden_sizes")?.[2] ?? over(weight?.[1], 3);
  const heads = call.int("num_heads");
  const length = call.has(4) ? plus(past?.[3], x?.[1]) : (x?.[1] ?? null);
  const batch = x?.[0] ?? null;
  const y = { dtype, shape: x === null ? null : [batch, x[1] ?? null, width] };
  return [y, { dtype, shape: [2, batch, heads, length, over(width ?? undefined, heads)] }];
}

/** Normalized embeddings, the length of each sequence, the sum of the embeddings. */
function embeddings(call: InferenceCall): readonly Inferred[] {
  const [ids, table] = [call.shape(0), call.shape(2)];
  const dtype = call.dtype(2);
  const y = { dtype, shape: ids === null ? null : [...ids, table?.[1] ?? null] };
  return [y, { dtype: DataType.int32, shape: ids?.slice(0, 1) ?? null }, y];
}

const same: InferenceRule = (call) => [call.same()];

export const COMPOUND_INFERENCE: InferenceRows = [
  ["RotaryEmbedding", same],
  ["com.microsoft.RotaryEmbedding", same],
  ["com.microsoft.MultiHeadAttention", multiHead],
  ["com.microsoft.GroupQueryAttention", grouped],
  ["com.microsoft.Attention", joint],
  ["com.microsoft.EmbedLayerNormalization", embeddings],
  ["com.microsoft.SkipSimplifiedLayerNormalization", (call) => [call.same(), null, null, call.same()]],
];
