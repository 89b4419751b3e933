import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";

/** d/dx of y = sigmoid(x) */
export const sigmoidDerivative = (f: Formula, y: Value): Value => f.mul(y, f.sub(1, y));

/** d/dx of y = tanh(x) */
export const tanhDerivative = (f: Formula, y: Value): Value => f.sub(1, f.square(y));

/** x s(a x), with s the sigmoid */
export const swish = (f: Formula, x: Value, alpha: number): Value => f.mul(x, f.sigmoid(f.mul(x, alpha)));

/** d/dx x s(a x) = s (1 + a x (1 - s)) */
export function swishDerivative(f: Formula, x: Value, alpha: number): Value {
  const scaled = f.mul(x, alpha);
  const s = f.sigmoid(scaled);
  return f.mul(s, f.add(f.mul(scaled, f.sub(1, s)), 1));
}

/** dX = dY - exp(y) sum(dY), with y the logarithms of a softmax along `axis` */
export const logSoftmaxGradient = (f: Formula, dY: Value, y: Value, axis: number): Value =>
  f.sub(dY, f.mul(f.exp(y), f.sum(dY, [axis])));
