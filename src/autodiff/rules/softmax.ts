import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { logSoftmaxGradient } from "../formulas/activations.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** dX = y (dY - sum(y dY)) */
function softmax(b: Backward): InputGradients {
  const { f, dy } = b;
  const y = b.output(0);
  const weighted = f.mul(y, dy);
  return [f.sub(weighted, f.mul(y, f.sum(weighted, [b.axis()])))];
}

const logSoftmax = (b: Backward): InputGradients => [logSoftmaxGradient(b.f, b.dy, b.output(0), b.axis())];

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
  const ignored = b.intOrNull("ignore_index");
  const counts = ignored === null ? null : f.not(int.equal(cast, ignored));
  const labels = counts === null ? cast : int.where(counts, cast, 0);
  const weights = b.optional(2);
  const plain = weights === null ? f.expand(f.number(1), f.shape(labels)) : f.gather(weights, labels, 0);
  const weight = counts === null ? plain : f.where(counts, plain, 0);
  const reduction = b.string("reduction");
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

export const CLASSIFICATION_RULES: GradientTable = {
  Softmax: { gradient: softmax },
  LogSoftmax: { gradient: logSoftmax },
  SoftmaxCrossEntropyLoss: { gradient: softmaxCrossEntropy },
  NegativeLogLikelihoodLoss: { gradient: negativeLogLikelihood },
};
