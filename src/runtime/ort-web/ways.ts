import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import { turn } from "../../event-loop.ts";
import type { OrtModule, OrtSession } from "../ort-node/load.ts";
import type { Way } from "../ort-node/ways.ts";
import type { NamedTensors } from "../session.ts";
import { requireWebAssembly, requireWebGpu, threadsHere } from "./environment.ts";

/** Settings of onnxruntime-web, under its own names: they are its own once it is loaded. */
export interface WebEnvironment {
  readonly [setting: string]: unknown;
  readonly wasm: {
    readonly [setting: string]: unknown;
    /** Where its `.wasm` and `.mjs` files are. Default: beside its code. */
    wasmPaths?: string | { readonly mjs?: string | URL; readonly wasm?: string | URL };
    /** Default: its choice where the page is isolated, else 1. */
    numThreads?: number;
    proxy?: boolean;
  };
  /** As `powerPreference`. */
  readonly webgpu: Record<string, unknown>;
  /** Default `fatal`: what onnxruntime-web has to say comes with the errors. */
  logLevel?: "verbose" | "info" | "warning" | "error" | "fatal";
  debug?: boolean;
}

/** To be set before the first session is made, as `ort.env` of onnxruntime-web is. */
export const env: WebEnvironment = { wasm: {}, webgpu: {} };

/** The settings as another thread takes them: addresses as they are meant from here, as texts, since no other can be sent. */
export function environmentToSend(): WebEnvironment {
  const { wasmPaths, ...wasm } = env.wasm;
  const whole = (address: string | URL): string => new URL(address, globalThis.location.href).href;
  const paths =
    wasmPaths === undefined || typeof wasmPaths === "string"
      ? wasmPaths && whole(wasmPaths)
      : Object.fromEntries(Object.entries(wasmPaths).map(([file, address]) => [file, whole(address)]));
  return { ...env, wasm: { ...wasm, ...(paths === undefined ? {} : { wasmPaths: paths }) }, webgpu: { ...env.webgpu } };
}

/** Settings of another thread. */
export function takeEnvironment(given: unknown): void {
  if (given === undefined) return;
  const { wasm, webgpu, ...others } = given as WebEnvironment;
  Object.assign(env, others);
  Object.assign(env.wasm, wasm);
  Object.assign(env.webgpu, webgpu);
}

type Loaded = typeof import("onnxruntime-common");

/** What WebAssembly was started with; undefined: it was not yet. */
let startedThreads: number | null | undefined;

/** @throws BackendError `E_NOT_ISOLATED`; `E_THREADS` where WebAssembly runs already, with another number of threads */
function applySettings({ env: own }: Loaded): void {
  const { wasm, webgpu, ...others } = env;
  const { numThreads, ...settings } = wasm;
  const threads = threadsHere(numThreads ?? null);
  if (startedThreads !== undefined && startedThreads !== threads) {
    const has = startedThreads === null ? "as many threads as it chose" : `${startedThreads} threads`;
    throw new BackendError("E_THREADS", `onnxruntime-web runs already with ${has}; the number cannot change`, {
      field: "threads",
      hint: "Reload the page, run the session in a worker (worker: true), or use the same number.",
    });
  }
  startedThreads = threads;
  Object.assign(own, { logLevel: "fatal" }, others);
  Object.assign(own.wasm, settings, threads === null ? {} : { numThreads: threads });
  Object.assign(own.webgpu, webgpu);
}

/** A GPU device that sessions compute on. ONNX Runtime has one while it has sessions, and makes another for the next ones. */
class Device {
  static readonly #known = new WeakMap<GPUDevice, Device>();
  #reason: string | null = null;

  /** What is known of a device, from the first session on. */
  static of(device: GPUDevice): Device {
    const known = Device.#known.get(device) ?? new Device(device);
    Device.#known.set(device, known);
    return known;
  }

  private constructor(device: GPUDevice) {
    void device.lost.then(({ reason, message }) => {
      this.#reason = message === "" ? reason : message;
    });
  }

  /** @throws BackendError `E_DEVICE_LOST` */
  requireThere(cause?: unknown): void {
    if (this.#reason === null) return;
    throw new BackendError("E_DEVICE_LOST", `the GPU device is gone: ${this.#reason}`, {
      hint: "Release the sessions that were on it, load the last checkpoint into a new one and go on from there.",
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/**
 * A session whose runs say that the device is lost, and not what came of that: without a device a run whose outputs stay there
 * ends as if all were well.
 */
function watched(session: OrtSession, device: Device): OrtSession {
  const run = async (feeds: NamedTensors, fetches?: Readonly<Record<string, Tensor | null>>) => {
    device.requireThere();
    try {
      const results = await (fetches === undefined ? session.run(feeds) : session.run(feeds, fetches));
      device.requireThere();
      return results;
    } catch (cause) {
      /** The loss is told in a turn of its own. */
      await turn();
      device.requireThere(cause);
      throw cause;
    }
  };
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run,
    endProfiling: () => session.endProfiling(),
    release: () => session.release(),
  };
}

async function loadWasm(): Promise<OrtModule> {
  requireWebAssembly();
  const ort = await import("onnxruntime-web/wasm");
  applySettings(ort);
  return ort as unknown as OrtModule;
}

async function loadWebGpu(): Promise<OrtModule> {
  requireWebAssembly();
  await requireWebGpu();
  const ort = await import("onnxruntime-web/webgpu");
  applySettings(ort);
  const create: OrtModule["InferenceSession"]["create"] = async (model, options) => {
    const session = (await ort.InferenceSession.create(model, { ...options })) as unknown as OrtSession;
    const { device } = ort.env.webgpu as { readonly device?: Promise<GPUDevice> };
    return device === undefined ? session : watched(session, Device.of(await device));
  };
  return { Tensor: ort.Tensor, InferenceSession: { create } };
}

/** The ways to ONNX Runtime in a browser, each to its execution provider. */
export const WEB_WAYS: readonly Way[] = [
  { name: "web", providers: ["cpu"], load: loadWasm },
  { name: "web", providers: ["webgpu"], load: loadWebGpu },
];
