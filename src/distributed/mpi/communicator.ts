import { DistributedError } from "../../errors.ts";
import type { Communicator, Summable } from "../communicator.ts";
import type { Launch } from "../launch.ts";
import { finalizeInTime } from "./finalize.ts";
import { type Koffi, loadKoffi, type NativeFunction } from "./koffi.ts";
import { type MpiLibrary, openMpi } from "./library.ts";

/** Counts are 32 bits wide; larger arrays go in pieces. */
const MOST_ELEMENTS = 2 ** 28;
/** The most that 32 bits with a sign count. */
const MOST_BYTES = 2 ** 31 - 1;
/** Handles, and addresses that are constants. */
const HANDLE = "int64_t";
const ADDRESS = "void *";

interface Calls {
  readonly allReduce: NativeFunction;
  readonly broadcast: NativeFunction;
  readonly allGather: NativeFunction;
  readonly barrier: NativeFunction;
  readonly abort: NativeFunction;
  readonly finalize: NativeFunction;
}

function callsOf(mpi: MpiLibrary): Calls {
  return {
    allReduce: mpi.func("MPI_Allreduce", [HANDLE, ADDRESS, "int", HANDLE, HANDLE, HANDLE]),
    broadcast: mpi.func("MPI_Bcast", [ADDRESS, "int", HANDLE, "int", HANDLE]),
    allGather: mpi.func("MPI_Allgatherv", [HANDLE, "int", HANDLE, ADDRESS, ADDRESS, ADDRESS, HANDLE, HANDLE]),
    barrier: mpi.func("MPI_Barrier", [HANDLE]),
    abort: mpi.func("MPI_Abort", [HANDLE, "int"]),
    finalize: mpi.func("MPI_Finalize", []),
  };
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function check(code: unknown, name: string): void {
  if (code === 0) return;
  throw new DistributedError("E_MPI", `${name} failed with ${String(code)}`, {
    hint: "Another rank, or the way to it, is gone. Start again; with --checkpoints, --resume goes on.",
  });
}

/** MPI writes the number into memory. */
function ask(call: NativeFunction, name: string, ...args: readonly unknown[]): number {
  const value = new Int32Array(1);
  check(call(...args, value), name);
  return value[0] ?? -1;
}

/**
 * Calls what may wait for other ranks for ever, one of which has ended without a word say, while no code of JavaScript runs that
 * could hear of a signal: signals end the process meanwhile, as where nobody listens.
 */
function endingOnSignals<T>(call: () => T): T {
  const heard = SIGNALS.map((signal) => [signal, process.listeners(signal)] as const);
  for (const signal of SIGNALS) process.removeAllListeners(signal);
  try {
    return call();
  } finally {
    for (const [signal, listeners] of heard) for (const listener of listeners) process.on(signal, listener);
  }
}

/** Ranks that speak MPI. Collective operations run in a thread beside, one after another in the order of the calls. */
export class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly library: string;
  readonly #mpi: MpiLibrary;
  readonly #koffi: Koffi;
  readonly #calls: Calls;
  #last: Promise<unknown> = Promise.resolve();
  #isFinal = false;

  private constructor(koffi: Koffi, mpi: MpiLibrary) {
    const { world } = mpi.constants;
    this.#koffi = koffi;
    this.#mpi = mpi;
    this.#calls = callsOf(mpi);
    this.library = mpi.version;
    this.rank = ask(mpi.func("MPI_Comm_rank", [HANDLE, ADDRESS]), "MPI_Comm_rank", world);
    this.size = ask(mpi.func("MPI_Comm_size", [HANDLE, ADDRESS]), "MPI_Comm_size", world);
  }

  /**
   * @param file the library to take; null: that of what started the ranks
   * @throws DistributedError `E_KOFFI_MISSING`, `E_MPI_LIBRARY`, `E_MPI`; `E_MPI_THREADS` where the library cannot be called from
   *   more than one thread; `E_MPI_LAUNCH` where it does not see the ranks that were started
   */
  static async join(launch: Launch, file: string | null): Promise<MpiCommunicator> {
    const koffi = await loadKoffi();
    const mpi = openMpi(koffi, launch, file);
    const { serialized } = mpi.constants;
    const init = mpi.func("MPI_Init_thread", [ADDRESS, ADDRESS, "int", ADDRESS]);
    if (endingOnSignals(() => ask(init, "MPI_Init_thread", null, null, serialized)) < serialized) {
      throw new DistributedError("E_MPI_THREADS", `${mpi.version} was built without threads`, {
        hint: "Use a library that has at least MPI_THREAD_SERIALIZED.",
      });
    }
    const joined = new MpiCommunicator(koffi, mpi);
    if (joined.size === launch.ranks) return joined;
    throw new DistributedError(
      "E_MPI_LAUNCH",
      `${launch.by} started ${launch.ranks} ranks, ${mpi.version} sees ${joined.size}: they do not belong together`,
      { hint: "Start the ranks with the mpirun of this library, or give its own: --mpi <path of libmpi.so>." },
    );
  }

  async allReduceSum(values: Summable): Promise<void> {
    const { world, float, double, sum, inPlace } = this.#mpi.constants;
    const type = values instanceof Float32Array ? float : double;
    for (let from = 0; from < values.length; from += MOST_ELEMENTS) {
      const part = values.subarray(from, from + MOST_ELEMENTS);
      await this.#call("MPI_Allreduce", this.#calls.allReduce, inPlace, part, part.length, type, sum, world);
    }
  }

  async broadcast(bytes: Uint8Array, root = 0): Promise<void> {
    const { world, byte } = this.#mpi.constants;
    for (let from = 0; from < bytes.length; from += MOST_ELEMENTS) {
      const part = bytes.subarray(from, from + MOST_ELEMENTS);
      await this.#call("MPI_Bcast", this.#calls.broadcast, part, part.length, byte, root, world);
    }
  }

  async allGather(bytes: Uint8Array, ends: readonly number[]): Promise<void> {
    const starts = [0, ...ends.slice(0, -1)];
    if (bytes.length > MOST_BYTES) {
      for (const [rank, end] of ends.entries()) await this.broadcast(bytes.subarray(starts[rank], end), rank);
      return;
    }
    const { world, byte, inPlace } = this.#mpi.constants;
    const counts = Int32Array.from(ends, (end, rank) => end - (starts[rank] ?? 0));
    const places = Int32Array.from(starts);
    await this.#call("MPI_Allgatherv", this.#calls.allGather, inPlace, 0, byte, bytes, counts, places, byte, world);
  }

  async barrier(): Promise<void> {
    await this.#call("MPI_Barrier", this.#calls.barrier, this.#mpi.constants.world);
  }

  /** What the process has to tidy up is tidied up first. */
  abort(exitCode: number): never {
    if (!this.#isFinal) process.on("exit", () => this.#calls.abort(this.#mpi.constants.world, exitCode));
    process.exit(exitCode);
  }

  async finalize(): Promise<void> {
    if (this.#mpi.mayHang) {
      await this.barrier();
      this.#isFinal = true;
      const code = await finalizeInTime(this.#mpi.file);
      if (code !== null) check(code, "MPI_Finalize");
    } else {
      await this.#last;
      this.#isFinal = true;
      check(this.#calls.finalize(), "MPI_Finalize");
    }
    if (process.platform === "win32") return;
    /** What MPI has loaded may crash when the process takes itself apart; so it just ends. */
    const end = this.#koffi.load(null).func("_exit", "void", ["int"]);
    process.on("exit", (code) => end(code));
  }

  #call(name: string, call: NativeFunction, ...args: readonly unknown[]): Promise<void> {
    const done = this.#last.then(
      () =>
        new Promise<void>((resolve, reject) => {
          call.async(...args, (error: unknown, code: unknown) => {
            try {
              if (error) throw error;
              check(code, name);
              resolve();
            } catch (cause) {
              reject(cause);
            }
          });
        }),
    );
    this.#last = done.catch(() => undefined);
    return done;
  }
}
