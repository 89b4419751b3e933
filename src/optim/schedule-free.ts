import { asUpdate, type GradientTransform, type Lookahead, perParameter, plain } from "./transform.ts";
import { correction, mean, nonNegative, share } from "./transforms.ts";

export interface ScheduleFreeOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

const NAME = "schedule_free";
const OFFSET = "offset";

/** Gradients are taken at y = (1 - beta1) z + beta1 x. */
export const lookaheadOf = (beta1: number): Lookahead => ({ transform: NAME, slot: OFFSET, share: 1 - beta1 });

/**
 * Schedule-Free AdamW (Defazio et al. 2024, arXiv 2405.15682, algorithm 1), with g the gradient at y = (1 - beta1) z + beta1 x:
 * v' = beta2 v + (1 - beta2) g^2;  z' = z - lr (g / (sqrt(v' / (1 - beta2^t)) + eps) + decay y);  x' = (1 - c) x + c z' with
 * c = lr^2 / (the sum of lr^2 so far). The parameters are x, which is what is evaluated and exported. z is held as the offset o = x - z,
 * which begins at zero as every slot does: with e = o + lr (...) it is x' = x - c e and o' = (1 - c) e.
 */
export function scheduleFree({ beta1, beta2, epsilon, weightDecay }: ScheduleFreeOptions): GradientTransform {
  share(beta1, "beta1");
  share(beta2, "beta2");
  nonNegative(weightDecay, "weightDecay");
  return perParameter(
    NAME,
    ["momentum1", OFFSET, "weight_sum"],
    (step) => {
      const { f } = step;
      const root = f.sqrt(correction(step, beta2));
      const floor = f.mul(root, epsilon);
      return ({ value, update, slots: [v, offset, sum], weightDecay: own, rate }) => {
        if (v === undefined || offset === undefined || sum === undefined || rate === null) {
          throw new RangeError("schedule_free has three slots and a learning rate");
        }
        const g = plain(step, update);
        const lr = rate();
        const second = mean(step, v, f.square(g), beta2);
        const adapted = f.mul(f.div(g, f.add(f.sqrt(second), floor)), f.mul(lr, root));
        const decay = own ?? weightDecay;
        const taken = decay === 0 ? adapted : f.add(adapted, f.mul(value, f.mul(lr, decay)));
        const weight = f.square(lr);
        const weights = f.add(sum, weight);
        const c = f.where(f.greater(weights, 0), f.div(weight, weights), 0);
        const ahead = f.add(offset, taken);
        return { update: asUpdate(ahead, c), slots: [second, f.mul(ahead, f.sub(1, c)), weights] };
      };
    },
    ["weight_sum"],
  );
}
