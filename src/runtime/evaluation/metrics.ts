import type { Tensor } from "onnxruntime-common";
import { realsOf } from "../ort-tensor.ts";

/** The kind of thing that is predicted, told by the types and shapes of labels and outputs. */
export type Task = "classification" | "regression";

export interface ClassificationMetrics {
  readonly task: "classification";
  /** Share of right predictions: of samples, or of tokens and pixels where each has a label. */
  readonly accuracy: number;
  /** Share whose label is among the five largest scores; null where there are five classes or fewer. */
  readonly top5: number | null;
  /** Mean of the classes' F1 = 2 TP / (2 TP + FP + FN), over the classes that occur or are predicted; null above 1,000 classes. */
  readonly macroF1: number | null;
  /** Counts, by label and prediction; null above 1,000 classes. */
  readonly confusion: readonly (readonly number[])[] | null;
  /** exp of the mean loss of a label, where a sample has several of them, as tokens; null where it has one. */
  readonly perplexity: number | null;
  /** How many labels were judged; those that the loss ignores are none. */
  readonly judged: number;
}

export interface RegressionMetrics {
  readonly task: "regression";
  readonly meanAbsoluteError: number;
  readonly rootMeanSquareError: number;
  /** 1 - (sum of squared errors) / (sum of squares about the targets' mean); null where all targets are the same. */
  readonly r2: number | null;
  /** Of pictures, targets [N,C,H,W] whose numbers lie from 0 to 1: 10 log10(1 / mean square error), in decibels; null of others, and without error. */
  readonly psnr: number | null;
}

export type Metrics = ClassificationMetrics | RegressionMetrics;

/** Metrics that are computed from sums: those of parts of the data are added up. */
export interface MetricSums {
  /** @param loss of the batch: the mean over its labels */
  add(labels: Tensor, predictions: Tensor, loss: number): void;
  /** All sums, in an order that is always the same. */
  sums: readonly number[];
  metrics(): Metrics | null;
}

const MOST_CLASSES = 1000;

/** @param classAxis the axis of the scores that the classes lie along; @param hasMany whether a sample has several labels */
export class ClassificationSums implements MetricSums {
  readonly #classes: number;
  readonly #classAxis: number;
  readonly #ignored: number | null;
  readonly #confusion: Float64Array;
  #right = 0;
  #nearly = 0;
  #judged = 0;
  #losses = 0;
  readonly #hasMany: boolean;

  constructor(classes: number, classAxis: number, ignored: number | null, hasMany = false) {
    this.#hasMany = hasMany;
    this.#classes = classes;
    this.#classAxis = classAxis;
    this.#ignored = ignored;
    this.#confusion = new Float64Array(classes <= MOST_CLASSES ? classes * classes : 0);
  }

  add(labels: Tensor, given: Tensor, loss: number): void {
    const before = this.#judged;
    const scores = realsOf(given);
    const stride = given.dims.slice(this.#classAxis + 1).reduce((size, dim) => size * dim, 1);
    for (let index = 0; index < labels.data.length; index++) {
      const label = Number(labels.data[index]);
      if (label === this.#ignored) continue;
      const first = Math.floor(index / stride) * stride * this.#classes + (index % stride);
      this.#judge(label, (of) => scores[first + of * stride] ?? Number.NaN);
    }
    if (this.#judged > before) this.#losses += loss * (this.#judged - before);
  }

  #judge(label: number, score: (of: number) => number): void {
    const own = score(label);
    let [best, higher] = [0, 0];
    for (let of = 0; of < this.#classes; of++) {
      if (score(of) > score(best)) best = of;
      if (of !== label && score(of) > own) higher++;
    }
    this.#judged++;
    if (best === label) this.#right++;
    if (higher < 5) this.#nearly++;
    const at = label * this.#classes + best;
    if (at < this.#confusion.length) this.#confusion[at] = (this.#confusion[at] ?? 0) + 1;
  }

  get sums(): readonly number[] {
    return [this.#right, this.#nearly, this.#judged, this.#losses, ...this.#confusion];
  }

  set sums([right = 0, nearly = 0, judged = 0, losses = 0, ...confusion]: readonly number[]) {
    [this.#right, this.#nearly, this.#judged, this.#losses] = [right, nearly, judged, losses];
    this.#confusion.set(confusion);
  }

  metrics(): ClassificationMetrics | null {
    if (this.#judged === 0) return null;
    const isCounted = this.#confusion.length > 0;
    const rows = Array.from({ length: isCounted ? this.#classes : 0 }, (_, label) => [
      ...this.#confusion.subarray(label * this.#classes, (label + 1) * this.#classes),
    ]);
    return {
      task: "classification",
      accuracy: this.#right / this.#judged,
      top5: this.#classes > 5 ? this.#nearly / this.#judged : null,
      macroF1: isCounted ? macroF1(rows) : null,
      confusion: isCounted ? rows : null,
      perplexity: this.#hasMany ? Math.exp(this.#losses / this.#judged) : null,
      judged: this.#judged,
    };
  }
}

function macroF1(confusion: readonly (readonly number[])[]): number {
  const scores = confusion.flatMap((row, of) => {
    const labelled = row.reduce((sum, count) => sum + count, 0);
    const predicted = confusion.reduce((sum, each) => sum + (each[of] ?? 0), 0);
    return labelled + predicted === 0 ? [] : [(2 * (row[of] ?? 0)) / (labelled + predicted)];
  });
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

export class RegressionSums implements MetricSums {
  #count = 0;
  #absolute = 0;
  #squared = 0;
  #targets = 0;
  #targetSquares = 0;
  /** Targets that are no part of a picture from 0 to 1. */
  #others = 0;

  add({ data: targets, dims }: Tensor, { data: predictions }: Tensor): void {
    for (let index = 0; index < targets.length; index++) {
      const target = Number(targets[index]);
      const error = Number(predictions[index]) - target;
      this.#count++;
      this.#absolute += Math.abs(error);
      this.#squared += error * error;
      this.#targets += target;
      this.#targetSquares += target * target;
      if (dims.length !== 4 || target < 0 || target > 1) this.#others++;
    }
  }

  get sums(): readonly number[] {
    return [this.#count, this.#absolute, this.#squared, this.#targets, this.#targetSquares, this.#others];
  }

  set sums([count = 0, absolute = 0, squared = 0, targets = 0, targetSquares = 0, others = 0]: readonly number[]) {
    [this.#count, this.#absolute, this.#squared] = [count, absolute, squared];
    [this.#targets, this.#targetSquares, this.#others] = [targets, targetSquares, others];
  }

  metrics(): RegressionMetrics | null {
    if (this.#count === 0) return null;
    const spread = this.#targetSquares - this.#targets ** 2 / this.#count;
    return {
      task: "regression",
      meanAbsoluteError: this.#absolute / this.#count,
      rootMeanSquareError: Math.sqrt(this.#squared / this.#count),
      r2: spread > 0 ? 1 - this.#squared / spread : null,
      psnr: this.#others === 0 && this.#squared > 0 ? 10 * Math.log10(this.#count / this.#squared) : null,
    };
  }
}
