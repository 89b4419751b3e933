import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";

/** Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv 1606.08415. */

/** 1 / sqrt(2 pi), the height of the standard normal density. */
const NORMAL_HEIGHT = 1 / Math.sqrt(2 * Math.PI);
/** sqrt(2 / pi) and the cubic's factor in the tanh approximation. */
const OUTER = Math.sqrt(2 / Math.PI);
const INNER = 0.044715;

const normalCdf = (f: Formula, x: Value): Value => f.mul(f.add(f.erf(f.mul(x, Math.SQRT1_2)), 1), 0.5);

/** x Phi(x) */
export const gelu = (f: Formula, x: Value): Value => f.mul(x, normalCdf(f, x));

/** d/dx x Phi(x) = Phi(x) + x phi(x) */
export function geluDerivative(f: Formula, x: Value): Value {
  const phi = f.mul(f.exp(f.mul(f.square(x), -0.5)), NORMAL_HEIGHT);
  return f.add(normalCdf(f, x), f.mul(x, phi));
}

/** tanh u, u = sqrt(2/pi) (x + 0.044715 x^3) */
const tanhOfCubic = (f: Formula, x: Value, square: Value): Value =>
  f.tanh(f.mul(f.mul(x, OUTER), f.add(f.mul(square, INNER), 1)));

/** x (1 + tanh u) / 2 */
export const tanhGelu = (f: Formula, x: Value): Value => f.mul(f.mul(x, 0.5), f.add(tanhOfCubic(f, x, f.square(x)), 1));

/** d/dx x (1 + tanh u) / 2 */
export function tanhGeluDerivative(f: Formula, x: Value): Value {
  const square = f.square(x);
  const t = tanhOfCubic(f, x, square);
  const slope = f.mul(f.add(f.mul(square, 3 * INNER), 1), OUTER);
  const curve = f.mul(f.mul(x, f.sub(1, f.square(t))), slope);
  return f.mul(f.add(f.add(t, 1), curve), 0.5);
}
