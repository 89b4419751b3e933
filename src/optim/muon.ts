import type { Value } from "../graph/graph.ts";
import type { Formula } from "../ops/formula.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { asUpdate, type GradientTransform, perParameter, plain } from "./transform.ts";
import { correction, mean, share } from "./transforms.ts";

export interface MuonOptions {
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Of Adam, for what is no matrix. */
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

const ITERATIONS = 5;
/** Of the odd polynomial that drives singular values towards 1. */
const [A, B, C] = [3.4445, -4.775, 2.0315];

/**
 * Muon (Jordan et al. 2024, as torch.optim.Muon has it): m' = momentum m + (1 - momentum) g; the update of a matrix is m', or with
 * Nesterov (1 - momentum) g + momentum m', made orthogonal by five Newton-Schulz iterations in float32, times
 * sqrt(max(1, rows / columns)). Kernels of convolutions are matrices of one row per output. Vectors get Adam's update.
 */
export function scaleByMuon({ momentum, nesterov, beta1, beta2, epsilon }: MuonOptions): GradientTransform {
  for (const [name, beta] of Object.entries({ momentum, beta1, beta2 })) share(beta, name);
  return perParameter("muon", ["momentum0", "momentum1"], (step) => {
    const { f } = step;
    const root = f.sqrt(correction(step, beta2));
    const factor = f.div(root, correction(step, beta1));
    return ({ value, update, slots: [m, v] }) => {
      const g = plain(step, update);
      const dims = known(dimsOf(value));
      if (m === undefined || v === undefined) throw new RangeError("muon has two slots");
      if (dims === null || dims.length < 2) {
        const [first, second] = [mean(step, m, g, beta1), mean(step, v, f.square(g), beta2)];
        const direction = f.div(first, f.add(f.sqrt(second), f.mul(root, epsilon)));
        return { update: asUpdate(direction, factor), slots: [first, second] };
      }
      const next = mean(step, m, g, momentum);
      const looked = nesterov ? mean(step, next, g, momentum) : next;
      const [rows = 1, ...rest] = dims;
      const columns = rest.reduce((size, dim) => size * dim, 1);
      const matrix = rest.length === 1 ? looked : f.reshape(looked, [rows, columns]);
      const made = orthogonal(f, matrix, rows > columns);
      const shaped = rest.length === 1 ? made : f.reshape(made, dims);
      return { update: asUpdate(shaped, f.number(Math.sqrt(Math.max(1, rows / columns)))), slots: [next] };
    };
  });
}

/** @param isTall whether there are more rows than columns: then the smaller product is that of the columns */
function orthogonal(f: Formula, matrix: Value, isTall: boolean): Value {
  const turned = isTall ? f.transpose(matrix, [1, 0]) : matrix;
  let x = f.div(turned, f.max(f.sqrt(f.sum(f.square(turned), null, false)), 1e-7));
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const square = f.matmul(x, f.transpose(x, [1, 0]));
    const polynomial = f.add(f.mul(square, B), f.mul(f.matmul(square, square), C));
    x = f.add(f.mul(x, A), f.matmul(polynomial, x));
  }
  return isTall ? f.transpose(x, [1, 0]) : x;
}
