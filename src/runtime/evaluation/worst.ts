import type { Tensor } from "onnxruntime-common";
import { realsOf } from "../ort-tensor.ts";

/** A sample whose prediction is among the worst. */
export interface WorstPrediction {
  /** Its place in the data, from 0 on. */
  readonly sample: number;
  /** A class, or the target where it is one number; null where there are several targets. */
  readonly label: number | null;
  readonly predicted: number | null;
  /** Of classes by how much the predicted one's score is above the label's; of targets the mean absolute error. */
  readonly by: number;
}

/** Keeps the worst predictions of samples that each have a label of their own. */
export class WorstPredictions {
  readonly #most: number;
  #kept: WorstPrediction[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Those that are wrong, the worst first. */
  get list(): readonly WorstPrediction[] {
    return this.#kept;
  }

  /** @param first place of the first sample of the batch @param ignored a label that the loss ignores */
  addClasses(labels: Tensor, given: Tensor, first: number, ignored: number | null): void {
    const [samples = 0, classes = 0] = given.dims;
    if (labels.data.length !== samples || given.dims.length !== 2) return;
    const scores = realsOf(given);
    const found: WorstPrediction[] = [];
    for (let at = 0; at < samples; at++) {
      const label = Number(labels.data[at]);
      if (label === ignored) continue;
      const own = scores.subarray(at * classes, (at + 1) * classes);
      const predicted = placeOfLargest(own);
      const by = (own[predicted] ?? Number.NaN) - (own[label] ?? Number.NaN);
      if (predicted !== label) found.push({ sample: first + at, label, predicted, by });
    }
    this.#keep(found);
  }

  addTargets(targets: Tensor, predictions: Tensor, first: number): void {
    const [samples = 0] = targets.dims;
    const size = targets.data.length / samples;
    const found = Array.from({ length: samples }, (_, at): WorstPrediction => {
      let error = 0;
      for (let of = at * size; of < (at + 1) * size; of++)
        error += Math.abs(Number(predictions.data[of]) - Number(targets.data[of]));
      const one = (values: Tensor["data"]): number | null => (size === 1 ? Number(values[at]) : null);
      return { sample: first + at, label: one(targets.data), predicted: one(predictions.data), by: error / size };
    });
    this.#keep(found);
  }

  #keep(found: readonly WorstPrediction[]): void {
    this.#kept = [...this.#kept, ...found].sort((a, b) => b.by - a.by || a.sample - b.sample).slice(0, this.#most);
  }
}

function placeOfLargest(scores: Float32Array | Float64Array): number {
  let best = 0;
  for (let at = 1; at < scores.length; at++) if ((scores[at] ?? 0) > (scores[best] ?? 0)) best = at;
  return best;
}
