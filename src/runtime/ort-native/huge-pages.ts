import { readFileSync } from "node:fs";
import type { Koffi, NativeFunction } from "./koffi.ts";

/** Says how many bytes a huge page has; it is there where the kernel gives them to who asks. */
const SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
/** `MADV_HUGEPAGE` of sys/mman.h. */
const MADV_HUGEPAGE = 14;
/** The most that the last page of a tensor may leave empty, as a share of the tensor. */
const SPARE = 1 / 3;

/**
 * Memory on huge pages: a step reads and writes all of its state, and 4 kB at a time the processor spends some percent of that
 * on finding where the pages are. On Linux alone; where the kernel has none to give, the memory is as any other.
 */
export class HugePages {
  readonly #bytes: number;
  readonly #allocate: NativeFunction;
  readonly #advise: NativeFunction;
  readonly #free: NativeFunction;

  private constructor(koffi: Koffi, bytes: number) {
    const library = koffi.load(null);
    this.#bytes = bytes;
    this.#allocate = library.func("aligned_alloc", "void *", ["size_t", "size_t"]);
    this.#advise = library.func("madvise", "int", ["void *", "size_t", "int"]);
    this.#free = library.func("free", "void", ["void *"]);
  }

  /** Null on other systems, and where the kernel has no huge pages or the C library not the functions. */
  static reach(koffi: Koffi): HugePages | null {
    if (process.platform !== "linux") return null;
    try {
      const bytes = Number(readFileSync(SIZE, "utf8"));
      return Number.isSafeInteger(bytes) && bytes > 0 ? new HugePages(koffi, bytes) : null;
    } catch {
      return null;
    }
  }

  /**
   * Uninitialized memory that begins at the border of a huge page, and ends at one where little is wasted by that.
   * @returns its address, which is to be given to `free`; null for less than a page, or where there is not so much memory
   */
  allocate(bytes: number): bigint | null {
    if (bytes < this.#bytes) return null;
    const whole = Math.ceil(bytes / this.#bytes) * this.#bytes;
    const size = whole - bytes > bytes * SPARE ? bytes : whole;
    const address = this.#allocate(this.#bytes, size);
    if (typeof address !== "bigint" || address === 0n) return null;
    this.#advise(address, size, MADV_HUGEPAGE);
    return address;
  }

  free(address: bigint): void {
    this.#free(address);
  }
}
