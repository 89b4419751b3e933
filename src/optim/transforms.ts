import { requireOption } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Formula } from "../ops/formula.ts";
import { axesFrom, rankOf } from "../ops/value-types.ts";
import { asUpdate, type GradientTransform, type Parameter, perParameter, plain, type Step } from "./transform.ts";

const number = (value: number, name: string, rule: string, holds: boolean): number => {
  requireOption(Number.isFinite(value) && holds, name, rule);
  return value;
};

/** A number from 0 on. */
export const nonNegative = (value: number, name: string): number =>
  number(value, name, "a number from 0 on", value >= 0);
/** A number from 0 to below 1. */
export const share = (value: number, name: string): number =>
  number(value, name, "a number from 0 to below 1", value >= 0 && value < 1);

/** 1 - base^count, a scalar: what a mean that began at zero has too little. */
export const correction = ({ f, count }: Step, base: number): Value => f.sub(1, f.pow(base, count));

/** old * base + (1 - base) * next */
export const mean = ({ f }: Step, old: Value, next: Value, base: number): Value =>
  f.add(f.mul(old, base), f.mul(next, 1 - base));

/** Adds decay * w to the gradient: L2 regularization, which goes through all that follows. */
export function addCoupledDecay(decay: number): GradientTransform {
  return perParameter("l2", [], (step) => ({ value, update, weightDecay }) => {
    const own = weightDecay ?? decay;
    const g = plain(step, update);
    return { update: asUpdate(own === 0 ? g : step.f.add(g, step.f.mul(value, own))), slots: [] };
  });
}

/**
 * FedProx's proximal term (Li et al. 2020, arXiv 1812.06127): adds strength / 2 |w - w0|^2 to the loss, with w0 the parameters before
 * the first update, so strength (w - w0) to the gradient.
 */
export function addProximalTerm(strength: number): GradientTransform {
  requireOption(Number.isFinite(strength) && strength > 0, "proximal", "a number above 0");
  return perParameter("proximal", ["anchor"], (step) => {
    const { f, count } = step;
    const isLater = f.greater(count, 1);
    return ({ value, update, slots: [held] }) => {
      const anchor = f.where(isLater, required(held), value);
      const g = plain(step, update);
      return { update: asUpdate(f.add(g, f.mul(f.sub(value, anchor), strength))), slots: [anchor] };
    };
  });
}

/** Takes decay * w from the parameter beside the update (Loshchilov and Hutter 2019, arXiv 1711.05101). */
export function addDecayedWeights(decay: number): GradientTransform {
  nonNegative(decay, "weightDecay");
  return perParameter("decay", [], () => ({ update, weightDecay }) => {
    const own = weightDecay ?? decay;
    return { update: own === 0 ? update : { ...update, decay: own }, slots: [] };
  });
}

/** g * min(1, maxNorm / (norm + 1e-6)) with the Euclidean norm over all parameters (PyTorch's clip_grad_norm_). */
export function clipByGlobalNorm(maxNorm: number): GradientTransform {
  requireOption(Number.isFinite(maxNorm) && maxNorm > 0, "clipNorm", "a number above 0");
  return {
    name: "clip_norm",
    slots: [],
    transform: (step, parameters) => {
      const { f } = step;
      const squares = parameters.map(({ update }) => f.sum(f.square(plain(step, update)), null, false));
      const norm = f.sqrt(squares.length === 1 && squares[0] !== undefined ? squares[0] : f.emit("Sum", squares));
      const factor = f.min(f.div(maxNorm, f.add(norm, 1e-6)), 1);
      return parameters.map(({ update }) => ({ update: asUpdate(f.mul(plain(step, update), factor)), slots: [] }));
    },
  };
}

/** Every element within [-limit, limit]. */
export function clipByValue(limit: number): GradientTransform {
  requireOption(Number.isFinite(limit) && limit > 0, "clipValue", "a number above 0");
  return perParameter("clip_value", [], (step) => ({ update }) => ({
    update: asUpdate(step.f.emit("Clip", [plain(step, update), -limit, limit])),
    slots: [],
  }));
}

/** Every gradient divided by its Euclidean norm, which is taken for 1e-12 at least. */
export function normalize(): GradientTransform {
  return perParameter("normalize", [], (step) => ({ update }) => {
    const { f } = step;
    const g = plain(step, update);
    const norm = f.sqrt(f.sum(f.square(g), null, false));
    return { update: asUpdate(f.div(g, f.max(norm, 1e-12))), slots: [] };
  });
}

/**
 * Adaptive gradient clipping (Brock et al. 2021, arXiv 2102.06171): no unit's gradient is longer than `limit` times its weights,
 * whose norm is taken for 1e-3 at least. A unit is what feeds one output, along the first axis; a vector is one unit.
 */
export function clipAdaptively(limit: number): GradientTransform {
  requireOption(Number.isFinite(limit) && limit > 0, "agc", "a number above 0");
  return perParameter("agc", [], (step) => ({ value, update }) => {
    const { f } = step;
    const rank = rankOf(value) ?? 0;
    const g = plain(step, update);
    const axes = rank < 2 ? null : axesFrom(1, rank);
    const norm = (tensor: Value): Value => f.sqrt(f.sum(f.square(tensor), axes, rank >= 2));
    const most = f.mul(f.max(norm(value), 1e-3), limit);
    const own = norm(g);
    const clipped = f.mul(g, f.div(most, f.max(own, 1e-6)));
    return { update: asUpdate(f.where(f.greater(own, most), clipped, g)), slots: [] };
  });
}

/**
 * Cautious updates (Liang et al. 2024, arXiv 2411.16085, as the authors' code has them): what points against the gradient is left
 * out, and the rest scaled by the share that is left, 1e-3 at least.
 */
export function maskCautiously(): GradientTransform {
  return perParameter("cautious", [], (step) => ({ update, gradient }) => {
    const { f } = step;
    const { mask, scale } = cautiousMask(f, f.greater(f.mul(update.tensor, gradient), 0));
    const factor = update.factor === null ? scale : f.mul(update.factor, scale);
    return { update: { ...update, tensor: f.mul(update.tensor, mask), factor }, slots: [] };
  });
}

/** Ones where an update is kept, and what they are scaled by. @param kept truth values */
export function cautiousMask(f: Formula, kept: Value): { readonly mask: Value; readonly scale: Value } {
  const mask = f.cast(kept, f.dtype);
  return { mask, scale: f.div(1, f.max(f.mean(mask, null, false), 1e-3)) };
}

/**
 * Gradient centralization (arXiv 2004.01461): takes the mean over all axes but the first from the gradients of weights of two
 * or more axes.
 */
export function centralize(): GradientTransform {
  return perParameter("centralize", [], (step) => ({ value, update }) => {
    const rank = rankOf(value) ?? 0;
    const g = plain(step, update);
    return { update: asUpdate(rank < 2 ? g : step.f.sub(g, step.f.mean(g, axesFrom(1, rank)))), slots: [] };
  });
}

/**
 * The sum of past gradients (PyTorch's SGD): b' = momentum b + g; the update is b', or g + momentum b' with Nesterov.
 */
export function trace(momentum: number, nesterov: boolean): GradientTransform {
  share(momentum, "momentum");
  return perParameter("sgd", ["momentum0"], (step) => ({ update, slots: [held] }) => {
    const { f } = step;
    const g = plain(step, update);
    const next = f.add(f.mul(required(held), momentum), g);
    return { update: asUpdate(nesterov ? f.add(g, f.mul(next, momentum)) : next), slots: [next] };
  });
}

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Whether epsilon is added before the bias of the second moment is corrected, as Hugging Face transformers had it. */
  readonly epsilonFirst: boolean;
}

/**
 * m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2;  the update is m' / c1 / (sqrt(v' / c2) + eps) with c = 1 -
 * beta^t (Kingma and Ba 2015, arXiv 1412.6980). Written as sqrt(c2) / c1 * m' / (sqrt(v') + eps sqrt(c2)), two passes less.
 */
export function scaleByAdam(name: string, { beta1, beta2, epsilon, epsilonFirst }: AdamOptions): GradientTransform {
  share(beta1, "beta1");
  share(beta2, "beta2");
  return perParameter(name, ["momentum0", "momentum1"], (step) => {
    const { f } = step;
    const root = f.sqrt(correction(step, beta2));
    const factor = f.div(root, correction(step, beta1));
    const floor = epsilonFirst ? f.number(epsilon) : f.mul(root, epsilon);
    return ({ update, slots: [m, v] }) => {
      const g = plain(step, update);
      const [first, second] = [mean(step, required(m), g, beta1), mean(step, required(v), f.square(g), beta2)];
      return { update: asUpdate(f.div(first, f.add(f.sqrt(second), floor)), factor), slots: [first, second] };
    };
  });
}

/**
 * Adan (Xie et al. 2022, arXiv 2208.06677, algorithm 1 as the authors' code has it), with d = g - g_previous, 0 in the first
 * step: m' = b1 m + (1 - b1) g;  u' = b2 u + (1 - b2) d;  n' = b3 n + (1 - b3) (g + b2 d)^2; the update is
 * (m' / c1 + b2 u' / c2) / (sqrt(n') / sqrt(c3) + eps).
 */
export function scaleByAdan(betas: readonly [number, number, number], epsilon: number): GradientTransform {
  for (const beta of betas) share(beta, "betas");
  const [b1, b2, b3] = betas;
  return perParameter("adan", ["exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_gradient"], (step) => {
    const { f, count } = step;
    const isLater = f.cast(f.greater(count, 1), f.dtype);
    const root = f.sqrt(correction(step, b3));
    const [ofMean, ofDifference] = [f.div(1, correction(step, b1)), f.div(b2, correction(step, b2))];
    const [newDifference, look] = [f.mul(isLater, 1 - b2), f.mul(isLater, b2)];
    const floor = f.mul(root, epsilon);
    return ({ update, slots: [m, u, n, previous] }) => {
      const g = plain(step, update);
      const d = f.sub(g, required(previous));
      const first = mean(step, required(m), g, b1);
      const difference = f.add(f.mul(required(u), b2), f.mul(d, newDifference));
      const second = mean(step, required(n), f.square(f.add(g, f.mul(d, look))), b3);
      const direction = f.add(f.mul(first, ofMean), f.mul(difference, ofDifference));
      return {
        update: asUpdate(f.div(direction, f.add(f.sqrt(second), floor)), root),
        slots: [first, difference, second, g],
      };
    };
  });
}

/** s' = s + g^2; the update is g / (sqrt(s') + eps) / (1 + (t - 1) rateDecay) (Duchi et al. 2011, as PyTorch has it). */
export function scaleByAdagrad(epsilon: number, rateDecay: number): GradientTransform {
  return perParameter("adagrad", ["sum"], (step) => {
    const { f, count } = step;
    const factor = rateDecay === 0 ? null : f.div(1, f.add(f.mul(f.sub(count, 1), rateDecay), 1));
    return ({ update, slots: [held] }) => {
      const g = plain(step, update);
      const sum = f.add(required(held), f.square(g));
      return { update: asUpdate(f.div(g, f.add(f.sqrt(sum), epsilon)), factor), slots: [sum] };
    };
  });
}

/** s' = alpha s + (1 - alpha) g^2; the update is g / (sqrt(s') + eps) (Hinton's lecture 6e, as PyTorch has it). */
export function scaleByRms(alpha: number, epsilon: number): GradientTransform {
  share(alpha, "alpha");
  return perParameter("rmsprop", ["square_avg"], (step) => ({ update, slots: [held] }) => {
    const { f } = step;
    const g = plain(step, update);
    const average = mean(step, required(held), f.square(g), alpha);
    return { update: asUpdate(f.div(g, f.add(f.sqrt(average), epsilon))), slots: [average] };
  });
}

/**
 * Lion (Chen et al. 2023, arXiv 2302.06675): the update is the sign of beta1 m + (1 - beta1) g; m' = beta2 m + (1 - beta2) g.
 */
export function scaleByLion(beta1: number, beta2: number): GradientTransform {
  share(beta1, "beta1");
  share(beta2, "beta2");
  return perParameter("lion", ["momentum0"], (step) => ({ update, slots: [held] }) => {
    const m = required(held);
    const g = plain(step, update);
    const direction = step.f.emit("Sign", [mean(step, m, g, beta1)]);
    return { update: asUpdate(direction), slots: [mean(step, m, g, beta2)] };
  });
}

/**
 * The layerwise trust ratio of LAMB (You et al. 2020, arXiv 1904.00962): the update u = r + decay w, scaled by |w| / |u|, or by 1
 * where either is 0.
 */
export function scaleByTrustRatio(decay: number): GradientTransform {
  return perParameter("trust", [], (step) => ({ value, update, weightDecay }: Parameter) => {
    const { f } = step;
    const own = weightDecay ?? decay;
    const r = plain(step, update);
    const u = own === 0 ? r : f.add(r, f.mul(value, own));
    const norm = (tensor: Value): Value => f.sqrt(f.sum(f.square(tensor), null, false));
    const [ofValue, ofUpdate] = [norm(value), norm(u)];
    const isBoth = f.and(f.greater(ofValue, 0), f.greater(ofUpdate, 0));
    const ratio = f.where(isBoth, f.div(ofValue, f.where(isBoth, ofUpdate, 1)), 1);
    return { update: asUpdate(u, ratio), slots: [] };
  });
}

function required(slot: Value | undefined): Value {
  if (slot === undefined) throw new RangeError("a transform was given fewer slots than it has");
  return slot;
}
