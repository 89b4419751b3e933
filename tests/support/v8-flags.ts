/**
 * V8 compiles the training build's WebAssembly, 11 MB, once quickly and once more with optimizations. For the few steps of a
 * test the second time costs seconds of both cores, and changes no number.
 */
export const V8_FLAGS: readonly string[] = ["--liftoff-only"];
