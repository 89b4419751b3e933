import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { intAttribute } from "../../ops/attributes.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** dX = y (dY - sum(y dY)) */
function softmax(b: Backward): InputGradients {
  const { f, dy } = b;
  const y = b.output(0);
  const weighted = f.mul(y, dy);
  return [f.sub(weighted, f.mul(y, f.sum(weighted, [b.axis("axis", -1)])))];
}

/** dX = dY - exp(y) sum(dY) */
function logSoftmax(b: Backward): InputGradients {
  const { f, dy } = b;
  return [f.sub(dy, f.mul(f.exp(b.output(0)), f.sum(dy, [b.axis("axis", -1)])))];
}

/** Labels, with what is ignored told apart and given a class that exists. */
interface Labels {
  readonly labels: Value;
  /** The share of dY that belongs to each label, shaped like the labels. */
  readonly share: Value;
}

/** Of the losses -w[label] logp[label]: for a mean, divided by the sum of the weights. */
function labelled(b: Backward): Labels {
  const { f } = b;
  const int = f.typed(DataType.int64);
  const given = b.input(1);
  const cast =
    given.type?.kind === "tensor" && given.type.dtype === DataType.int64 ? given : f.cast(given, DataType.int64);
  const ignored = intAttribute(b.node, "ignore_index", null);
  const counts = ignored === null ? null : f.not(int.equal(cast, ignored));
  const labels = counts === null ? cast : int.where(counts, cast, 0);
  const weights = b.optional(2);
  const plain = weights === null ? f.expand(f.number(1), f.shape(labels)) : f.gather(weights, labels, 0);
  const weight = counts === null ? plain : f.where(counts, plain, 0);
  const reduction = b.string("reduction", "mean");
  if (reduction !== "mean") return { labels, share: f.mul(b.dy, weight) };
  const total = f.sum(weight, null, false);
  /** Where every label is ignored nothing flows back, not 0 / 0. */
  const divisor = f.where(f.greater(total, 0), total, 1);
  return { labels, share: f.mul(f.div(b.dy, divisor), weight) };
}

/** dScores = (softmax - onehot) share, class axis 1. */
function softmaxCrossEntropy(b: Backward): InputGradients {
  const { f } = b;
  const log = b.node.outputs[1] ?? f.emit("LogSoftmax", [b.input(0)], { attributes: [attribute.int("axis", 1)] });
  const { labels, share } = labelled(b);
  const shared = f.mul(f.exp(log), f.unsqueeze(share, [1]));
  const ofLoss = placed(b, shared, labels, f.neg(share));
  const ofLog = b.dyOf(1);
  return [ofLog === null ? ofLoss : f.add(ofLoss, f.sub(ofLog, f.mul(f.exp(log), f.sum(ofLog, [1]))))];
}

/** -share at the label's class, 0 elsewhere. */
function negativeLogLikelihood(b: Backward): InputGradients {
  const { f } = b;
  const { labels, share } = labelled(b);
  return [placed(b, f.zeros(f.shape(b.input(0))), labels, f.neg(share))];
}

/** Adds a value to each label's class. */
function placed({ f }: Backward, scores: Value, labels: Value, values: Value): Value {
  const attributes = [attribute.int("axis", 1), attribute.string("reduction", "add")];
  return f.emit("ScatterElements", [scores, f.unsqueeze(labels, [1]), f.unsqueeze(values, [1])], { attributes });
}

/**
 * softmax(scale Q K^T + bias) V of opset 23, in four axes [batch, heads, length, width]; three axes [batch, length, heads
 * times width] are cut into heads first. Key and value heads may be fewer: each serves a group of query heads.
 */
function attention(b: Backward): InputGradients {
  const { f } = b;
  for (const index of [4, 5, 6])
    if (b.optional(index) !== null) throw b.refuse(`it has an input ${index} (past keys, lengths)`);
  if (b.float("softcap", 0) !== 0) throw b.refuse("it has a softcap");
  const isFlat = b.rank(0) === 3;
  const heads = { q: b.int("q_num_heads", 0), kv: b.int("kv_num_heads", 0) };
  const cut = (value: Value, count: number): Value =>
    isFlat ? f.transpose(f.reshape(value, [0, 0, count, -1]), [0, 2, 1, 3]) : value;
  const join = (value: Value): Value => (isFlat ? f.reshape(f.transpose(value, [0, 2, 1, 3]), [0, 0, -1]) : value);
  const [q, keys, values] = [cut(b.input(0), heads.q), cut(b.input(1), heads.kv), cut(b.input(2), heads.kv)];
  const group = groupOf(b, q, keys, isFlat ? heads.q / heads.kv : null);
  const [k, v] = [repeated(b, keys, group), repeated(b, values, group)];
  const last = [0, 1, 3, 2];
  const given = b.float("scale", 0);
  const scale = given !== 0 ? given : f.div(1, f.sqrt(f.cast(f.reshape(f.dim(q, -1), []), f.dtype)));
  const scores = f.mul(f.matmul(q, f.transpose(k, last)), scale);
  const masked = withMask(b, scores, q, k);
  const weights = f.emit("Softmax", [masked], { attributes: [attribute.int("axis", -1)] });
  const dy = cut(b.dy, heads.q);
  const dWeights = f.matmul(dy, f.transpose(v, last));
  const part = f.mul(weights, dWeights);
  const dMasked = f.sub(part, f.mul(weights, f.sum(part, [-1])));
  const dScores = f.mul(dMasked, scale);
  return [
    b.wants(0) ? join(f.matmul(dScores, k)) : null,
    b.wants(1) ? join(summed(b, f.matmul(f.transpose(dScores, last), q), keys, group)) : null,
    b.wants(2) ? join(summed(b, f.matmul(f.transpose(weights, last), dy), values, group)) : null,
    b.wants(3) ? f.sumTo(dMasked, f.shape(b.input(3))) : null,
  ];
}

/** How many query heads a key head serves. */
function groupOf(b: Backward, q: Value, k: Value, known: number | null): number {
  if (known !== null) return known;
  const [queries, keys] = [q, k].map(({ type }) => (type?.kind === "tensor" ? type.shape?.[1] : null));
  if (typeof queries !== "number" || typeof keys !== "number") throw b.refuse("the number of its heads is not known");
  return queries / keys;
}

/** Each key head as often as it serves. */
function repeated({ f }: Backward, value: Value, group: number): Value {
  if (group === 1) return value;
  const shape = f.vector(f.shape(value, 0, 2), group, f.shape(value, 2));
  const wide = f.expand(f.unsqueeze(value, [2]), shape);
  return f.reshape(wide, f.vector(f.dim(value, 0), -1, f.shape(value, 2)));
}

function summed({ f }: Backward, gradient: Value, like: Value, group: number): Value {
  if (group === 1) return gradient;
  const apart = f.reshape(gradient, f.vector(f.shape(like, 0, 2), group, f.shape(like, 2)));
  return f.sum(apart, [2], false);
}

function withMask(b: Backward, scores: Value, q: Value, k: Value): Value {
  const { f } = b;
  const mask = b.optional(3);
  const isBool = mask?.type?.kind === "tensor" && mask.type.dtype === DataType.bool;
  const lowest = -1e30;
  const masked = mask === null ? scores : isBool ? f.where(mask, scores, lowest) : f.add(scores, mask);
  if (b.int("is_causal", 0) === 0) return masked;
  const square = f.expand(f.number(1), f.vector(f.dim(q, 2), f.dim(k, 2)));
  const seen = f.emit("Trilu", [square], { attributes: [attribute.int("upper", 0)] });
  return f.where(f.greater(seen, 0), masked, lowest);
}

export const CLASSIFICATION_RULES: GradientTable = {
  Softmax: { gradient: softmax },
  LogSoftmax: { gradient: logSoftmax },
  SoftmaxCrossEntropyLoss: { gradient: softmaxCrossEntropy },
  NegativeLogLikelihoodLoss: { gradient: negativeLogLikelihood },
  Attention: { gradient: attention },
};
