import { NumericError, requireOption } from "../errors.ts";
import type { LossScaling, TrainingSession } from "./session.ts";

/** float16's smallest number of full precision: a scale below it makes gradients vanish that were there without one. */
const LEAST = 2 ** -14;

/** Watches the loss's scale while a session trains. */
export class LossScales {
  readonly #session: TrainingSession;
  #last: LossScaling;

  private constructor(session: TrainingSession, last: LossScaling) {
    this.#session = session;
    this.#last = last;
  }

  /**
   * @param scaling where the training begins
   * @param isApart whether ranks train apart, each of which would find a scale of its own
   * @throws UsageError `E_OPTION`
   */
  static of(session: TrainingSession, scaling: LossScaling, isApart: boolean): LossScales {
    requireOption(
      !isApart,
      "localSteps",
      "left out where the loss's scale is dynamic: an update is skipped by all ranks",
    );
    return new LossScales(session, scaling);
  }

  /** What the updates since the last call made of it. */
  async after(): Promise<{ readonly lossScale: number; readonly skipped: number }> {
    const before = this.#last;
    this.#last = (await this.#session.lossScale()) ?? before;
    const { scale, skipped } = this.#last;
    return { lossScale: scale, skipped: skipped - before.skipped };
  }

  /** Why training cannot go on; null: it can. @param step updates done */
  failure(step: number): NumericError | null {
    const { scale, skipped } = this.#last;
    if (scale >= LEAST) return null;
    return new NumericError(
      "E_NOT_FINITE",
      `gradients are not finite with any scale of the loss: after step ${step} it is ${scale}, and ${skipped} updates were left out`,
      {
        field: "lossScale",
        hint: "Gradients overflow by themselves: look for extreme values in the data, lower the learning rate, or build with --precision bfloat16 or float32.",
      },
    );
  }
}
