import { placesOf } from "../../autodiff/formulas/window.ts";
import { roundedUp } from "./costs.ts";
import type { WeightGradient } from "./weight-gradients.ts";

/**
 * What a weight gradient costs, in floating-point operations of a large matrix product: an operation, and an element that changes places. Measured
 * on two threads of a processor with AVX-512; docs/training.md has the convolutions that they were measured by.
 */
const AS_IT_IS = {
  /** An element of the patches that the convolution lays out before its product. */
  patch: 19,
  /** What is transposed before it: an element of the image, and of the gradient, which is read once more for few columns. */
  image: 70,
  gradient: 80,
};

const IN_BLOCKS = {
  /** An operation on kernels that fill several blocks, or only one. */
  operation: 0.8,
  single: 1.1,
  image: 40,
  /** Of channels that fill no blocks, whose transposition stays. */
  mixed: 110,
  gradient: 20,
  /** An element of what samples are added up of. */
  result: 32,
  nodes: 6e6,
};

/** Whether a weight gradient costs less in blocks than as one product. */
export function weightGradientCostsLess(found: WeightGradient, block: number): boolean {
  const { samples, outputs, kernel, results, planes, height, width } = found;
  const [places, made, columns] = [placesOf(kernel), roundedUp(outputs, block), placesOf(results)];
  const operations = 2 * samples * places * columns;
  const pixels = samples * height * width;
  const gradient = samples * places * outputs;
  const plain =
    operations * outputs +
    AS_IT_IS.patch * samples * places * columns +
    AS_IT_IS.image * pixels +
    AS_IT_IS.gradient * gradient;
  const moved =
    (planes === null ? IN_BLOCKS.mixed : IN_BLOCKS.image) * pixels +
    IN_BLOCKS.gradient * gradient +
    IN_BLOCKS.result * samples * made * columns;
  const perOperation = made > block ? IN_BLOCKS.operation : IN_BLOCKS.single;
  return perOperation * operations * made + moved + IN_BLOCKS.nodes < plain;
}
