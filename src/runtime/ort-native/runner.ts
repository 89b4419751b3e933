import { Worker } from "node:worker_threads";
import { BackendError } from "../../errors.ts";
import type { Task } from "../update-kernel/tasks.ts";
import type { OrtApi } from "./api.ts";
import { ORT_API, type OrtFunction } from "./api-table.ts";
import { FLOAT_CONTROLS } from "./control-source.ts";
import { SIGNALS } from "./kernel-source.ts";
import { RUN_PLACES } from "./run-helper-source.ts";
import { RunHelpers } from "./run-helpers.ts";
import { RUNNER_SOURCE } from "./runner-source.ts";

/** Functions that take long, which the runner's thread calls. */
const LONG: readonly OrtFunction[] = ["Run", "CreateSessionFromArray"];
type LongFunction = "Run" | "CreateSessionFromArray";

/** Places in the memory that both threads see. */
const BUSY = 0;
const CLOSING = 1;
/** How long the end of the process waits for a call that cannot be cut short. */
const LONGEST_WAIT_MS = 10_000;

/** A call under way. What its pointers point to is kept from being collected. */
interface Pending {
  readonly resolve: (result: CallResult) => void;
  readonly reject: (error: Error) => void;
  readonly keeps: unknown;
}

/** What a function is called with. */
export type Arguments = readonly (bigint | number)[];

/** What is called at the same time, one after the other. */
export type Stages = readonly (readonly Arguments[])[];

/** What came of a call. */
export interface CallResult {
  /** Statuses of what went wrong. */
  readonly failed: readonly bigint[];
  /** What each step that was made gave its update as losses. */
  readonly losses: readonly (readonly number[])[];
  /** How long it took in the thread that made it. */
  readonly milliseconds: number;
}

const NOTHING: CallResult = { failed: [], losses: [], milliseconds: 0 };

export interface LongCall {
  readonly name: LongFunction;
  /**
   * Steps, one after the other, each of stages, one after the other; calls of one stage are made at the same time, as far as threads are
   * hired for that. Where one goes wrong, all that is behind it is left out. Of functions but `Run` there is one call.
   */
  readonly steps: readonly Stages[];
  /** Whether denormal numbers are taken to be zero while it runs. */
  readonly flush: boolean;
  /** What has to stay where it is until all calls have ended. */
  readonly keeps: unknown;
  /** An update that was loaded, which ends each step. No step follows one whose loss is not finite. Default: none. */
  readonly update?: number | null;
}

/** The share of an update that the runner's thread does itself. */
export interface RunnerShare {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly task: Task;
  /** Where numbers lie that must be finite, for the update to be done: the first byte and how many. */
  readonly losses: readonly [byteOffset: number, length: number];
  /** How many threads do the rest, and by which memory they are told to begin. */
  readonly helpers: number;
  readonly control: Int32Array;
}

interface Reply {
  readonly id: number;
  readonly result?: CallResult;
  readonly error?: string;
}

/**
 * The thread that runs models, one call at a time, so that the caller's event loop is free. It holds the process alive only
 * while a call is under way.
 */
export class Runner {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #control = new Int32Array(new SharedArrayBuffer(8));
  readonly #helpers: RunHelpers;
  #hiring: Promise<void> = Promise.resolve();
  #count = 0;
  #updates = 0;
  #gone: string | null = null;

  /** @throws Error where it is not known how this system flushes denormal numbers */
  constructor(api: OrtApi, koffiFile: string) {
    const environment = FLOAT_CONTROLS[`${process.platform} ${process.arch}`];
    if (environment === undefined) throw new Error(`there is no way known for ${process.platform} on ${process.arch}`);
    const functions = LONG.map((name) => [name, api.pointerTo(name), ORT_API[name].takes]);
    this.#worker = new Worker(RUNNER_SOURCE, {
      eval: true,
      workerData: {
        koffiFile,
        functions,
        control: this.#control,
        busy: BUSY,
        closing: CLOSING,
        environment,
        signals: SIGNALS,
        places: RUN_PLACES,
      },
      /** Flags of the caller, such as a loader for its own files, are not for this code. */
      execArgv: [],
      env: {},
    });
    this.#worker.on("message", (reply: Reply) => this.#take(reply));
    this.#worker.on("error", (error) => this.#lose(error.message));
    this.#worker.on("exit", (code) => this.#lose(`its thread ended with ${code}`));
    this.#worker.unref();
    this.#helpers = new RunHelpers(api, koffiFile);
  }

  /** Calls a function of the library in the thread. */
  call({ keeps, update: key = null, ...given }: LongCall): Promise<CallResult> {
    return this.#order("call", { ...given, key }, keeps);
  }

  /**
   * Has models run in so many further threads at least, which are there for all that comes; new ones in the place of those that ended.
   * @throws Error where a thread cannot be started
   */
  async hire(count: number): Promise<void> {
    const hired = this.#hiring.then(async () => {
      if (this.#helpers.memories.length >= count) return;
      await this.#helpers.start(count);
      await this.#order("hire", { memories: this.#helpers.memories });
    });
    this.#hiring = hired.catch(() => undefined);
    return hired;
  }

  /** Loads the runner's share of an update. @returns its key */
  async load(share: RunnerShare): Promise<number> {
    const key = this.#updates++;
    await this.#order("load", { ...share, key });
    return key;
  }

  async drop(key: number): Promise<void> {
    await this.#order("drop", { key });
  }

  async #order(order: string, given: object, keeps: unknown = null): Promise<CallResult> {
    if (this.#gone !== null) throw lost(this.#gone);
    const id = this.#count++;
    const answered = new Promise<CallResult>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, keeps });
    });
    this.#worker.ref();
    this.#worker.postMessage({ id, order, ...given });
    return answered;
  }

  #take({ id, result = NOTHING, error }: Reply): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (error === undefined) pending?.resolve(result);
    else pending?.reject(new Error(error));
  }

  #lose(reason: string): void {
    this.#gone ??= reason;
    for (const { reject } of this.#pending.values()) reject(lost(reason));
    this.#pending.clear();
  }

  /**
   * Lets no further call begin, and waits for the one under way; at the end of the process, when nothing else can run.
   * @returns whether there is none any more
   */
  close(): boolean {
    Atomics.store(this.#control, CLOSING, 1);
    while (Atomics.load(this.#control, BUSY) === 1) {
      if (Atomics.wait(this.#control, BUSY, 1, LONGEST_WAIT_MS) === "timed-out") return false;
    }
    return true;
  }
}

function lost(reason: string): BackendError {
  return new BackendError("E_CRASHED", `the thread that runs ONNX Runtime is gone: ${reason}`, {
    hint: "Set ONNX_AGR_NATIVE=0 to train without it.",
  });
}
