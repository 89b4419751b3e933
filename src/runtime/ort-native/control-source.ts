/**
 * Text of a function `controlOf` for the sources of threads: what it gives sets whether the thread that calls it flushes denormal
 * numbers, and returns what sets it back. It needs a `koffi`.
 */
export const CONTROL_SOURCE = `
function controlOf({ library, kind, word, bits }) {
  const symbols = koffi.load(library);
  const wanted = (flush) => (typeof flush === "number" ? flush : flush ? bits : 0);
  if (kind === "controlfp") {
    const set = symbols.func("_controlfp_s", "int", ["void *", "uint32_t", "uint32_t"]);
    const current = new Uint32Array(new ArrayBuffer(8));
    return (flush) => {
      set(current, 0, 0);
      const before = current[0] & bits;
      if (before !== wanted(flush)) set(current, wanted(flush), bits);
      return before;
    };
  }
  const get = symbols.func("fegetenv", "int", ["void *"]);
  const set = symbols.func("fesetenv", "int", ["void *"]);
  const state = new Uint32Array(new ArrayBuffer(256));
  return (flush) => {
    get(state);
    const before = state[word] & bits;
    if (before === wanted(flush)) return before;
    state[word] = (state[word] & ~bits) | wanted(flush);
    set(state);
    return before;
  };
}
`;

/** How a thread's flushing of denormal numbers is switched: by a word of the C library's `fenv_t`, or by `_controlfp_s`. */
export interface FloatControl {
  readonly kind: "fenv" | "controlfp";
  /** Where the functions are; null: in the process. */
  readonly library: string | null;
  readonly word: number;
  readonly bits: number;
}

/** Flush to zero and denormals are zero, of MXCSR. */
const X64 = 0x8040;
/** Flush to zero, of FPCR. */
const ARM64 = 1 << 24;

/**
 * Where those bits are. Whether they do what they should is tried out before anything is trained with them.
 * https://sourceware.org/git/?p=glibc.git (sysdeps/x86_64/fpu/bits/fenv.h, sysdeps/aarch64/bits/fenv.h), Apple's fenv.h.
 */
export const FLOAT_CONTROLS: Readonly<Record<string, FloatControl>> = {
  "linux x64": { kind: "fenv", library: null, word: 7, bits: X64 },
  "linux arm64": { kind: "fenv", library: null, word: 0, bits: ARM64 },
  "darwin x64": { kind: "fenv", library: null, word: 1, bits: X64 },
  "darwin arm64": { kind: "fenv", library: null, word: 2, bits: ARM64 },
  "win32 x64": { kind: "controlfp", library: "ucrtbase.dll", word: 0, bits: 0x03000000 },
  "win32 arm64": { kind: "controlfp", library: "ucrtbase.dll", word: 0, bits: 0x03000000 },
};
