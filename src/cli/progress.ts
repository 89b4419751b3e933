import type { TrainingPlan } from "../entries/run.ts";
import type { EpochEvent, StepEvent } from "../index.ts";
import type { Console } from "./console.ts";

const REDRAW_MILLISECONDS = 100;
const BAR = 10;

/** Columns of a terminal that does not say how many it has. */
const COLUMNS = 80;
const CLEAR_LINE = "\r\u001b[2K";

/** A line per epoch on stderr; below them, on a terminal, one that is drawn over while training runs. */
export class Progress {
  readonly #console: Console;
  readonly #plan: TrainingPlan;
  readonly #label: string;
  readonly #began = performance.now();
  #drawn = 0;
  #steps = 0;
  #samples = 0;
  #seconds = 0;
  #open = false;

  constructor(console: Console, plan: TrainingPlan, label = "") {
    this.#console = console;
    this.#plan = plan;
    this.#label = label === "" ? "" : `${label}  `;
  }

  step(event: StepEvent): void {
    this.#steps++;
    this.#samples += event.samples;
    this.#seconds += event.seconds;
    if (!this.#console.isLive) return;
    const now = performance.now();
    if (now - this.#drawn < REDRAW_MILLISECONDS && event.step < this.#plan.totalSteps) return;
    this.#drawn = now;
    this.#open = true;
    /** A resumed run begins in the middle: what is left is told from the steps of this process. */
    const left = ((now - this.#began) / 1000 / this.#steps) * (this.#plan.totalSteps - event.step);
    const share = event.step / this.#plan.totalSteps;
    const parts = [
      `${this.#label}${bar(share)} ${String(Math.floor(share * 100)).padStart(3)} %`,
      `${duration(left)} left`,
      `loss ${event.loss.toPrecision(4)}`,
      this.#epoch(event),
      `step ${event.step}/${this.#plan.totalSteps}`,
    ];
    this.#console.io.stderr.write(`${CLEAR_LINE}${fitting(parts, (this.#console.io.stderr.columns ?? COLUMNS) - 1)}`);
  }

  epoch(event: EpochEvent): void {
    if (this.#open) this.#console.io.stderr.write(CLEAR_LINE);
    this.#open = false;
    const loss = `loss ${event.loss.toPrecision(4)}`;
    const rate = `${Math.round(this.#samples / this.#seconds)} samples/s`;
    this.#console.note([`${this.#label}${this.#epoch(event)}`, loss, rate, `${event.seconds.toFixed(1)} s`].join("  "));
    [this.#samples, this.#seconds] = [0, 0];
  }

  /** Ends the line, so that what follows begins on its own. */
  end(): void {
    if (this.#open) this.#console.io.stderr.write("\n");
    this.#open = false;
  }

  #epoch({ epoch }: { readonly epoch: number }): string {
    return `epoch ${epoch + 1}/${this.#plan.epochs}`;
  }
}

/** As many parts, from the first on, as the columns hold. */
function fitting(parts: readonly string[], columns: number): string {
  return parts
    .reduce((line, part) => {
      const longer = line === "" ? part : `${line}  ${part}`;
      return longer.length <= columns ? longer : line;
    }, "")
    .slice(0, columns);
}

function bar(share: number): string {
  const full = Math.round(share * BAR);
  return `[${"#".repeat(full)}${"-".repeat(BAR - full)}]`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const part = (value: number): string => String(value).padStart(2, "0");
  return whole < 3600
    ? `${Math.floor(whole / 60)}:${part(whole % 60)}`
    : `${Math.floor(whole / 3600)}:${part(Math.floor(whole / 60) % 60)}:${part(whole % 60)}`;
}
