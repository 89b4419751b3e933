import { setImmediate } from "node:timers";
import type { OrtApi } from "./api.ts";
import { FLOAT_CONTROLS } from "./control-source.ts";
import { EXECUTOR_SOURCE } from "./executor-source.ts";
import { SIGNALS } from "./kernel-source.ts";
import type { Koffi, NativeFunction } from "./koffi.ts";
import { RUN_PLACES } from "./run-helper-source.ts";
import type { CallResult, LongCall, RunnerShare } from "./runner.ts";

/** How long calls may follow each other before the event loop has a turn. */
const TURN_MS = 4;

/** What `EXECUTOR_SOURCE` makes. */
interface Executor {
  isTrue(): boolean;
  load(share: RunnerShare & { readonly key: number }): void;
  drop(given: { readonly key: number }): void;
  call(given: Pick<LongCall, "name" | "steps" | "flush"> & { readonly key: number | null }): CallResult;
}

/**
 * Makes short calls in the caller's thread: the way to the runner's thread and back takes longer than they do. Promises alone give no timer a
 * turn, so after some milliseconds of calls the event loop has one.
 */
export class CallerThread {
  readonly #executor: Executor;
  /** Updates that no other thread takes part in, of which those are loaded that were called for. */
  readonly #shares = new Map<number, RunnerShare>();
  readonly #loaded = new Set<number>();
  /** When the first call was made since the event loop's last turn; null: none was. */
  #since: number | null = null;

  private constructor(executor: Executor) {
    this.#executor = executor;
  }

  /** Null where no code can be made of text, or denormal numbers cannot be flushed as a call asks. */
  static reach(api: OrtApi, koffi: Koffi): CallerThread | null {
    const environment = FLOAT_CONTROLS[`${process.platform} ${process.arch}`];
    if (environment === undefined) return null;
    const calls: Readonly<Record<string, NativeFunction>> = { Run: api.functionOf("Run") };
    const given = { calls, environment, control: new Int32Array(1), closing: 0, signals: SIGNALS, places: RUN_PLACES };
    try {
      const make = new Function("koffi", "given", `${EXECUTOR_SOURCE}\nreturn executorOf(given);`);
      const executor: Executor = make(koffi, given);
      return executor.isTrue() ? new CallerThread(executor) : null;
    } catch {
      return null;
    }
  }

  load(key: number, share: RunnerShare): void {
    if (share.helpers === 0) this.#shares.set(key, share);
  }

  drop(key: number): void {
    this.#shares.delete(key);
    if (this.#loaded.delete(key)) this.#executor.drop({ key });
  }

  /** Whether a call can be made here: no other thread takes part in it. */
  takes({ steps, update = null }: Pick<LongCall, "steps" | "update">): boolean {
    if (update !== null && !this.#shares.has(update)) return false;
    return steps.every((stages) => stages.every(({ length }) => length === 1));
  }

  /** Whether the event loop is to have a turn before the next call. */
  isDue(): boolean {
    return this.#since !== null && performance.now() - this.#since > TURN_MS;
  }

  /** Gives it one; by the timers of Node, whatever stands for them in a test. */
  turn(): Promise<void> {
    return new Promise((done) => {
      setImmediate(done);
    });
  }

  call({ name, steps, flush, update = null }: LongCall): CallResult {
    if (this.#since === null) {
      this.#since = performance.now();
      setImmediate(() => {
        this.#since = null;
      });
    }
    if (update !== null) this.#prepare(update);
    return this.#executor.call({ name, steps, flush, key: update });
  }

  #prepare(key: number): void {
    const share = this.#shares.get(key);
    if (share === undefined || this.#loaded.has(key)) return;
    this.#executor.load({ ...share, key });
    this.#loaded.add(key);
  }
}
