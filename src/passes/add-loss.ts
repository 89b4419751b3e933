import { type Kind, OPTIONS } from "../arguments.ts";
import { PassError, requireOption, UsageError } from "../errors.ts";
import { type Attribute, attribute } from "../graph/attribute.ts";
import { DataType, isGradientType } from "../graph/data-type.ts";
import { type Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { type Dimension, tensorType } from "../graph/value-type.ts";
import { Builder } from "../ops/builder.ts";
import { Formula } from "../ops/formula.ts";
import { lossOutputOf } from "./loss-output.ts";

export const LOSS_KINDS = ["cross-entropy", "mse", "l1", "smooth-l1", "huber", "bce-with-logits", "output"] as const;
export type LossKind = (typeof LOSS_KINDS)[number];

/** Options of what adds a loss. */
export const WITH_LOSS: Kind = {
  what: `an object of options with a loss: { loss: { kind: "cross-entropy" } }, of the kinds ${LOSS_KINDS.join(", ")}`,
  holds: (given) => OPTIONS.holds(given) && OPTIONS.holds((given as { readonly loss?: unknown }).loss),
};

export interface LossOptions {
  /** `output`: a scalar that the model computes itself. */
  readonly kind: LossKind;
  /** Name of the output the loss is computed from. Default: the first that is a floating-point tensor and depends on an input. */
  readonly output?: string;
  /** Default `mean`. A mean of cross-entropy is weighted by the class weights, as PyTorch and ONNX have it. */
  readonly reduction?: "mean" | "sum";
  /** Cross-entropy: the axis of the classes. Default 1, as in ONNX; -1 for language models. */
  readonly classAxis?: number;
  /** Cross-entropy: share of the target that is spread over all classes. Default 0. */
  readonly labelSmoothing?: number;
  /** Cross-entropy: labels of this value do not count. Default: all count. */
  readonly ignoreIndex?: number;
  /** Cross-entropy: a weight per class. */
  readonly classWeights?: readonly number[];
  /** smooth-l1 (beta) and huber (delta): where the square ends. Default 1. */
  readonly threshold?: number;
  /** bce-with-logits: weight of the positive targets. Default 1. */
  readonly positiveWeight?: number;
}

export const LOSS_DEFAULTS = {
  reduction: "mean",
  classAxis: 1,
  labelSmoothing: 0,
  threshold: 1,
  positiveWeight: 1,
} as const;

/** The losses that take an option: with another, it would change nothing. */
export const LOSSES_OF_OPTIONS: Readonly<Record<Exclude<keyof LossOptions, "kind" | "output">, readonly LossKind[]>> = {
  reduction: LOSS_KINDS.filter((kind) => kind !== "output"),
  classAxis: ["cross-entropy"],
  labelSmoothing: ["cross-entropy"],
  ignoreIndex: ["cross-entropy"],
  classWeights: ["cross-entropy"],
  threshold: ["smooth-l1", "huber"],
  positiveWeight: ["bce-with-logits"],
};

type Settings = LossOptions & Required<Pick<LossOptions, keyof typeof LOSS_DEFAULTS>>;

interface Context {
  readonly f: Formula;
  readonly scores: Value;
  /** Makes the graph input the loss is measured against. */
  readonly input: (name: string, dtype: number, shape: readonly Dimension[] | null) => Value;
  readonly settings: Settings;
  readonly refuse: (reason: string) => PassError;
}

/** What each kind of loss is of one element, d = output - target. */
const ELEMENTWISE: Readonly<
  Record<"mse" | "l1" | "smooth-l1" | "huber", (f: Formula, d: Value, threshold: number) => Value>
> = {
  mse: (f, d) => f.square(d),
  l1: (f, d) => f.emit("Abs", [d]),
  /** 0.5 d^2 / beta below beta, |d| - 0.5 beta from there on (PyTorch's SmoothL1Loss). */
  "smooth-l1": (f, d, beta) => {
    const size = f.emit("Abs", [d]);
    const inside = f.mul(f.square(d), 0.5 / beta);
    return f.where(f.emit("Less", [size, f.number(beta)]), inside, f.sub(size, 0.5 * beta));
  },
  /** 0.5 d^2 up to delta, delta (|d| - 0.5 delta) beyond (PyTorch's HuberLoss). */
  huber: (f, d, delta) => {
    const size = f.emit("Abs", [d]);
    const outside = f.mul(f.sub(size, 0.5 * delta), delta);
    return f.where(f.greater(size, delta), outside, f.mul(f.square(d), 0.5));
  },
};

const LOSSES: Readonly<Record<LossKind, (context: Context) => Value>> = {
  "cross-entropy": crossEntropy,
  mse: (context) => difference(context, ELEMENTWISE.mse),
  l1: (context) => difference(context, ELEMENTWISE.l1),
  "smooth-l1": (context) => difference(context, ELEMENTWISE["smooth-l1"]),
  huber: (context) => difference(context, ELEMENTWISE.huber),
  "bce-with-logits": binaryCrossEntropy,
  output: ({ scores, refuse }) => {
    const shape = shapeOf(scores);
    if (shape !== null && shape.length > 0 && shape.some((dim) => dim !== 1)) {
      throw refuse(`has shape [${shape.map((dim) => dim ?? "?").join(",")}], and a loss is one number`);
    }
    return scores;
  },
};

const shapeOf = (value: Value): readonly Dimension[] | null =>
  value.type?.kind === "tensor" ? value.type.shape : null;

function reduced({ f, settings }: Context, each: Value): Value {
  return settings.reduction === "mean" ? f.mean(each, null, false) : f.sum(each, null, false);
}

function difference(context: Context, of: (f: Formula, d: Value, threshold: number) => Value): Value {
  const { f, scores, input, settings } = context;
  const target = input("target", f.dtype, shapeOf(scores));
  return reduced(context, of(f, f.sub(scores, target), settings.threshold));
}

/** (1 - t) x + (1 + (p - 1) t) softplus(-x), which does not overflow (PyTorch's BCEWithLogitsLoss). */
function binaryCrossEntropy(context: Context): Value {
  const { f, scores, input, settings } = context;
  const target = input("target", f.dtype, shapeOf(scores));
  const soft = f.emit("Softplus", [f.neg(scores)]);
  const p = settings.positiveWeight;
  const weighted = p === 1 ? soft : f.mul(soft, f.add(f.mul(target, p - 1), 1));
  return reduced(context, f.add(f.mul(f.sub(1, target), scores), weighted));
}

function crossEntropy(context: Context): Value {
  const { f, settings, refuse } = context;
  const dims = shapeOf(context.scores);
  if (dims === null || dims.length < 2) throw refuse("must have a known rank of 2 or more for cross-entropy");
  const axis = settings.classAxis < 0 ? settings.classAxis + dims.length : settings.classAxis;
  requireOption(axis >= 0 && axis < dims.length, "classAxis", `an axis of the output, which has ${dims.length}`);
  const given = context.input("labels", DataType.int64, dims.toSpliced(axis, 1));
  const isLast = axis === dims.length - 1 && dims.length > 2;
  const int = f.typed(DataType.int64);
  const labels = isLast ? int.reshape(given, [-1]) : given;
  const scores = isLast
    ? f.reshape(context.scores, classesLast(f, context.scores, dims))
    : toAxisOne(f, context.scores, axis, dims.length);
  const { classWeights, ignoreIndex, labelSmoothing, reduction } = settings;
  const weights = classWeights === undefined ? null : weightsOf(f, classWeights, dims[axis] ?? null);
  const attributes: readonly Attribute[] = [
    attribute.string("reduction", reduction),
    ...(ignoreIndex === undefined ? [] : [attribute.int("ignore_index", ignoreIndex)]),
  ];
  const [loss, log] = f.build.emitAll(
    "SoftmaxCrossEntropyLoss",
    [scores, labels, ...(weights === null ? [] : [weights])],
    2,
    {
      attributes,
    },
  );
  if (loss === undefined || log === undefined) throw refuse("has no loss");
  return labelSmoothing === 0 ? loss : smoothed(context, { loss, log, labels, weights });
}

function classesLast(f: Formula, scores: Value, dims: readonly Dimension[]): readonly number[] | Value {
  const classes = dims.at(-1);
  return typeof classes === "number" ? [-1, classes] : f.vector(-1, f.dim(scores, -1));
}

function toAxisOne(f: Formula, scores: Value, axis: number, rank: number): Value {
  const others = Array.from({ length: rank }, (_, at) => at).filter((at) => at !== axis);
  const [first = 0, ...rest] = others;
  return f.transpose(scores, [first, axis, ...rest]);
}

function weightsOf(f: Formula, weights: readonly number[], classes: Dimension): Value {
  if (typeof classes === "number" && classes !== weights.length) {
    throw new UsageError("E_OPTION", `${weights.length} class weights for ${classes} classes`, {
      field: "classWeights",
    });
  }
  const single = f.build.constant(Tensor.floats([weights.length], weights), "class_weights");
  return f.dtype === DataType.float ? single : f.cast(single, f.dtype);
}

/** (1 - e) loss + e / C times the same of all classes (PyTorch's CrossEntropyLoss, label_smoothing). */
function smoothed(
  { f, settings }: Context,
  {
    loss,
    log,
    labels,
    weights,
  }: { readonly loss: Value; readonly log: Value; readonly labels: Value; readonly weights: Value | null },
): Value {
  const { labelSmoothing, ignoreIndex, reduction } = settings;
  const int = f.typed(DataType.int64);
  const perClass = weights === null ? log : f.mul(log, f.reshape(weights, classesFirst(log)));
  const counts = ignoreIndex === undefined ? null : f.not(int.equal(labels, ignoreIndex));
  const each = f.neg(f.sum(perClass, [1], false));
  const kept = counts === null ? each : f.where(counts, each, 0);
  const safe = counts === null ? labels : int.where(counts, labels, 0);
  const ones = weights === null ? f.expand(f.number(1), f.shape(labels)) : f.gather(weights, safe, 0);
  const total = f.sum(counts === null ? ones : f.where(counts, ones, 0), null, false);
  const all = f.sum(kept, null, false);
  const classes = f.cast(f.reshape(f.dim(log, 1), []), f.dtype);
  const share = f.div(f.number(labelSmoothing), classes);
  const smooth = f.mul(reduction === "mean" ? f.div(all, total) : all, share);
  return f.add(f.mul(loss, 1 - labelSmoothing), smooth);
}

/** [1, C, 1, ...] against the scores. */
function classesFirst(log: Value): readonly number[] {
  const rank = shapeOf(log)?.length ?? 2;
  return [1, -1, ...Array.from({ length: Math.max(0, rank - 2) }, () => 1)];
}

/** What a loss was added as. */
export interface AddedLoss {
  readonly loss: Value;
  /** Inputs that were added: `labels` or `target`. */
  readonly inputs: readonly Value[];
}

/**
 * Adds a loss to a forward model, as its first output. What it is measured against is a new input: `labels` (int64) for
 * cross-entropy, else `target`, as ONNX Runtime's artifacts have it.
 * @throws UsageError `E_OUTPUT`, `E_OPTION`; PassError `E_LOSS` for an output that the loss cannot be computed from
 */
export function addLoss(model: Model, options: LossOptions, onEmit?: (node: Node) => void): AddedLoss {
  const settings: Settings = { ...LOSS_DEFAULTS, ...options };
  checkSettings(settings);
  const { graph } = model;
  const scores = lossOutputOf(model, settings.output);
  const type = scores.type?.kind === "tensor" ? scores.type : null;
  const refuse = (reason: string): PassError =>
    new PassError("E_LOSS", `the output "${scores.name}" ${reason}`, {
      field: scores.name,
      hint: `Choose another output or another loss.${
        type?.shape?.length === 0 ? " A loss that the model computes itself is used with --loss output (kind)." : ""
      }`,
    });
  if (type === null || !isGradientType(type.dtype)) throw refuse("is not a floating-point tensor");
  const names = new Names(model);
  const build = new Builder({ prefix: "loss", names, ...(onEmit === undefined ? {} : { onEmit }) });
  const inputs: Value[] = [];
  const input: Context["input"] = (name, dtype, shape) => {
    const value = new Value(names.fresh(name), tensorType(dtype, shape));
    inputs.push(value);
    return value;
  };
  const f = new Formula(build, model.opset, type.dtype);
  const made = LOSSES[settings.kind]({ f, scores, input, settings, refuse });
  graph.append(build.nodes);
  graph.inputs.push(...inputs);
  if (made !== scores) {
    made.name = names.fresh("loss");
    made.type = tensorType(type.dtype, []);
  }
  graph.replaceOutputs([made, ...graph.outputs.filter((output) => output !== made)]);
  return { loss: made, inputs };
}

function checkSettings(settings: Settings): void {
  const { kind, labelSmoothing, threshold, positiveWeight, classAxis, reduction } = settings;
  requireOption(LOSS_KINDS.includes(kind), "loss", `one of ${LOSS_KINDS.join(", ")}`);
  requireOption(reduction === "mean" || reduction === "sum", "reduction", "mean or sum");
  requireOption(labelSmoothing >= 0 && labelSmoothing < 1, "labelSmoothing", "a number from 0 to below 1");
  requireOption(Number.isFinite(threshold) && threshold > 0, "threshold", "a number above 0");
  requireOption(Number.isFinite(positiveWeight) && positiveWeight > 0, "positiveWeight", "a number above 0");
  requireOption(Number.isSafeInteger(classAxis), "classAxis", "a whole number");
  const given = new Map<string, unknown>(Object.entries(settings));
  const defaults = new Map<string, unknown>(Object.entries(LOSS_DEFAULTS));
  for (const [option, kinds] of Object.entries(LOSSES_OF_OPTIONS)) {
    const isTaken = kinds.includes(kind) || given.get(option) === defaults.get(option);
    requireOption(isTaken, option, `left out with the loss ${kind}: it is of ${kinds.join(", ")}`);
  }
}
