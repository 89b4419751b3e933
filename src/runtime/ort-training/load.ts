import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import type { NamedTensors } from "../session.ts";

/** The part of the training build's session that this package calls. */
export interface NativeSession {
  readonly trainingInputNames: readonly string[];
  readonly trainingOutputNames: readonly string[];
  readonly evalInputNames: readonly string[];
  readonly evalOutputNames: readonly string[];
  lazyResetGrad(): Promise<void>;
  runTrainStep(feeds: NamedTensors, fetches: readonly string[]): Promise<NamedTensors>;
  runOptimizerStep(): Promise<void>;
  runEvalStep(feeds: NamedTensors, fetches: readonly string[]): Promise<NamedTensors>;
  getParametersSize(trainableOnly: boolean): Promise<number>;
  loadParametersBuffer(buffer: Uint8Array, trainableOnly: boolean): Promise<void>;
  getContiguousParameters(trainableOnly: boolean): Promise<Tensor>;
  release(): Promise<void>;
}

/** The artifacts' bytes. */
export interface NativeModels {
  readonly checkpointState: Uint8Array;
  readonly trainModel: Uint8Array;
  readonly evalModel?: Uint8Array;
  readonly optimizerModel?: Uint8Array;
}

export interface NativeModule {
  readonly TrainingSession: {
    create(models: NativeModels, options: { readonly logSeverityLevel: number }): Promise<NativeSession>;
  };
  readonly env: {
    logLevel: string;
    readonly wasm: {
      wasmBinary?: Uint8Array;
      wasmPaths?: { readonly mjs: string; readonly wasm: string };
      numThreads?: number;
    };
  };
}

/**
 * Runs an eval step. The build labels the results with the training model's output names (1.19.2,
 * `convertTensorMetadataToReturnType`), so it is shown the eval model's names for as long as it runs.
 */
export async function runEvalStepByName(
  native: NativeSession,
  feeds: NamedTensors,
  names: readonly string[],
): Promise<NamedTensors> {
  const { handler } = native as unknown as { readonly handler: { outputNames: readonly string[] } };
  const { outputNames } = handler;
  handler.outputNames = names;
  try {
    return await native.runEvalStep(feeds, names);
  } finally {
    handler.outputNames = outputNames;
  }
}

const PACKAGE = "onnxruntime-web";
const VERSION = "1.19.2";
const INSTALL = `Run: npm install ${PACKAGE}@${VERSION}`;

let loading: Promise<{ readonly module: NativeModule; readonly threads: number }> | null = null;

/**
 * Loads the training build of onnxruntime-web 1.19.2, once per process. Its `exports` hide it from Node, so it is imported
 * by file path, with the WebAssembly bytes handed over: Node's fetch does not read files.
 * @param threads of WebAssembly; the first call decides for the process.
 * @throws BackendError `E_RUNTIME_MISSING`, `E_RUNTIME_VERSION`, `E_THREADS`
 */
export async function loadTrainingBuild(threads: number): Promise<NativeModule> {
  loading ??= importBuild(threads).catch((error: unknown) => {
    loading = null;
    throw error;
  });
  const loaded = await loading;
  if (loaded.threads !== threads) {
    throw new BackendError(
      "E_THREADS",
      `the training build already runs with ${loaded.threads} threads in this process, not ${threads}`,
      {
        hint: "Use the same number of threads for all sessions of a process.",
      },
    );
  }
  return loaded.module;
}

async function importBuild(threads: number): Promise<{ readonly module: NativeModule; readonly threads: number }> {
  const folder = await findBuild();
  const url = (name: string): string => pathToFileURL(join(folder, name)).href;
  const module = await asSameOrigin(() => import(url("ort.training.wasm.min.mjs")) as Promise<NativeModule>);
  const { env } = module;
  env.logLevel = "error";
  env.wasm.wasmBinary = await readFile(join(folder, "ort-training-wasm-simd-threaded.wasm"));
  env.wasm.wasmPaths = {
    mjs: withoutFreedStack(url("ort-training-wasm-simd-threaded.mjs")),
    wasm: url("ort-training-wasm-simd-threaded.wasm"),
  };
  env.wasm.numThreads = threads;
  return { module, threads };
}

/**
 * The build (1.19.2, `getContiguousParameters` and `loadParametersBuffer`) frees memory that it took from the stack. What the allocator makes
 * of that depends on what lies there: with some models it reads beyond the memory, and releasing the session never ends. So the module that
 * makes the instance is wrapped, and frees nothing that came from the stack.
 */
function withoutFreedStack(url: string): string {
  const source = `
    import make from ${JSON.stringify(url)};
    export default async (options) => {
      const module = await make(options);
      const { stackAlloc } = module;
      const ofStack = new Set();
      module.stackAlloc = (size) => {
        const place = stackAlloc(size);
        ofStack.add(place);
        return place;
      };
      // The module puts its own function in the place of itself when it is first called.
      let { _free: free } = module;
      const freeUnlessOfStack = (place) => {
        if (!ofStack.has(place)) free(place);
      };
      Object.defineProperty(module, "_free", {
        get: () => freeUnlessOfStack,
        set: (next) => { free = next; },
      });
      return module;
    };`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/**
 * With more than one thread the build fetches its worker script into a blob unless it comes from the page's own origin,
 * which it reads from `location` while it is imported. Node has no `location`, its fetch no file: scheme, and its import no
 * blob: scheme; but a file URL's origin is the string "null", and with that as the page's origin nothing is fetched.
 */
async function asSameOrigin<T>(load: () => Promise<T>): Promise<T> {
  const host = globalThis as { location?: unknown };
  if (host.location !== undefined) return load();
  host.location = { origin: "null" };
  try {
    return await load();
  } finally {
    delete host.location;
  }
}

async function findBuild(): Promise<string> {
  /** A bundle in CommonJS has no URL of its own. */
  const own: string | undefined = import.meta.url;
  const require = createRequire(own ?? process.argv[1] ?? process.execPath);
  let folder: string;
  try {
    folder = dirname(require.resolve(PACKAGE));
  } catch (cause) {
    throw new BackendError(
      "E_RUNTIME_MISSING",
      `${PACKAGE} is not installed; the ort-training runtime is in its version ${VERSION}`,
      {
        hint: INSTALL,
        cause,
      },
    );
  }
  const { version } = JSON.parse(await readFile(join(folder, "..", "package.json"), "utf8")) as { version: string };
  if (version !== VERSION) {
    throw new BackendError(
      "E_RUNTIME_VERSION",
      `${PACKAGE} ${version} is installed; only ${VERSION} is known to train in Node.js`,
      {
        hint: INSTALL,
      },
    );
  }
  return folder;
}
