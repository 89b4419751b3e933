import type { PreparedRun } from "./lane.ts";

/** A call of so many milliseconds may be made in the caller's thread, whose event loop waits for it. */
const SHORT_MS = 1.5;
/** What was made there is made there again as long as it takes no more than so many. */
const LONG_MS = 2;

/** How long the runs of a model take, as those before them did. */
export class RunLengths {
  readonly #isKnown: boolean;
  /** Milliseconds of a run; null: not known. */
  #each: number | null = null;
  #most = SHORT_MS;

  /** @param isOnCpu runs elsewhere are never short */
  constructor(isOnCpu: boolean) {
    this.#isKnown = isOnCpu;
  }

  /** Whether runs are short: such as were made before, of the same shapes. */
  areShort(runs: readonly PreparedRun[]): boolean {
    const each = this.#each;
    return each !== null && each * runs.length <= this.#most && runs.every(({ isAsBefore }) => isAsBefore);
  }

  /** Takes note of what runs took together. */
  took(runs: readonly PreparedRun[], milliseconds: number): void {
    if (!this.#isKnown) return;
    this.#each = milliseconds / Math.max(1, runs.length);
    this.#most = milliseconds > LONG_MS ? SHORT_MS : LONG_MS;
  }
}
