import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";

/**
 * The error function to some 1e-16, by the rational approximations of W. J. Cody, Rational Chebyshev approximations for the error function,
 * Mathematics of Computation 23 (1969): erf(x) = x P(x^2) / Q(x^2) near zero, erfc(x) = e^(-x^2) P(x) / Q(x) above.
 */
export function erf(f: Formula, x: Value): Value {
  const size = f.min(f.emit("Abs", [x]), ONE_BEYOND);
  const square = f.square(x);
  const near = f.mul(x, ratio(f, f.min(square, 1), NEAR));
  const far = f.sub(1, f.mul(f.exp(f.neg(f.square(size))), ratio(f, size, FAR)));
  return f.where(f.greater(size, 0.46875), f.mul(f.emit("Sign", [x]), far), near);
}

/** From here on, the function is 1 in float64. */
const ONE_BEYOND = 6;

/** Coefficients of the numerator and denominator, highest power first. */
type Ratio = readonly [numerator: readonly number[], denominator: readonly number[]];

const NEAR: Ratio = [
  [0.18577770618460315, 3.1611237438705655, 113.86415415105016, 377.485237685302, 3209.3775891384694],
  [1, 23.601290952344122, 244.02463793444417, 1282.6165260773723, 2844.236833439171],
];

const FAR: Ratio = [
  [
    ...[2.1531153547440383e-8, 0.5641884969886701, 8.883149794388377, 66.11919063714163],
    ...[298.6351381974001, 881.952221241769, 1712.0476126340707, 2051.0783778260716],
    1230.3393547979972,
  ],
  [
    ...[1, 15.744926110709835, 117.6939508913125, 537.1811018620099, 1621.3895745666903],
    ...[3290.7992357334597, 4362.619090143247, 3439.3676741437216, 1230.3393548037495],
  ],
];

const ratio = (f: Formula, x: Value, [numerator, denominator]: Ratio): Value =>
  f.div(polynomial(f, x, numerator), polynomial(f, x, denominator));

/** By Horner's rule. */
function polynomial(f: Formula, x: Value, [first = 0, second = 0, ...rest]: readonly number[]): Value {
  return rest.reduce((sum, each) => f.add(f.mul(sum, x), each), f.add(f.mul(x, first), second));
}
