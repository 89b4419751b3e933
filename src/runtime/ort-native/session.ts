import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import type { OrtSession } from "../ort-node/load.ts";
import type { Update } from "../ort-node/separated.ts";
import type { NamedTensors } from "../session.ts";
import type { KernelMemory } from "../update-kernel/memory.ts";
import type { OrtApi } from "./api.ts";
import { LOG_FATAL } from "./api-table.ts";
import type { HugePages } from "./huge-pages.ts";
import type { Owned, Resources } from "./resources.ts";
import type { Runner } from "./runner.ts";
import { cString, makeOptions, readOptions } from "./session-options.ts";
import { type NativeTensors, shapeOf } from "./tensors.ts";

/** Everything of the process that sessions share. */
export interface Native {
  readonly api: OrtApi;
  readonly resources: Resources;
  readonly runner: Pick<Runner, "call" | "load" | "drop" | "close">;
  readonly tensors: NativeTensors;
  /** Memory of updates that no session has. */
  readonly kernelMemories: KernelMemory[];
  /** What koffi was loaded from. */
  readonly koffiFile: string;
  /** Null where there are none. */
  readonly pages: HugePages | null;
  /** Runs under way: the end of the process cuts them short. */
  readonly running: Set<Owned>;
}

type FetchMap = Readonly<Record<string, Tensor | null>>;

/**
 * A model loaded through the C API. Tensors that show native memory are read and written where they are; others are copied
 * in before a run, so that their owner may do with them what he likes.
 */
export class NativeSession implements OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #native: Native;
  readonly #session: Owned;
  readonly #runOptions: Owned;
  readonly #flush: boolean;
  readonly #isOnCpu: boolean;
  readonly #texts = new Map<string, Uint8Array>();
  /** Native tensors that take what is fed from JavaScript, by input. */
  readonly #fed = new Map<string, Tensor>();
  #last: Promise<unknown> = Promise.resolve();
  #isReleased = false;

  private constructor(
    native: Native,
    session: Owned,
    { flush, isOnCpu }: { readonly flush: boolean; readonly isOnCpu: boolean },
  ) {
    const { api, resources } = native;
    this.#native = native;
    this.#session = session;
    this.#flush = flush;
    this.#isOnCpu = isOnCpu;
    this.#runOptions = resources.own("runOptions", api.make("CreateRunOptions"));
    api.call("RunOptionsSetRunLogSeverityLevel", this.#runOptions.pointer, LOG_FATAL);
    this.inputNames = api.namesOf(session.pointer, "Input");
    this.outputNames = api.namesOf(session.pointer, "Output");
  }

  /** @throws Error with what ONNX Runtime said of the model */
  static async create(
    native: Native,
    model: Uint8Array,
    given: Readonly<Record<string, unknown>>,
  ): Promise<NativeSession> {
    const { api, resources, runner } = native;
    const settings = readOptions(given);
    const options = makeOptions(api, resources, settings);
    try {
      const made = new BigUint64Array(new ArrayBuffer(8));
      const args = [api.env, api.address(model), model.length, options.pointer, api.address(made)];
      const flush = settings.denormalsAsZero;
      api.check(await runner.call({ name: "CreateSessionFromArray", args, flush, keeps: [model, made, options] }));
      const isOnCpu = settings.executionProviders.every((provider) => provider === "cpu");
      return new NativeSession(native, resources.own("session", made[0] ?? 0n), { flush, isOnCpu });
    } finally {
      options.release();
    }
  }

  /** One run at a time: what is fed is copied into the same memory each time. */
  async run(feeds: NamedTensors, fetches?: FetchMap, update?: Update): Promise<Readonly<Record<string, Tensor>>> {
    if (this.#isReleased) throw released();
    const wanted = fetches ?? Object.fromEntries(this.outputNames.map((name) => [name, null]));
    const result = this.#last.then(() => this.#run(Object.entries(feeds), Object.entries(wanted), update));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #run(
    feeds: readonly (readonly [string, Tensor])[],
    fetches: readonly (readonly [string, Tensor | null])[],
    update: Update | undefined,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { api, tensors, runner, running } = this.#native;
    const [fed, fetched] = [feeds.length, fetches.length];
    /** Names and values of the inputs, names and values of the outputs. */
    const block = new BigUint64Array(new ArrayBuffer(16 * (fed + fetched)));
    const outputs = block.subarray(2 * fed + fetched);
    for (const [index, [name, tensor]] of feeds.entries()) {
      block[index] = this.#text(name);
      block[fed + index] = this.#input(name, tensor).pointer;
    }
    for (const [index, [name, tensor]] of fetches.entries()) {
      block[2 * fed + index] = this.#text(name);
      outputs[index] = tensor === null ? 0n : (tensors.ownerOf(tensor)?.pointer ?? 0n);
    }
    const start = api.address(block);
    const at = (index: number): bigint => start + BigInt(8 * index);
    const args = [this.#session.pointer, this.#runOptions.pointer, at(0), at(fed), fed];
    const more = [at(2 * fed), fetched, at(2 * fed + fetched)];
    running.add(this.#runOptions);
    try {
      const keeps = [this, block, feeds, fetches];
      const call = { name: "Run", args: [...args, ...more], flush: this.#flush, keeps } as const;
      api.check(await runner.call({ ...call, update: update?.key ?? null }));
      return this.#results(fetches, outputs);
    } finally {
      running.delete(this.#runOptions);
    }
  }

  #results(
    fetches: readonly (readonly [string, Tensor | null])[],
    outputs: BigUint64Array,
  ): Readonly<Record<string, Tensor>> {
    const { tensors } = this.#native;
    const made = fetches.map(([, target], index) => {
      const isNative = target !== null && tensors.ownerOf(target) !== undefined;
      return isNative ? target : tensors.take(outputs[index] ?? 0n);
    });
    return Object.fromEntries(
      fetches.map(([name, target], index) => {
        const result = made[index] ?? target;
        if (result === null) throw new Error(`the output "${name}" was not made`);
        if (target === null || target === result) return [name, result];
        tensors.copyInto(target, result);
        return [name, target];
      }),
    );
  }

  #text(name: string): bigint {
    const known = this.#texts.get(name) ?? cString(name);
    this.#texts.set(name, known);
    return this.#native.api.address(known);
  }

  #input(name: string, tensor: Tensor): Owned {
    const { tensors } = this.#native;
    const owner = tensors.ownerOf(tensor);
    if (owner !== undefined) return owner;
    const shape = shapeOf(name, tensor);
    const before = this.#fed.get(name);
    const fits = before?.type === shape.type && before.dims.join() === shape.dims.join();
    const target = fits ? before : tensors.make(shape);
    if (!fits && before !== undefined) tensors.release(before);
    this.#fed.set(name, target);
    tensors.copyInto(target, tensor);
    const made = tensors.ownerOf(target);
    if (made === undefined) throw released();
    return made;
  }

  endProfiling(): void {
    throw new BackendError("E_UNSUPPORTED", "profiles are written through onnxruntime-node alone");
  }

  /** An allocator of this session for memory of a device, by its name in ONNX Runtime. */
  allocatorOf(device: string, id: number): Owned {
    const { api, resources } = this.#native;
    /** `OrtDeviceAllocator`, `OrtMemTypeDefault`. */
    const info = resources.own("memoryInfo", api.make("CreateMemoryInfo", device, 0, id, 0));
    try {
      return resources.own("allocator", api.make("CreateAllocator", this.#session.pointer, info.pointer));
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
    if (pages === null || !this.#isOnCpu) return;
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

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#last;
    for (const tensor of this.#fed.values()) this.#native.tensors.release(tensor);
    this.#runOptions.release();
    this.#session.release();
  }
}

function released(): BackendError {
  return new BackendError("E_RELEASED", "a session of ONNX Runtime was used after it was released");
}
