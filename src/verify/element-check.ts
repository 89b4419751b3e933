import type { LossProbe } from "./loss-probe.ts";
import { randomValues } from "./random-inputs.ts";

/** The element of one parameter in which the two differ most. */
export interface CheckedParameter {
  readonly parameter: string;
  /** Difference relative to the largest entry of the parameter's gradient, or of all gradients times 1e-4 where that is larger. */
  readonly difference: number;
  /** What `difference` may be: the check's tolerance, what rounding of the loss makes of this step, and what half the step changes. */
  readonly tolerance: number;
  readonly element: number;
  readonly analytic: number;
  readonly numeric: number;
}

/** Step of the central differences relative to the element's size, and what they are good for. */
export const PRECISIONS = {
  float64: { step: 1e-5, tolerance: 1e-5, epsilon: 2 ** -52 },
  float32: { step: 1e-2, tolerance: 5e-2, epsilon: 2 ** -23 },
} as const;

export type Precision = (typeof PRECISIONS)[keyof typeof PRECISIONS];

/** So much smaller a step is that the loss itself hardly changes over it. */
const STILL = 1024;

/** What gradients are relative to where all of them are zero: so little that any slope that is none is far off. */
const LEAST = 1e-200;

/** How much smaller the next step is where one was too large. */
const FINER = 8;

/** A parameter with the elements that are to be compared. */
export interface Compared {
  readonly parameter: string;
  readonly gradient: Float64Array;
  /** What differences are relative to. */
  readonly scale: number;
  readonly elements: readonly number[];
}

/** What is to be compared of each parameter, in the order of the gradients. */
export function comparisons(
  gradients: ReadonlyMap<string, Float64Array>,
  samples: number,
  seed: number,
): readonly Compared[] {
  const overall = [...gradients.values()].map(largestOf).reduce((most, each) => Math.max(most, each), LEAST);
  return [...gradients].map(([parameter, gradient], index) => ({
    parameter,
    gradient,
    scale: Math.max(largestOf(gradient), 1e-4 * overall),
    elements: elementsOf(gradient, samples, seed + index),
  }));
}

/** Compares one element of a gradient with central differences. */
export async function compareElement(
  probe: LossProbe,
  { parameter, gradient, scale }: Compared,
  element: number,
  { step, tolerance: smooth, epsilon }: Precision,
): Promise<CheckedParameter> {
  const analytic = gradient[element] ?? Number.NaN;
  /** Two losses, each off by a rounding or so, over two half steps. */
  const rounding = (delta: number): number => (2 * epsilon * Math.abs(probe.loss)) / delta / scale;
  const check = async (delta: number): Promise<CheckedParameter> => {
    const numeric = await probe.slope(parameter, element, delta / 2);
    const difference = Math.abs(numeric - analytic) / scale;
    const tolerance = smooth + rounding(delta);
    const near = { parameter, difference, tolerance, element, analytic, numeric };
    if (excess(near) <= 1) return near;
    /** What a smaller step still changes: curvature, and kinks such as ReLU's within the step. */
    const truncation = Math.abs((await probe.slope(parameter, element, delta)) - numeric) / scale;
    return { ...near, tolerance: tolerance + truncation };
  };
  /** What the loss does over next to no step is rounding on the way to it, which may be far more than its own. */
  const checkWithNoise = async (delta: number): Promise<CheckedParameter> => {
    const found = await check(delta);
    if (excess(found) <= 1) return found;
    const noise = await probe.noise(parameter, element, delta / STILL);
    return { ...found, tolerance: found.tolerance + (2 * noise) / delta / scale };
  };
  let delta = step * Math.max(1e-1, Math.abs(probe.value(parameter, element)));
  let found = await checkWithNoise(delta);
  /**
   * A loss that bends more than a step of this size shows: smaller ones, as long as rounding does not hide what is wrong. What bending alone
   * explains is looked at more closely too; the closer look counts.
   */
  while (found.difference > smooth + rounding(delta) && rounding(delta / FINER) < smooth) {
    delta /= FINER;
    const closer = await checkWithNoise(delta);
    if (excess(found) > 1 || closer.tolerance <= found.tolerance) found = closer;
  }
  return found;
}

/** How far a difference is beyond what it may be; above 1 it is wrong. */
export const excess = ({ difference, tolerance }: CheckedParameter): number => difference / tolerance;

const largestOf = (values: Float64Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The element of the largest gradient, and others by chance. */
function elementsOf(gradient: Float64Array, samples: number, seed: number): readonly number[] {
  const largest = gradient.reduce(
    (best, value, at) => (Math.abs(value) > Math.abs(gradient[best] ?? 0) ? at : best),
    0,
  );
  const others = [...randomValues(samples, seed)].map((value) => Math.floor((Math.abs(value) % 1) * gradient.length));
  return [...new Set([largest, ...others])].slice(0, samples);
}
