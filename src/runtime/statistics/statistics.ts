import { requireOption } from "../../errors.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";
import {
  type AlphaOptions,
  type GradientHistograms,
  type GradientStatistics,
  gradientStatistics,
} from "./gradient-statistics.ts";

export interface StatisticsOptions extends AlphaOptions {
  /** Steps from one to the next; the first step has some, too. */
  readonly every: number;
}

/** Of the gradients of one update. */
export interface StepStatistics {
  /** Euclidean norm of all gradients together. */
  readonly gradientNorm: number;
  readonly parameters: readonly (GradientStatistics & GradientHistograms)[];
  /** What making them took, the gradients included. */
  readonly seconds: number;
}

/** Which steps have statistics, and of what. */
export class Statistics {
  readonly #options: StatisticsOptions;

  /** @throws UsageError `E_OPTION` */
  constructor(options: StatisticsOptions) {
    const { every, strength = 1, scope = "tensor" } = options;
    requireOption(Number.isSafeInteger(every) && every >= 1, "statistics.every", "a whole number from 1 on");
    requireOption(Number.isFinite(strength) && strength >= 0, "statistics.strength", "a number from 0 on");
    requireOption(["tensor", "channel", "global"].includes(scope), "statistics.scope", "tensor, channel or global");
    this.#options = options;
  }

  /** @param step counted from 1 */
  isDue(step: number): boolean {
    return step === 1 || step % this.#options.every === 0;
  }

  /** How many steps can be done after `done` ones until one that is due comes, which must be the first of its call. */
  untilNext(done: number): number {
    const { every } = this.#options;
    return (Math.floor((done + 1) / every) + 1) * every - done - 1;
  }

  /** @param began when making the gradients began, by `performance.now()` */
  of(gradients: NamedTensors, began = performance.now()): StepStatistics {
    const parameters = gradientStatistics(gradients, this.#options);
    const squares = parameters.reduce((sum, { norm }) => sum + norm ** 2, 0);
    return { gradientNorm: Math.sqrt(squares), parameters, seconds: (performance.now() - began) / 1000 };
  }
}

/**
 * The statistics of a training.
 * @param isApart whether ranks train apart
 * @throws UsageError `E_OPTION`
 */
export function statisticsFor(options: StatisticsOptions, { can }: TrainingSession, isApart: boolean): Statistics {
  requireOption(!isApart, "statistics", "left out where ranks train apart (localSteps)");
  requireOption(
    can.getGradients,
    "statistics",
    "left out: this session gives out no gradients (it is of ort-training, or of a whole train step)",
  );
  return new Statistics(options);
}
