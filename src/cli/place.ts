import type { TrainingPlan } from "../entries/run.ts";
import type { StepEvent, TrainPosition } from "../index.ts";

/** Where a training stands in its data, told by its events. */
export class Place {
  readonly #plan: TrainingPlan;
  #epoch: number;
  #lossSum: number;
  #samples: number;
  step: number;

  /** @param from where it goes on; null: at the beginning */
  constructor(plan: TrainingPlan, from: TrainPosition | null) {
    this.#plan = plan;
    this.#epoch = from?.epoch ?? 0;
    this.#lossSum = from?.lossSum ?? 0;
    this.#samples = from?.samples ?? 0;
    this.step = this.#epoch * plan.stepsPerEpoch + Math.ceil((from?.batch ?? 0) / plan.accumulate);
  }

  take({ epoch, step, loss, samples }: StepEvent): void {
    if (epoch !== this.#epoch) [this.#epoch, this.#lossSum, this.#samples] = [epoch, 0, 0];
    this.step = step;
    this.#lossSum += loss * samples;
    this.#samples += samples;
  }

  /** After the last step; after the last one of an epoch the next epoch begins. */
  get position(): TrainPosition {
    const { stepsPerEpoch, accumulate } = this.#plan;
    const steps = this.step - this.#epoch * stepsPerEpoch;
    if (steps === stepsPerEpoch) return this.after(this.#epoch);
    return { epoch: this.#epoch, batch: steps * accumulate, lossSum: this.#lossSum, samples: this.#samples };
  }

  after(epoch: number): TrainPosition {
    return { epoch: epoch + 1, batch: 0, lossSum: 0, samples: 0 };
  }
}
