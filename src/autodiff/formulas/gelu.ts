import type { Node, Value } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import type { Formula } from "../../ops/formula.ts";

/** Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv 1606.08415. */

/** sqrt(2 / pi) and the cubic's factor in the tanh approximation. */
const OUTER = Math.sqrt(2 / Math.PI);
const INNER = 0.044715;

const normalCdf = (f: Formula, x: Value): Value => f.mul(f.add(f.erf(f.mul(x, Math.SQRT1_2)), 1), 0.5);

/** x Phi(x) */
export const gelu = (f: Formula, x: Value): Value => f.mul(x, normalCdf(f, x));

/** d/dx x Phi(x) = Phi(x) + x phi(x), and x phi(x) = z / sqrt(pi) exp(-z^2) with z = x / sqrt(2). */
export function geluDerivative(f: Formula, x: Value): Value {
  const z = f.mul(x, Math.SQRT1_2);
  return f.add(f.mul(f.add(f.erf(z), 1), 0.5), f.mul(z, bell(f, z, 0.5)));
}

/** scale erf'(z) = scale 2 / sqrt(pi) exp(-z^2), with the factor in the exponent, where it takes no pass of its own. */
export const bell = (f: Formula, z: Value, scale: number): Value =>
  f.exp(f.sub(Math.log((scale * 2) / Math.sqrt(Math.PI)), f.square(z)));

/** A factor scale (erf(z) + offset) beside what is x up to a number, where z is x up to a number: y = x Phi(x), however it is written. */
export interface ErfGate {
  readonly z: Value;
  readonly scale: number;
}

/** @param isConstant whether a number of the graph stays as it is */
export function erfGate(gate: Value, other: Value, isConstant: (value: Value) => boolean): ErfGate | null {
  const { of: sum, by: scale } = unscaled(gate, isConstant);
  if (!(scale > 0) || !isNode(sum, "Add")) return null;
  for (const [index, input] of sum.producer.inputs.entries()) {
    const offset = sum.producer.inputs[1 - index];
    if (!input || !offset || !isNode(input, "Erf") || numberOf(offset, isConstant) === null) continue;
    const z = input.producer.inputs[0];
    if (z && unscaled(z, isConstant).of === unscaled(other, isConstant).of) return { z, scale };
  }
  return null;
}

/** What a value is a number's multiple of, and that number. */
function unscaled(value: Value, isConstant: (value: Value) => boolean): { readonly of: Value; readonly by: number } {
  const isQuotient = isNode(value, "Div");
  if (!isQuotient && !isNode(value, "Mul")) return { of: value, by: 1 };
  const [first, second] = value.producer.inputs;
  if (!first || !second) return { of: value, by: 1 };
  const factors = isQuotient
    ? [[first, second]]
    : [
        [first, second],
        [second, first],
      ];
  for (const [scaled, factor] of factors) {
    const number = factor === undefined ? null : numberOf(factor, isConstant);
    if (scaled === undefined || number === null) continue;
    const { of, by } = unscaled(scaled, isConstant);
    return { of, by: isQuotient ? by / number : by * number };
  }
  return { of: value, by: 1 };
}

/** A number without axes that the graph holds. */
function numberOf(value: Value, isConstant: (value: Value) => boolean): number | null {
  const tensor = isConstant(value) ? constantOf(value) : null;
  return tensor?.dims.length === 0 ? Number(tensor.values()[0]) : null;
}

const isNode = (value: Value, op: string): value is Value & { readonly producer: Node } =>
  value.producer?.opType === op && value.producer.domain === "";

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
