import { Worker } from "node:worker_threads";
import type { Task } from "../update-kernel/tasks.ts";
import { FLOAT_CONTROLS } from "./control-source.ts";
import { HELPER_SOURCE, SIGNALS } from "./kernel-source.ts";

/** What threads have in common that do an update together. */
export interface Together {
  readonly koffiFile: string;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** Threads that do their share of one update whenever the runner tells them to. They do not hold the process alive. */
export class Helpers {
  /** By which the runner tells them. */
  readonly control = new Int32Array(new SharedArrayBuffer(4 * Object.keys(SIGNALS).length));
  readonly #workers: readonly Worker[];

  private constructor(tasks: readonly Task[], { koffiFile, module, memory }: Together) {
    const environment = FLOAT_CONTROLS[`${process.platform} ${process.arch}`];
    const shared = { koffiFile, module, memory, environment, control: this.control, signals: SIGNALS };
    /** Flags of the caller, such as a loader for its own files, are not for this code. */
    const settings = { eval: true, execArgv: [], env: {} };
    this.#workers = tasks.map((task) => new Worker(HELPER_SOURCE, { ...settings, workerData: { ...shared, task } }));
  }

  /** @param tasks one per thread @throws Error where a thread cannot be started */
  static async start(tasks: readonly Task[], together: Together): Promise<Helpers> {
    const helpers = new Helpers(tasks, together);
    try {
      await Promise.all(helpers.#workers.map(ready));
    } catch (error) {
      await helpers.release();
      throw error;
    }
    for (const worker of helpers.#workers) worker.unref();
    return helpers;
  }

  get count(): number {
    return this.#workers.length;
  }

  async release(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function ready(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
  });
}
