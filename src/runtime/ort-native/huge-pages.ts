import { readFileSync } from "node:fs";
import type { Koffi, NativeFunction } from "./koffi.ts";

/** Says how many bytes a huge page has; it is there where the kernel gives them to who asks. */
const SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
/** `MADV_HUGEPAGE` of sys/mman.h. */
const MADV_HUGEPAGE = 14;

/**
 * Memory on huge pages: a step goes through all of what it computes with, and 4 kB at a time the processor spends some percent of
 * that on finding where the pages are. On Linux alone.
 */
export class HugePages {
  readonly #koffi: Koffi;
  readonly #size: bigint;
  readonly #advise: NativeFunction;

  private constructor(koffi: Koffi, size: bigint) {
    this.#koffi = koffi;
    this.#size = size;
    this.#advise = koffi.load(null).func("madvise", "int", ["void *", "size_t", "int"]);
  }

  /** Null on other systems, and where the kernel has no huge pages or the C library not the function. */
  static reach(koffi: Koffi): HugePages | null {
    if (process.platform !== "linux") return null;
    try {
      const size = BigInt(readFileSync(SIZE, "utf8").trim());
      return size > 0n ? new HugePages(koffi, size) : null;
    } catch {
      return null;
    }
  }

  /** Asks for huge pages where there is memory that nobody has written to yet. What they are refused for is on others. */
  ask(address: bigint, bytes: number): void {
    const first = ((address + this.#size - 1n) / this.#size) * this.#size;
    const count = (address + BigInt(bytes) - first) / this.#size;
    if (count > 0n) this.#advise(first, Number(count * this.#size), MADV_HUGEPAGE);
  }

  /** The same for memory of JavaScript. */
  askFor(memory: ArrayBufferView): void {
    this.ask(this.#koffi.address(memory), memory.byteLength);
  }
}
