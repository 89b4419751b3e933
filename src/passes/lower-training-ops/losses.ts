import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.1";

interface Labels {
  readonly label: Value;
  /** Per class. */
  readonly weight: Value | null;
  /** Labels with this value count for nothing: a number, or an int64 scalar of the graph. */
  readonly ignored: number | Value | null;
}

/** The label as int64, 0 in place of ignored ones, and the weight of each sample: that of its class, 0 where ignored. */
function sampleWeights(
  f: Formula,
  { label, weight, ignored }: Labels,
): { readonly safe: Value; readonly weights: Value } {
  const int = f.typed(DataType.int64);
  const labels = int.cast(label, DataType.int64);
  if (ignored === null) {
    const weights = weight === null ? f.expand(f.number(1), f.shape(labels)) : f.gather(weight, labels, 0);
    return { safe: labels, weights };
  }
  const valid = f.not(int.equal(labels, ignored));
  const safe = int.where(valid, labels, 0);
  return { safe, weights: f.where(valid, weight === null ? 1 : f.gather(weight, safe, 0), 0) };
}

function oneHot(f: Formula, label: Value, logProb: Value, axis: number): Value {
  const values = f.concat([f.reshape(f.number(0), [1]), f.reshape(f.number(1), [1])], 0);
  return f.emit("OneHot", [label, f.dim(logProb, axis), values], { attributes: [attribute.int("axis", axis)] });
}

const REDUCTIONS: Readonly<Record<string, (f: Formula, dY: Value, weights: Value) => Value>> = {
  none: (f, dY, weights) => f.mul(weights, dY),
  sum: (f, dY, weights) => f.mul(weights, f.reshape(dY, [])),
  mean: (f, dY, weights) => {
    const total = f.sum(weights, null, false);
    const isNone = f.equal(total, 0);
    return f.mul(weights, f.where(isNone, 0, f.div(f.reshape(dY, []), f.where(isNone, 1, total))));
  },
};

/** d = (exp(log_prob) - onehot(label)) * s, with s_i = w_i dY / sum(w) for the mean */
function crossEntropyGrad(f: Formula, call: Call, logProb: Value, labels: Labels): Value {
  const reduction = call.string("reduction");
  const scale = Object.hasOwn(REDUCTIONS, reduction) ? REDUCTIONS[reduction] : undefined;
  if (scale === undefined) throw call.refuse(`the reduction "${reduction}" is not known`);
  const { safe, weights } = sampleWeights(f, labels);
  const difference = f.sub(f.exp(logProb), oneHot(f, safe, logProb, 1));
  return f.mul(difference, f.unsqueeze(scale(f, call.input(0), weights), [1]));
}

/** 1 / rows for the mean, 1 for the sum: the older losses have their classes in the last axis. */
function perRow(f: Formula, call: Call, rows: Value): Value {
  return call.string("reduction") === "mean" ? f.div(1, f.cast(rows, f.dtype)) : f.number(1);
}

const rowsOf = (f: Formula, like: Value): Value =>
  f.emit("ReduceProd", [f.shape(like, 0, -1)], {
    attributes: [attribute.int("keepdims", 0)],
  });

const logSoftmax = (f: Formula, x: Value, axis: number): Value =>
  f.emit("LogSoftmax", [x], { attributes: [attribute.int("axis", axis)] });

const atLabels = (f: Formula, logProb: Value, labels: Value): Value =>
  f.squeeze(f.gatherElements(logProb, f.unsqueeze(labels, [1]), 1), [1]);

/** Forward of the losses whose `ignore_index` is an input. */
function crossEntropy(f: Formula, call: Call): readonly Value[] {
  const { safe, weights } = sampleWeights(f, {
    label: call.input(1),
    weight: call.optional(2),
    ignored: call.optional(3),
  });
  const logProb = logSoftmax(f, call.input(0), 1);
  const losses = f.neg(f.mul(atLabels(f, logProb, safe), weights));
  const reduction = call.string("reduction");
  if (reduction === "none") return [losses, logProb];
  const sum = f.sum(losses, null, false);
  if (reduction === "sum") return [sum, logProb];
  const total = f.sum(weights, null, false);
  return [f.div(sum, f.where(f.equal(total, 0), 1, total)), logProb];
}

/**
 * ONNX's own loss. ONNX Runtime has it as a function that gives the scores a third axis and takes the softmax along the second, for which it
 * copies all scores twice. Where no label counts the mean is 0 / 0, as in ONNX.
 */
function standardCrossEntropy(f: Formula, call: Call): readonly Value[] {
  const [label, weight] = [call.input(1), call.optional(2)];
  const ignored = call.intOrNull("ignore_index");
  const reduction = call.string("reduction");
  const logProb = logSoftmax(f, call.input(0), 1);
  const isPlain = weight === null && ignored === null;
  const { safe, weights } = isPlain ? { safe: label, weights: null } : sampleWeights(f, { label, weight, ignored });
  const picked = atLabels(f, logProb, safe);
  const losses = f.neg(weights === null ? picked : f.mul(picked, weights));
  if (reduction === "none") return [losses, logProb];
  if (reduction === "sum") return [f.sum(losses, null, false), logProb];
  if (weights === null) return [f.mean(losses, null, false), logProb];
  return [f.div(f.sum(losses, null, false), f.sum(weights, null, false)), logProb];
}

export const LOSSES: readonly Lowering[] = [
  {
    domain: "",
    op: "SoftmaxCrossEntropyLoss",
    source: "ONNX, operators: SoftmaxCrossEntropyLoss",
    lower: standardCrossEntropy,
  },
  {
    op: "SoftmaxCrossEntropyLossGrad",
    source: SOURCE,
    lower: (f, call) => {
      const ignored = call.node.attributes.has("ignore_index") ? call.int("ignore_index") : null;
      return [crossEntropyGrad(f, call, call.input(1), { label: call.input(2), weight: call.optional(3), ignored })];
    },
  },
  { op: "SoftmaxCrossEntropyLossInternal", source: SOURCE, lower: crossEntropy },
  {
    op: "SoftmaxCrossEntropyLossInternalGrad",
    source: SOURCE,
    lower: (f, call) => {
      const labels = { label: call.input(2), weight: call.optional(3), ignored: call.optional(4) };
      const grad = crossEntropyGrad(f, call, call.input(1), labels);
      const bias = call.optional(5);
      return [bias === null ? grad : f.add(grad, bias)];
    },
  },
  {
    op: "SoftmaxCrossEntropy",
    source: SOURCE,
    lower: (f, call) => {
      const logProb = logSoftmax(f, call.input(0), -1);
      const sum = f.neg(f.sum(f.mul(logProb, call.input(1)), null, false));
      return [f.mul(sum, perRow(f, call, rowsOf(f, logProb))), logProb];
    },
  },
  {
    op: "SoftmaxCrossEntropyGrad",
    source: SOURCE,
    lower: (f, call) => {
      const factor = f.mul(f.reshape(call.input(0), []), perRow(f, call, rowsOf(f, call.input(1))));
      return [f.mul(f.sub(f.exp(call.input(1)), call.input(2)), factor)];
    },
  },
  {
    domain: "",
    op: "SparseSoftmaxCrossEntropy",
    source: SOURCE,
    lower: (f, call) => {
      const logProb = logSoftmax(f, call.input(0), -1);
      const label = f.cast(call.input(1), DataType.int64);
      const picked = f.squeeze(f.gatherElements(logProb, f.unsqueeze(label, [-1]), -1), [-1]);
      const weight = call.optional(2);
      const sum = f.neg(f.sum(weight === null ? picked : f.mul(picked, weight), null, false));
      return [f.mul(sum, sparseFactor(f, call, label, weight)), logProb];
    },
  },
  {
    domain: "",
    op: "SparseSoftmaxCrossEntropyGrad",
    source: SOURCE,
    lower: (f, call) => {
      const label = f.cast(call.input(2), DataType.int64);
      const weight = call.optional(3);
      const factor = f.mul(f.reshape(call.input(0), []), sparseFactor(f, call, label, weight));
      const perSample = weight === null ? factor : f.unsqueeze(f.mul(weight, factor), [-1]);
      const difference = f.sub(f.exp(call.input(1)), oneHot(f, label, call.input(1), -1));
      return [f.mul(difference, perSample)];
    },
  },
];

/** 1 / rows, or with a weight per sample 1 / sum(w), for the mean; 1 for the sum. */
function sparseFactor(f: Formula, call: Call, label: Value, weight: Value | null): Value {
  if (weight === null || call.string("reduction") !== "mean") return perRow(f, call, f.size(label));
  return f.div(1, f.sum(weight, null, false));
}
