import { placesOf } from "../../autodiff/formulas/window.ts";
import { roundedUp } from "./costs.ts";
import type { Transposed, TransposedSum } from "./transposed.ts";

/**
 * Nanoseconds, of two threads of a processor with AVX-512: of a multiply-add, of elements, of nodes. docs/training.md has the layers that they
 * were measured by.
 */
const COSTS = {
  /** As ONNX Runtime takes it: a product for each sample, whose elements one thread adds up. */
  plain: { multiply: 0.0081, product: 0.78, result: 0.16, weight: 0.14, node: 5.7e4 },
  /** In phases. A weight costs once, not once for each sample. */
  phases: { multiply: 0.0065, image: 1.18, result: 0.56, weight: 1.7, convolution: 1.1e4 },
  /** A result of an Add. */
  added: 0.43,
};

/** What is to be gained, as a share: smaller gains are within what the estimate is wrong by. */
const LARGEST_SHARE = 0.85;

/** Samples of a batch that is not known. */
const USUAL_BATCH = 8;

/** Whether transposed convolutions, and their sum, cost less as convolutions of stride 1 in blocks of channels. */
export function phasesCostLess(sum: TransposedSum, block: number): boolean {
  const [{ results, outputs }] = sum;
  const count = placesOf(results) * samplesOf(sum[0]);
  const added = (sum.length - 1) * COSTS.added * count * outputs;
  const made = COSTS.phases.result * count * roundedUp(outputs, block);
  return made + total(sum, (term) => inPhases(term, block)) <= LARGEST_SHARE * (added + total(sum, asItIs));
}

const total = (sum: TransposedSum, costOf: (term: Transposed) => number): number =>
  sum.reduce((cost, term) => cost + costOf(term), 0);

function asItIs(term: Transposed): number {
  const { multiply, product, result, weight, node } = COSTS.plain;
  const { channels, outputs, kernel, pixels, results } = term;
  const products = outputs * placesOf(kernel) * placesOf(pixels);
  const weights = channels * outputs * placesOf(kernel);
  const perSample = (multiply * channels + product) * products + result * outputs * placesOf(results);
  return samplesOf(term) * (perSample + weight * weights) + node;
}

function inPhases(term: Transposed, block: number): number {
  const { multiply, image, weight, convolution } = COSTS.phases;
  const { channels, outputs, kernel, pixels, axes } = term;
  const made = roundedUp(outputs, block) * placesOf(kernel);
  const met = axes.map(({ all }) => all.filter((phase) => phase !== null).length);
  const perSample = (multiply * made + image) * channels * placesOf(pixels);
  return samplesOf(term) * perSample + weight * roundedUp(channels, block) * made + convolution * placesOf(met);
}

function samplesOf({ shape: [batch] }: Transposed): number {
  return typeof batch === "number" ? batch : USUAL_BATCH;
}
