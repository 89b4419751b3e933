import { BackendError } from "../../errors.ts";
import { Unavailable } from "../unavailable.ts";

/** A module with one instruction on vectors: where it is valid, so is what onnxruntime-web ships. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0],
  ...[10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
);

/** WebAssembly has addresses of 32 bits. */
const MOST_WASM_BYTES = 2 ** 32;

/** @throws Unavailable where the browser cannot run onnxruntime-web's WebAssembly */
export function requireWebAssembly(): void {
  const hasSimd = typeof WebAssembly === "object" && WebAssembly.validate(SIMD_MODULE);
  if (hasSimd && "toSorted" in Array.prototype) return;
  throw new Unavailable(
    hasSimd ? "this browser is too old" : "this browser has no WebAssembly with SIMD",
    "Use Chrome or Edge 110, Firefox 115, Safari 16.4, or later ones.",
  );
}

/** @throws Unavailable where the page has no GPU to compute on, saying why */
export async function requireWebGpu(): Promise<void> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (gpu === undefined && globalThis.isSecureContext === false) {
    throw new Unavailable(
      "the page is not secure, and browsers give WebGPU to secure pages alone",
      "Serve the page over https, or from localhost.",
    );
  }
  if (gpu === undefined) {
    throw new Unavailable(
      "this browser has no WebGPU",
      "Use Chrome or Edge 113, Safari 26, Firefox 141, or later ones.",
    );
  }
  if ((await gpu.requestAdapter()) === null) {
    throw new Unavailable(
      "the browser gives out no GPU",
      "Look at chrome://gpu, whether hardware acceleration is on and the driver is not on a list of bad ones.",
    );
  }
}

/**
 * How many threads WebAssembly may have: it shares memory between them, which a browser allows to isolated pages alone.
 * @param asked null: nobody asked
 * @returns null: as many as onnxruntime-web takes
 * @throws BackendError `E_NOT_ISOLATED` for threads that cannot be had
 */
export function threadsHere(asked: number | null): number | null {
  if (globalThis.crossOriginIsolated) return asked;
  if (asked === null || asked === 1) return 1;
  throw new BackendError(
    "E_NOT_ISOLATED",
    `${asked} threads share memory, which this page may not: it is not isolated`,
    {
      field: "threads",
      hint:
        "Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, " +
        "or leave threads out, which is one.",
    },
  );
}

/**
 * @param bytes of the state, of which a step holds the old one, the new one and the gradients
 * @throws BackendError `E_TOO_LARGE` for what cannot fit into WebAssembly's memory
 */
export function requireRoom(bytes: number): void {
  const needed = 3 * bytes;
  if (needed < MOST_WASM_BYTES) return;
  const gib = (size: number): string => (size / 2 ** 30).toFixed(1);
  throw new BackendError(
    "E_TOO_LARGE",
    `a step needs some ${gib(needed)} GiB, and WebAssembly has ${gib(MOST_WASM_BYTES)} at most`,
    { hint: 'Train a smaller model, freeze parameters (freeze), or train in Node.js, from "onnx-agr".' },
  );
}
