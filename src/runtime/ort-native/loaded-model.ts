import { LOG_FATAL } from "./api-table.ts";
import type { Native } from "./native.ts";
import type { Owned } from "./resources.ts";
import { makeOptions, type NativeSessionOptions } from "./session-options.ts";

/** A model that ONNX Runtime has loaded. */
export class LoadedModel {
  readonly #native: Native;
  readonly #session: Owned;
  readonly isOnCpu: boolean;
  /** Whether its runs take denormal numbers to be zero. */
  readonly flush: boolean;

  private constructor(native: Native, session: Owned, { denormalsAsZero, executionProviders }: NativeSessionOptions) {
    this.#native = native;
    this.#session = session;
    this.isOnCpu = executionProviders.every((provider) => provider === "cpu");
    this.flush = denormalsAsZero;
  }

  /** @throws Error with what ONNX Runtime said of the model */
  static async create(native: Native, model: Uint8Array, settings: NativeSessionOptions): Promise<LoadedModel> {
    const { api, resources, runner } = native;
    const options = makeOptions(api, resources, settings);
    try {
      const made = new BigUint64Array(new ArrayBuffer(8));
      const args = [api.env, api.address(model), model.length, options.pointer, api.address(made)];
      const call = { name: "CreateSessionFromArray", steps: [[[args]]], flush: settings.denormalsAsZero } as const;
      const { failed } = await runner.call({ ...call, keeps: [model, made, options] });
      api.check(...failed);
      return new LoadedModel(native, resources.own("session", made[0] ?? 0n), settings);
    } finally {
      options.release();
    }
  }

  get pointer(): bigint {
    return this.#session.pointer;
  }

  /** Its inputs' or outputs' names. */
  namesOf(side: "Input" | "Output"): readonly string[] {
    return this.#native.api.namesOf(this.pointer, side);
  }

  /** Options of runs, by which they can be cut short. */
  runOptions(): Owned {
    const { api, resources } = this.#native;
    const options = resources.own("runOptions", api.make("CreateRunOptions"));
    api.call("RunOptionsSetRunLogSeverityLevel", options.pointer, LOG_FATAL);
    return options;
  }

  /** An allocator of its own for memory of a device, by the device's name in ONNX Runtime. */
  allocatorOf(device: string, id: number): Owned {
    const { api, resources } = this.#native;
    /** `OrtDeviceAllocator`, `OrtMemTypeDefault`. */
    const info = resources.own("memoryInfo", api.make("CreateMemoryInfo", device, 0, id, 0));
    try {
      return resources.own("allocator", api.make("CreateAllocator", this.pointer, info.pointer));
    } finally {
      info.release();
    }
  }

  /**
   * Where there are huge pages, the arena takes what runs need from so many bytes of address space, in one piece and on such pages. What no run
   * writes to takes no memory, but for a 32nd of it that ONNX Runtime keeps its books in. Where there is not so much address space, the arena
   * grows run by run, as it would without.
   */
  reserve(bytes: number): void {
    const { api, pages } = this.#native;
    if (pages === null || !this.isOnCpu) return;
    const arena = this.allocatorOf("Cpu", 0);
    try {
      const block = api.make("AllocatorAlloc", arena.pointer, bytes);
      pages.ask(block, bytes);
      api.call("AllocatorFree", arena.pointer, block);
    } catch {
      return;
    } finally {
      arena.release();
    }
  }

  release(): void {
    this.#session.release();
  }
}
