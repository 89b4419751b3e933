import { Worker } from "node:worker_threads";
import type { OrtApi } from "./api.ts";
import { ORT_API } from "./api-table.ts";
import { FLOAT_CONTROLS } from "./control-source.ts";
import { RUN_HELPER_SOURCE, RUN_PLACES } from "./run-helper-source.ts";

/** Threads that run models beside the runner's. They do not hold the process alive. */
export class RunHelpers {
  readonly #api: OrtApi;
  readonly #koffiFile: string;
  readonly #memories = new Set<SharedArrayBuffer>();

  constructor(api: OrtApi, koffiFile: string) {
    this.#api = api;
    this.#koffiFile = koffiFile;
  }

  /** Of each that is there, the memory by which the runner tells it what to run. */
  get memories(): readonly SharedArrayBuffer[] {
    return [...this.#memories];
  }

  /** Starts as many as are missing. @throws Error where a thread cannot be started */
  async start(count: number): Promise<void> {
    const missing = Math.max(0, count - this.#memories.size);
    await Promise.all(Array.from({ length: missing }, () => this.#startOne()));
  }

  #startOne(): Promise<void> {
    const memory = new SharedArrayBuffer(RUN_PLACES.bytes);
    const environment = FLOAT_CONTROLS[`${process.platform} ${process.arch}`];
    const run = [this.#api.pointerTo("Run"), ORT_API.Run.takes];
    const worker = new Worker(RUN_HELPER_SOURCE, {
      ...{ eval: true, workerData: { koffiFile: this.#koffiFile, run, environment, memory, places: RUN_PLACES } },
      /** Flags of the caller, such as a loader for its own files, are not for this code. */
      ...{ execArgv: [], env: {} },
    });
    return new Promise((resolve, reject) => {
      worker.once("message", () => {
        this.#memories.add(memory);
        worker.unref();
        resolve();
      });
      worker.on("error", reject);
      worker.once("exit", (code) => {
        this.#memories.delete(memory);
        const signals = new Int32Array(memory);
        Atomics.store(signals, RUN_PLACES.state, RUN_PLACES.gone);
        Atomics.notify(signals, RUN_PLACES.state);
        reject(new Error(`its thread ended with ${code}`));
      });
    });
  }
}
