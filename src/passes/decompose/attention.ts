import { parts as equalParts } from "../../autodiff/formulas/scan.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import { dimsOf, rankOf } from "../../ops/value-types.ts";
import { mapTuple } from "../../tuples.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import { attend, cutHeads, isPast, joinHeads, lowest, placesAlong } from "./attend.ts";
import type { Compound } from "./compound.ts";
import { cached, type Rotation, rotate } from "./rotary.ts";

const SOURCE = "onnxruntime/core/graph/contrib_ops/bert_defs.cc";

const LAST = [attribute.int("axis", -1)];

/** Keys or values with those of earlier steps in front. */
const behind = (f: Formula, past: Value | null, value: Value): Value =>
  past === null ? value : f.concat([past, value], 2);

/** ONNX's own: [batch, heads, length, width], or [batch, length, heads times width] with the numbers of heads in attributes. */
function standard(f: Formula, call: Call): readonly (Value | null)[] {
  if (call.optional(6) !== null) throw call.refuse("it has lengths of its keys (nonpad_kv_seqlen)");
  const isFlat = call.rank(0) === 3;
  const counts = [call.intOrNull("q_num_heads") ?? 0, call.intOrNull("kv_num_heads") ?? 0] as const;
  const cut = (value: Value, count: number): Value => (isFlat ? cutHeads(f, value, count) : value);
  const q = cut(call.input(0), counts[0]);
  const k = behind(f, call.optional(4), cut(call.input(1), counts[1]));
  const v = behind(f, call.optional(5), cut(call.input(2), counts[1]));
  const headsOf = (value: Value): number | null => dimsOf(value)?.[1] ?? null;
  const [heads, groups] = isFlat ? counts : [headsOf(q), headsOf(call.input(1))];
  if (heads === null || groups === null) throw call.refuse("the number of its heads is not known");
  const mask = (scores: Value): Value => {
    const given = call.optional(3);
    const masked = given === null ? scores : withMask(f, call, scores, given);
    if (call.int("is_causal") === 0) return masked;
    const past = call.optional(4);
    const from = past === null ? 0 : f.dim(past, 2);
    return f.where(isPast(f, scores, from), masked, lowest(f));
  };
  const options = { scale: call.floatOrNull("scale") ?? 0, softcap: call.floatOrNull("softcap") ?? 0 };
  const { y, stages } = attend(f, { q, k, v, heads, groups, mask, ...options });
  const stage = stages[call.int("qk_matmul_output_mode")] ?? null;
  return [isFlat ? joinHeads(f, y) : y, k, v, stage];
}

/** Booleans say what is attended to; numbers are added. */
function withMask(f: Formula, call: Call, scores: Value, mask: Value): Value {
  const [keys, given] = [dimsOf(scores)?.[3], dimsOf(mask)?.at(-1)];
  if (typeof keys === "number" && typeof given === "number" && given !== keys && given !== 1) {
    throw call.refuse("its mask is shorter than its keys");
  }
  return elementTypeOf(mask) === DataType.bool ? f.where(mask, scores, lowest(f)) : f.add(scores, mask);
}

/** Adds `filter` where a mask of integers is not positive. The mask may have the axes [batch, keys] or [batch, queries, keys]. */
function filtered(f: Formula, call: Call, scores: Value, mask: Value): Value {
  const rank = rankOf(mask);
  if (rank !== 2 && rank !== 3) throw call.refuse(`its mask "${mask.name}" has ${rank ?? "an unknown number of"} axes`);
  const counts = f.typed(elementTypeOf(mask)).greater(mask, 0);
  return f.add(
    scores,
    f.where(f.unsqueeze(counts, rank === 2 ? [1, 2] : [1]), 0, call.floatOrNull("mask_filter_value") ?? -10000),
  );
}

function causal(f: Formula, call: Call, scores: Value, past: Value | null): Value {
  if (call.int("unidirectional") === 0) return scores;
  return f.where(isPast(f, scores, past === null ? 0 : f.dim(past, 2)), scores, lowest(f));
}

/** Query, key and value [batch, length, heads times width]; keys and values may come cut into heads. */
function multiHead(f: Formula, call: Call): readonly (Value | null)[] {
  for (const index of [8, 9]) if (call.optional(index) !== null) throw call.refuse(`it has an input ${index}`);
  const heads = call.int("num_heads");
  if (call.optional(1) === null || call.optional(2) === null || call.rank(1) === 5) {
    throw call.refuse("its keys and values are packed into one tensor");
  }
  const bias = call.optional(3);
  const widths = [0, 1, 2].map((index) => f.dim(call.input(index), -1));
  const biases = bias === null ? [] : splitBias(f, bias, widths, call.rank(1) === 4);
  const cut = (index: number): Value => {
    const value = call.input(index);
    if (call.rank(index) === 4) return value;
    const own = biases[index];
    return cutHeads(f, own === undefined ? value : f.add(value, own), heads);
  };
  const past = call.optional(6);
  const q = cut(0);
  const [k, v] = [behind(f, past, cut(1)), behind(f, call.optional(7), cut(2))];
  const mask = (scores: Value): Value => {
    const [padding, given] = [call.optional(4), call.optional(5)];
    const padded = padding === null ? scores : filtered(f, call, scores, padding);
    return causal(f, call, given === null ? padded : f.add(padded, given), past);
  };
  const options = { heads, groups: heads, scale: call.floatOrNull("scale") ?? 0, softcap: 0 };
  const { y, stages } = attend(f, { q, k, v, mask, ...options });
  return [joinHeads(f, y), k, v, stages[2]];
}

/** One bias for all three, those of the query's width twice. */
function splitBias(f: Formula, bias: Value, [q, , v]: readonly Value[], isCut: boolean): readonly Value[] {
  if (q === undefined || v === undefined) return [];
  if (isCut) return [f.slice(bias, [0], q, [0])];
  return f.build.emitAll("Split", [bias, f.vector(q, q, v)], 3);
}

/** One product makes query, key and value. */
function joint(f: Formula, call: Call): readonly (Value | null)[] {
  if (call.optional(6) !== null) throw call.refuse("it shares the buffer of its past (past_sequence_length)");
  const heads = call.int("num_heads");
  const product = f.matmul(call.input(0), call.input(1));
  const bias = call.optional(2);
  const all = bias === null ? product : f.add(product, bias);
  const given = call.ints("qkv_hidden_sizes");
  const parts =
    given === null ? equalParts(f, all, 3) : f.build.emitAll("Split", [all, f.ints(given)], 3, { attributes: LAST });
  const [q, k, v] = mapTuple(parts, (part) => cutHeads(f, part, heads));
  const past = call.optional(4);
  const [pastKey, pastValue] =
    past === null ? [null, null] : [0, 1].map((at) => f.gather(past, f.typed(DataType.int64).number(at), 0));
  const [keys, values] = [behind(f, pastKey ?? null, k), behind(f, pastValue ?? null, v)];
  const mask = (scores: Value): Value => {
    const [index, added] = [call.optional(3), call.optional(5)];
    const padded = index === null ? scores : indexed(f, call, scores, index);
    return causal(f, call, added === null ? padded : f.add(padded, added), pastKey ?? null);
  };
  const options = { heads, groups: heads, scale: call.floatOrNull("scale") ?? 0, softcap: 0 };
  const { y } = attend(f, { q, k: keys, v: values, mask, ...options });
  const present = call.wants(1) ? f.concat([f.unsqueeze(keys, [0]), f.unsqueeze(values, [0])], 0) : null;
  return [joinHeads(f, y), present];
}

/** A mask of two or three axes, or of one: how many keys of each sample count. */
function indexed(f: Formula, call: Call, scores: Value, index: Value): Value {
  if (rankOf(index) !== 1) return filtered(f, call, scores, index);
  const shape = (value: Value) => (value.type?.kind === "tensor" ? value.type.shape?.[0] : null) ?? null;
  const [count, batch] = [shape(index), shape(call.input(0))];
  if (count === null || count !== batch) {
    throw call.refuse(`its mask "${index.name}" is not known to have one number per sample`);
  }
  const ends = f.unsqueeze(f.cast(index, DataType.int64), [1, 2, 3]);
  const counts = f.typed(DataType.int64).greater(ends, placesAlong(f, scores, 3));
  return f.add(scores, f.where(counts, 0, call.floatOrNull("mask_filter_value") ?? -10000));
}

/**
 * Key heads serve groups of query heads, queries see what came before, and each sample has its own number of keys: those
 * of its past are the first of `past`, and the new ones follow.
 */
function grouped(f: Formula, call: Call): readonly (Value | null)[] {
  if (call.node.inputs.length > 11) throw call.refuse("it has sinks or quantized keys (inputs from 11 on)");
  const [heads, groups] = [call.int("num_heads"), call.int("kv_num_heads")];
  const window = call.int("local_window_size");
  const int = f.typed(DataType.int64);
  const [query, key, value] = queryKeyValue(f, call, heads, groups);
  const length = int.dim(query, 2);
  /** How many keys each sample has already, [batch]. */
  const past = int.max(int.sub(int.add(f.cast(f.reshape(call.input(5), [-1]), DataType.int64), 1), length), 0);
  const at = int.add(int.unsqueeze(past, [1]), placesAlong(f, query, 2));
  const rotation = (call.intOrNull("do_rotary") ?? 0) === 0 ? null : rotationOf(f, call, call.optional(9) ?? at);
  const turned = (x: Value): Value => (rotation === null ? x : rotate(f, x, rotation));
  const total = call.optional(3) === null ? null : f.reshape(f.cast(call.input(6), DataType.int64), [-1]);
  const [k, v] = [
    appended(f, call.optional(3), turned(key), past, total),
    appended(f, call.optional(4), value, past, total),
  ];
  const mask = (scores: Value): Value => {
    const given = call.optional(10);
    const seen = isPast(f, scores, int.unsqueeze(past, [1, 2, 3]), window > 0 ? window - 1 : null);
    return f.where(seen, given === null ? scores : f.add(scores, given), lowest(f));
  };
  const options = { heads, groups, scale: call.floatOrNull("scale") ?? 0, softcap: call.floatOrNull("softcap") ?? 0 };
  const { y } = attend(f, { q: turned(query), k, v, mask, ...options });
  return [joinHeads(f, y), k, v];
}

function queryKeyValue(f: Formula, call: Call, heads: number, groups: number): readonly [Value, Value, Value] {
  const [key, value] = [call.optional(1), call.optional(2)];
  if (key !== null && value !== null) {
    return [cutHeads(f, call.input(0), heads), cutHeads(f, key, groups), cutHeads(f, value, groups)];
  }
  const all = cutHeads(f, call.input(0), heads + 2 * groups);
  const [from, to] = [heads, heads + groups];
  return [f.slice(all, [0], [from], [1]), f.slice(all, [from], [to], [1]), f.slice(all, [to], [to + groups], [1])];
}

function rotationOf(f: Formula, call: Call, at: Value): Rotation {
  const isInterleaved = call.intOrNull("rotary_interleaved") === 1;
  return { ...cached(f, call.input(7), call.input(8), at), isInterleaved };
}

/** [batch, heads, total, width]: the first of `past`, as many as the sample has, then the new ones, then zeros. */
function appended(f: Formula, past: Value | null, added: Value, count: Value, total: Value | null): Value {
  if (past === null || total === null) return added;
  const int = f.typed(DataType.int64);
  const places = int.range(f.reshape(total, []));
  const counts = int.unsqueeze(count, [1]);
  const isOld = int.greater(counts, places);
  const all = f.concat([past, added], 2);
  const moved = int.sub(places, counts);
  const isNew = int.greater(int.dim(added, 2), moved);
  const safe = int.where(isNew, int.add(moved, int.dim(past, 2)), 0);
  const from = int.unsqueeze(int.where(isOld, places, safe), [1, 3]);
  const shape = int.vector(int.shape(added, 0, 2), total, int.shape(added, 3));
  const isKey = int.unsqueeze(int.emit("Or", [isOld, isNew]), [1, 3]);
  return f.where(isKey, f.gatherElements(all, int.expand(from, shape), 2), 0);
}

export const ATTENTION: readonly Compound[] = [
  { domain: "", op: "Attention", source: "ONNX's operators, Attention", parts: standard },
  { domain: MICROSOFT, op: "MultiHeadAttention", source: SOURCE, parts: multiHead },
  { domain: MICROSOFT, op: "Attention", source: SOURCE, parts: joint },
  { domain: MICROSOFT, op: "GroupQueryAttention", source: SOURCE, parts: grouped },
];
