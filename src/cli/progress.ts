import type { EpochEvent, StepEvent, TrainingPlan } from "../index.ts";
import type { Console } from "./console.ts";

const REDRAW_MILLISECONDS = 100;

/** One line on stderr, drawn over while training runs; a line per epoch where stderr is no terminal. */
export class Progress {
  readonly #console: Console;
  readonly #plan: TrainingPlan;
  readonly #label: string;
  readonly #began = performance.now();
  #drawn = 0;
  #samples = 0;
  #open = false;

  constructor(console: Console, plan: TrainingPlan, label = "") {
    this.#console = console;
    this.#plan = plan;
    this.#label = label === "" ? "" : `${label}  `;
  }

  step(event: StepEvent): void {
    this.#samples += event.samples;
    const now = performance.now();
    if (!this.#console.isLive || (now - this.#drawn < REDRAW_MILLISECONDS && event.step < this.#plan.totalSteps))
      return;
    this.#drawn = now;
    this.#open = true;
    const seconds = (now - this.#began) / 1000;
    const left = (seconds / event.step) * (this.#plan.totalSteps - event.step);
    const share = event.step / this.#plan.totalSteps;
    const line = [
      `${this.#label}${bar(share)} ${Math.floor(share * 100)} %`,
      `epoch ${event.epoch + 1}/${this.#plan.epochs}`,
      `step ${event.step}/${this.#plan.totalSteps}`,
      `loss ${event.loss.toPrecision(4)}`,
      `${Math.round(this.#samples / seconds)} samples/s`,
      `${duration(left)} left`,
    ].join("  ");
    process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns ?? 120) - 1)}`);
  }

  epoch(event: EpochEvent): void {
    if (this.#console.isLive) return;
    const rate = Math.round(this.#samples / ((performance.now() - this.#began) / 1000));
    this.#console.note(
      `${this.#label}epoch ${event.epoch + 1}/${this.#plan.epochs}  loss ${event.loss.toPrecision(4)}  ${rate} samples/s  ${event.seconds.toFixed(1)} s`,
    );
  }

  /** Ends the line, so that what follows begins on its own. */
  end(): void {
    if (this.#open) process.stderr.write("\n");
    this.#open = false;
  }
}

function bar(share: number): string {
  const full = Math.round(share * 16);
  return `[${"#".repeat(full)}${"-".repeat(16 - full)}]`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const part = (value: number): string => String(value).padStart(2, "0");
  return whole < 3600
    ? `${Math.floor(whole / 60)}:${part(whole % 60)}`
    : `${Math.floor(whole / 3600)}:${part(Math.floor(whole / 60) % 60)}:${part(whole % 60)}`;
}
