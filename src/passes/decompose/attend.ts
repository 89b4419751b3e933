import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula, Operand } from "../../ops/formula.ts";
import { SizeMath } from "../../ops/sizes.ts";
import { dimsOf } from "../../ops/value-types.ts";

/** Scaled dot-product attention over heads, and its parts: what the operators of attention differ in is what they make of their inputs. */
export interface Attended {
  /** [batch, heads, queries, width] */
  readonly q: Value;
  /** [batch, heads, keys, width]; fewer heads serve a group of query heads each. */
  readonly k: Value;
  readonly v: Value;
  readonly heads: number;
  readonly groups: number;
  /** 0: one over the root of the width. */
  readonly scale: number;
  /** 0: none; else scores s become cap tanh(s / cap) before they are masked. */
  readonly softcap: number;
  /** What becomes of the scores [batch, heads, queries, keys] before the softmax. */
  readonly mask: (scores: Value) => Value;
}

export interface Attention {
  /** [batch, heads, queries, width of the values] */
  readonly y: Value;
  /** The scores as they were scaled, capped and masked, and the softmax of them. */
  readonly stages: readonly [scaled: Value, capped: Value, masked: Value, weights: Value];
}

/** softmax(mask(softcap(scale Q K^T))) V. Key heads are not repeated: the query heads of a group are rows of one matrix. */
export function attend(f: Formula, { q, k, v, heads, groups, scale, softcap, mask }: Attended): Attention {
  const each = (value: Value, count: number): Value =>
    heads === groups ? value : f.reshape(value, new SizeMath(f).concat([0, count, -1], new SizeMath(f).of(value, -1)));
  const products = each(f.matmul(each(q, groups), f.transpose(k, [0, 1, 3, 2])), heads);
  const scaled = f.mul(products, scaleOf(f, q, scale));
  const capped = softcap === 0 ? scaled : f.mul(f.tanh(f.div(scaled, softcap)), softcap);
  const masked = mask(capped);
  const weights = f.emit("Softmax", [masked], { attributes: [attribute.int("axis", -1)] });
  return { y: each(f.matmul(each(weights, groups), v), heads), stages: [scaled, capped, masked, weights] };
}

function scaleOf(f: Formula, q: Value, given: number): Operand {
  if (given !== 0) return given;
  const width = dimsOf(q)?.at(-1) ?? null;
  return width === null ? f.div(1, f.sqrt(f.cast(f.reshape(f.dim(q, -1), []), f.dtype))) : 1 / Math.sqrt(width);
}

/** What is added to, or stands for, scores that do not count. */
export const lowest = (f: Formula): number => (f.dtype === DataType.float16 ? -65504 : -1e30);

/** [batch, length, heads times width] to [batch, heads, length, width]. @param heads -1: as many as there are of `width` */
export const cutHeads = (f: Formula, value: Value, heads: number, width = -1): Value =>
  f.transpose(f.reshape(value, [0, 0, heads, width]), [0, 2, 1, 3]);

export const joinHeads = (f: Formula, value: Value): Value => {
  const [, heads = null, , width = null] = dimsOf(value) ?? [];
  const joined = heads === null || width === null ? -1 : heads * width;
  return f.reshape(f.transpose(value, [0, 2, 1, 3]), [0, 0, joined]);
};

/** The places along an axis, an int64 vector. */
export const placesAlong = (f: Formula, value: Value, axis: number): Value =>
  f.range(f.reshape(f.dim(value, axis), []));

/**
 * Which keys come no later than a query: booleans [queries, keys], or with a leading axis where `from` has one.
 * @param from the place of the first query among the keys: int64, a number or shaped so that it can be added to [queries, 1]
 */
export function isPast(f: Formula, scores: Value, from: Operand, window: number | null = null): Value {
  const int = f.typed(DataType.int64);
  const queries = int.unsqueeze(placesAlong(f, scores, 2), [1]);
  const keys = placesAlong(f, scores, 3);
  const at = from === 0 ? queries : int.add(queries, from);
  const past = f.not(int.greater(keys, at));
  return window === null ? past : f.and(past, f.not(int.greater(int.sub(at, keys), window)));
}
