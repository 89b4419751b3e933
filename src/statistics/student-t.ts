import { NUMBER, requireArgument } from "../arguments.ts";
import { requireOption } from "../errors.ts";

/** Coefficients of Lanczos' approximation with g = 7: relative errors of some 1e-15. */
const LANCZOS_FIRST = 0.9999999999998099;
const LANCZOS: readonly number[] = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln Gamma(x), x > 0. */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const series = LANCZOS.reduce((sum, coefficient, index) => sum + coefficient / (x + index), LANCZOS_FIRST);
  const shifted = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(shifted) - shifted + Math.log(series);
}

/** Terms after which the continued fraction has converged for any arguments that occur here. */
const MOST_TERMS = 10_000;
const TINY = 1e-300;

/** The regularized incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  return front / fraction(x, a, b);
}

/** 1 + d1/(1 + d2/(1 + ...)), from the front (Lentz). */
function fraction(x: number, a: number, b: number): number {
  let [value, c, d] = [1, 1, 0];
  for (let term = 1; term <= MOST_TERMS; term++) {
    const m = Math.floor(term / 2);
    const numerator =
      term % 2 === 0
        ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
        : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + numerator * d);
    c = nonZero(1 + numerator / c);
    value *= c * d;
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return value;
}

const nonZero = (value: number): number => (Math.abs(value) < TINY ? TINY : value);

/**
 * The probability that Student's t is `t` or less.
 * @param degrees of freedom, above 0
 * @throws UsageError `E_ARGUMENT`, `E_OPTION`
 */
export function tProbability(t: number, degrees: number): number {
  requireArgument("t", t, NUMBER);
  requireArgument("degrees", degrees, NUMBER);
  requireOption(degrees > 0, "degrees", "above 0");
  const tail = incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
  return t > 0 ? 1 - tail : tail;
}

/**
 * What Student's t is below with this probability.
 * @param probability between 0 and 1
 * @param degrees of freedom, above 0
 * @throws UsageError `E_ARGUMENT`, `E_OPTION`
 */
export function tQuantile(probability: number, degrees: number): number {
  requireArgument("probability", probability, NUMBER);
  requireArgument("degrees", degrees, NUMBER);
  requireOption(probability > 0 && probability < 1, "probability", "between 0 and 1");
  requireOption(degrees > 0, "degrees", "above 0");
  if (probability > 0.5) return -tQuantile(1 - probability, degrees);
  if (probability === 0.5) return 0;
  let [low, high] = [-1, 0];
  while (tProbability(low, degrees) > probability) low *= 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return middle;
    if (tProbability(middle, degrees) < probability) low = middle;
    else high = middle;
  }
}
