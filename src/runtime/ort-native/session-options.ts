import type { OrtApi } from "./api.ts";
import type { Owned, Resources } from "./resources.ts";

/** What a session is made with: the names that onnxruntime-node has for them. */
export interface NativeSessionOptions {
  readonly executionProviders: readonly unknown[];
  readonly logSeverityLevel: number;
  readonly intraOpNumThreads: number | null;
  readonly interOpNumThreads: number | null;
  readonly denormalsAsZero: boolean;
  /** Entries of the session's configuration, by their keys. */
  readonly configuration: Readonly<Record<string, string>>;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** @throws Error for an option that this code does not know */
export function readOptions(given: Readonly<Record<string, unknown>>): NativeSessionOptions {
  const { executionProviders = ["cpu"], logSeverityLevel = 4, intraOpNumThreads, interOpNumThreads, ...rest } = given;
  const { executionMode = "sequential", extra, ...unknown } = rest;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new Error(`a session option "${name}" is not known here`);
  if (executionMode !== "sequential")
    throw new Error(`the execution mode "${String(executionMode)}" is not known here`);
  if (!Array.isArray(executionProviders)) throw new Error("executionProviders is not a list");
  return {
    executionProviders,
    logSeverityLevel: wholeNumber("logSeverityLevel", logSeverityLevel) ?? 4,
    intraOpNumThreads: wholeNumber("intraOpNumThreads", intraOpNumThreads),
    interOpNumThreads: wholeNumber("interOpNumThreads", interOpNumThreads),
    ...readExtra(extra),
  };
}

function wholeNumber(name: string, value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`the session option "${name}" is not a whole number`);
}

const DENORMALS = "session.set_denormal_as_zero";
/** Keys of onnxruntime_session_options_config_keys.h. */
const KEYS: readonly string[] = [
  ...[DENORMALS, "session.force_spinning_stop", "optimization.disable_specified_optimizers"],
];

function readExtra(extra: unknown): Pick<NativeSessionOptions, "denormalsAsZero" | "configuration"> {
  if (extra === undefined) return { denormalsAsZero: false, configuration: {} };
  const groups = Object.entries(isRecord(extra) ? extra : { extra });
  const entries = groups.flatMap(([group, values]) =>
    isRecord(values)
      ? Object.entries(values).map(([key, value]) => [`${group}.${key}`, value] as const)
      : [[group, values] as const],
  );
  const unknown = entries.map(([key]) => key).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw new Error(`a session option "${unknown}" is not known here`);
  const configuration = Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
  return { denormalsAsZero: configuration[DENORMALS] === "1", configuration };
}

/** Makes the native options. They are to be released once the session is made. */
export function makeOptions(api: OrtApi, resources: Resources, options: NativeSessionOptions): Owned {
  const owned = resources.own("options", api.make("CreateSessionOptions"));
  try {
    const { intraOpNumThreads, interOpNumThreads, configuration, logSeverityLevel } = options;
    api.call("SetSessionLogSeverityLevel", owned.pointer, logSeverityLevel);
    api.call("SetSessionExecutionMode", owned.pointer, 0);
    if (intraOpNumThreads !== null) api.call("SetIntraOpNumThreads", owned.pointer, intraOpNumThreads);
    if (interOpNumThreads !== null) api.call("SetInterOpNumThreads", owned.pointer, interOpNumThreads);
    for (const [key, value] of Object.entries(configuration)) {
      api.call("AddSessionConfigEntry", owned.pointer, key, value);
    }
    for (const provider of options.executionProviders) appendProvider(api, resources, owned, provider);
    return owned;
  } catch (error) {
    owned.release();
    throw error;
  }
}

/** Options of CUDA, by their names in JavaScript. */
const CUDA_OPTIONS: Readonly<Record<string, string>> = { deviceId: "device_id" };

function appendProvider(api: OrtApi, resources: Resources, options: Owned, provider: unknown): void {
  const { name, ...settings } = isRecord(provider) ? provider : { name: provider };
  if (name === "cpu") return;
  if (name !== "cuda") throw new Error(`the execution provider ${String(name)} is not available here`);
  const cuda = resources.own("cudaOptions", api.make("CreateCUDAProviderOptions"));
  try {
    const entries = Object.entries(settings).map(([key, value]) => {
      const known = CUDA_OPTIONS[key];
      if (known === undefined) throw new Error(`an option "${key}" of CUDA is not known here`);
      return [known, String(value)] as const;
    });
    const texts = entries.flat().map(cString);
    const pointers = new BigUint64Array(new ArrayBuffer(8 * Math.max(1, texts.length)));
    for (const [index] of entries.entries()) {
      pointers[index] = api.address(textAt(texts, 2 * index));
      pointers[entries.length + index] = api.address(textAt(texts, 2 * index + 1));
    }
    const values = pointers.subarray(entries.length);
    if (entries.length > 0) api.call("UpdateCUDAProviderOptions", cuda.pointer, pointers, values, entries.length);
    api.call("SessionOptionsAppendExecutionProvider_CUDA_V2", options.pointer, cuda.pointer);
  } finally {
    cuda.release();
  }
}

function textAt(texts: readonly Uint8Array[], index: number): Uint8Array {
  const text = texts[index];
  if (text === undefined) throw new RangeError(`no text ${index}`);
  return text;
}

/** Text as C has it, in memory that does not move. */
export function cString(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const fixed = new Uint8Array(new ArrayBuffer(bytes.length));
  fixed.set(bytes);
  return fixed;
}
