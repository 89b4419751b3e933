/** Calls of this length keep the process answering: to a signal, and in the thread that runs them. */
const CALL_SECONDS = 0.1;
/** Longer calls, up to this, are worth it where the copies between calls cost more than `WORTH` of a step. */
const LONGEST_CALL_SECONDS = 1;
const WORTH = 0.05;
/** The batches of a call are stacked, so they are in memory twice. */
const MOST_STEPS = 128;
/** The first call of a number may load a model or allocate. */
const TRIALS = 2;

/**
 * How many steps to do in one call, found by doubling while that pays. The clock decides only how the steps are divided into
 * calls, never what they compute.
 */
export class Pace {
  #steps = 1;
  #trials = 0;
  #first = 0;
  #best = Number.POSITIVE_INFINITY;
  /** Seconds per step with half as many. */
  #before = Number.POSITIVE_INFINITY;
  #isFound: boolean;

  /** @param steps a fixed number, or `auto` */
  constructor(steps: number | "auto") {
    this.#isFound = steps !== "auto";
    if (steps !== "auto") this.#steps = steps;
  }

  get steps(): number {
    return this.#steps;
  }

  /** @param remaining steps that are still to be done */
  ran(steps: number, seconds: number, remaining: number): void {
    if (this.#isFound || steps !== this.#steps) return;
    if (this.#trials++ === 0) this.#first = seconds;
    this.#best = Math.min(this.#best, seconds / steps);
    if (this.#trials < TRIALS) return;
    /** What the first call took longer is what loading the model took; the loop over several steps has to be loaded, too. */
    if (steps === 1 && remaining * this.#best < this.#first - this.#best) this.#isFound = true;
    else this.#decide();
  }

  #decide(): void {
    const doubled = 2 * this.#steps;
    const call = doubled * this.#best;
    const pays = this.#best < (1 - WORTH) * this.#before;
    const isShort = call <= CALL_SECONDS;
    if (doubled <= MOST_STEPS && (isShort || (pays && call <= LONGEST_CALL_SECONDS))) {
      this.#before = this.#best;
      this.#steps = doubled;
      this.#best = Number.POSITIVE_INFINITY;
      this.#trials = 0;
      return;
    }
    if (!pays && this.#steps * this.#best > CALL_SECONDS) this.#steps = Math.max(1, this.#steps / 2);
    this.#isFound = true;
  }
}
