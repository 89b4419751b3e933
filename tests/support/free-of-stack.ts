import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { loadTrainingBuild } from "../../src/runtime/ort-training/load.ts";

/** The part of the build's WebAssembly that is called here. */
interface Instance {
  readonly HEAP32: Int32Array;
  _malloc(size: number): number;
  _free(place: number): void;
  stackAlloc(size: number): number;
}

/** Frees a place on the stack behind words that the allocator would take for its own, as the build does, and then one of its own. */
const { env } = await loadTrainingBuild(1);
const folder = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));
const wasmBinary = await readFile(join(folder, "ort-training-wasm-simd-threaded.wasm"));
const { default: make } = (await import(env.wasm.wasmPaths?.mjs ?? "")) as {
  default(options: object): Promise<Instance>;
};
const instance = await make({ wasmBinary, numThreads: 1 });
const own = instance._malloc(64);
const place = instance.stackAlloc(64);
new Int32Array(instance.HEAP32.buffer).fill(0x7fffff02, place / 4 - 8, place / 4 + 16);
instance._free(place);
instance._free(own);
process.stdout.write(JSON.stringify({ isTakenAgain: instance._malloc(64) === own }));
process.exit();
