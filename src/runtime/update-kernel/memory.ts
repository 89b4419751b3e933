import { MOST_PAGES } from "./compile.ts";

const PAGE = 65_536;
/** Tensors begin where a line of a processor's cache does. */
export const LINE = 64;

/** Bytes that a tensor of so many numbers takes: as many lines as it begins. No two threads write to one. */
export const bytesFor = (size: number): number => Math.ceil((4 * size) / LINE) * LINE;

/** Elements of float32 in it. */
export type Floats = Float32Array<SharedArrayBuffer>;

/** The memory that kernels work in: what is given out is taken back with all of it. */
export class KernelMemory {
  readonly memory: WebAssembly.Memory;
  #end = LINE;

  private constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
  }

  /** Takes address space for 4 GB, and memory as it is given out. Null where there is not so much. */
  static reserve(): KernelMemory | null {
    return orNull(() => new KernelMemory(new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES, shared: true })));
  }

  /** Takes everything back: who had it must not use it any more. */
  reset(): void {
    this.#end = LINE;
  }

  /** Memory for tensors of so many numbers each, rounded up to vectors. Null where there is not enough for all. */
  allocate(sizes: readonly number[]): readonly Floats[] | null {
    const bytes = sizes.map(bytesFor);
    const end = bytes.reduce((sum, each) => sum + each, this.#end);
    const missing = Math.ceil(end / PAGE) - this.memory.buffer.byteLength / PAGE;
    if (missing > 0 && orNull(() => this.memory.grow(missing)) === null) return null;
    const buffer = this.memory.buffer as unknown as SharedArrayBuffer;
    return sizes.map((size, index) => {
      const start = this.#end;
      this.#end += bytes[index] ?? 0;
      return new Float32Array(buffer, start, size);
    });
  }
}

/** What there is memory for; WebAssembly throws a RangeError where there is none. */
function orNull<T>(make: () => T): T | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
