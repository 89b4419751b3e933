import { BackendError } from "../../errors.ts";
import type { OrtApi } from "./api.ts";
import type { OrtFunction } from "./api-table.ts";

type Release = Extract<OrtFunction, `Release${string}`>;

/** How a native object is given back, and what it is called in errors. */
interface Kind {
  readonly what: string;
  readonly release: Release;
}

/**
 * The one owner of a native object. It gives it back once: when it is told to, when nobody holds the owner any more, or at the
 * end of the process. Its pointer is not to be had after that.
 */
export class Owned {
  readonly #resources: Resources;
  readonly #kind: Kind;
  readonly #record: Held;

  constructor(resources: Resources, kind: Kind, record: Held) {
    this.#resources = resources;
    this.#kind = kind;
    this.#record = record;
  }

  /** @throws BackendError `E_RELEASED` */
  get pointer(): bigint {
    const { pointer } = this.#record;
    if (pointer !== null) return pointer;
    throw new BackendError("E_RELEASED", `${this.#kind.what} of ONNX Runtime was used after it was released`);
  }

  release(): void {
    this.#resources.giveBack(this.#record);
  }
}

/** A native object while it lives. */
interface Held {
  pointer: bigint | null;
  readonly release: Release;
}

const KINDS = {
  session: { what: "a session", release: "ReleaseSession" },
  options: { what: "a session's options", release: "ReleaseSessionOptions" },
  runOptions: { what: "a run's options", release: "ReleaseRunOptions" },
  tensor: { what: "a tensor", release: "ReleaseValue" },
  memoryInfo: { what: "a description of memory", release: "ReleaseMemoryInfo" },
  allocator: { what: "an allocator", release: "ReleaseAllocator" },
  cudaOptions: { what: "options of CUDA", release: "ReleaseCUDAProviderOptions" },
} as const satisfies Readonly<Record<string, Kind>>;

/** All native objects of the process that somebody owns. */
export class Resources {
  readonly #api: OrtApi;
  readonly #live = new Set<Held>();
  readonly #forgotten = new FinalizationRegistry<Held>((held) => this.giveBack(held));

  constructor(api: OrtApi) {
    this.#api = api;
  }

  /** How many there are. */
  get size(): number {
    return this.#live.size;
  }

  own(kind: keyof typeof KINDS, pointer: bigint): Owned {
    const held: Held = { pointer, release: KINDS[kind].release };
    this.#live.add(held);
    const owned = new Owned(this, KINDS[kind], held);
    this.#forgotten.register(owned, held);
    return owned;
  }

  giveBack(held: Held): void {
    const { pointer } = held;
    if (pointer === null) return;
    held.pointer = null;
    this.#live.delete(held);
    this.#api.call(held.release, pointer);
  }

  /** Gives everything back, sessions first: their threads use the rest. */
  giveBackAll(): void {
    const isSession = ({ release }: Held): boolean => release === "ReleaseSession";
    const all = [...this.#live];
    for (const held of [...all.filter(isSession), ...all.filter((each) => !isSession(each))]) this.giveBack(held);
  }
}
