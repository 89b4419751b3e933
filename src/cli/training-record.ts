import type { EpochEvent, StatisticsEvent, StepEvent, TrainEvent } from "../index.ts";
import type { EpochRow } from "./epoch-table.ts";
import type { ValidationTold } from "./validation.ts";

/** What a training tells as it goes. */
export type Told = TrainEvent | ValidationTold;

/** A point of the course of the loss; of several steps where there are many. */
export interface LossPoint {
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
}

/** Points that a curve on a screen can show. */
const MOST_POINTS = 2000;
/** Statistics of a parameter: more are no more to see, and each has histograms. */
const MOST_STATISTICS = 500;

/** What is kept of a training to tell of it at its end: bounded, however long it runs. */
export class TrainingRecord {
  readonly epochs: EpochRow[] = [];
  /** Each evaluation, at the ends of epochs or between them. */
  readonly evaluations: { readonly step: number; readonly values: Readonly<Record<string, number>> }[] = [];
  #validated: ValidationTold | null = null;
  /** Each the mean of `stride` steps. */
  #points: LossPoint[] = [];
  #stride = 1;
  #open: StepEvent[] = [];
  #statistics: StatisticsEvent[] = [];
  #samples = 0;
  #seconds = 0;
  #last = 0;
  #scaling: { readonly lossScale: number; readonly skipped: number } | null = null;

  /** Where the loss is scaled by a number that the training finds: that number, and how many updates were left out. */
  get scaling(): { readonly lossScale: number; readonly skipped: number } | null {
    return this.#scaling;
  }

  get points(): readonly LossPoint[] {
    return this.#open.length === 0 ? this.#points : [...this.#points, meanOf(this.#open)];
  }

  get statistics(): readonly StatisticsEvent[] {
    return this.#statistics;
  }

  take(event: Told): void {
    if (event.type === "step") this.#step(event);
    else if (event.type === "statistics") this.#keep(event);
    else if (event.type === "epoch") this.#epoch(event);
    else this.#validation(event);
  }

  #step(event: StepEvent): void {
    this.#last = event.step;
    this.#samples += event.samples;
    this.#seconds += event.seconds;
    const { lossScale, skipped = 0 } = event;
    if (lossScale !== undefined) this.#scaling = { lossScale, skipped: (this.#scaling?.skipped ?? 0) + skipped };
    this.#open.push(event);
    if (this.#open.length < this.#stride) return;
    this.#points.push(meanOf(this.#open));
    this.#open = [];
    if (this.#points.length < MOST_POINTS) return;
    this.#points = Array.from({ length: MOST_POINTS / 2 }, (_, at) => meanOf(this.#points.slice(2 * at, 2 * at + 2)));
    this.#stride *= 2;
  }

  #keep(event: StatisticsEvent): void {
    this.#statistics.push(event);
    if (this.#statistics.length >= MOST_STATISTICS)
      this.#statistics = this.#statistics.filter((_, at) => at % 2 === 0 || at === this.#statistics.length - 1);
  }

  #epoch({ epoch, loss, seconds }: EpochEvent): void {
    const samplesPerSecond = this.#samples / this.#seconds;
    const last = this.#validated?.step === this.#last ? this.#validated : null;
    this.epochs.push({ epoch, step: this.#last, loss, seconds, samplesPerSecond, validation: rowOf(last) });
    [this.#samples, this.#seconds] = [0, 0];
  }

  #validation(told: ValidationTold): void {
    this.#validated = told;
    this.evaluations.push({ step: told.step, values: numbersOf({ loss: told.loss, ...told.values }) });
    const last = this.epochs.at(-1);
    if (last?.step === told.step) this.epochs.splice(-1, 1, { ...last, validation: rowOf(told) });
  }
}

function rowOf(told: ValidationTold | null): EpochRow["validation"] {
  if (told === null) return null;
  const { loss, isBest, metrics, values } = told;
  return { loss, isBest, metrics, values: numbersOf({ loss, ...values }) };
}

function meanOf(points: readonly LossPoint[]): LossPoint {
  const mean = (value: (point: LossPoint) => number): number =>
    points.reduce((sum, point) => sum + value(point), 0) / points.length;
  return {
    step: points.at(-1)?.step ?? 0,
    loss: mean(({ loss }) => loss),
    learningRate: mean(({ learningRate }) => learningRate),
  };
}

/** Of what is told by name the numbers. */
export function numbersOf(values: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (typeof value === "number" ? [[name, value]] : [])),
  );
}
