import { availableParallelism } from "node:os";
import { Tensor } from "onnxruntime-common";
import type { OrtModule } from "../ort-node/load.ts";
import { defaultThreads } from "../processors.ts";
import { OrtApi } from "./api.ts";
import { CallerThread } from "./caller-thread.ts";
import { HugePages } from "./huge-pages.ts";
import { findInstallation } from "./koffi.ts";
import type { Native } from "./native.ts";
import { tryOutNative } from "./probe.ts";
import { Resources } from "./resources.ts";
import { Runner } from "./runner.ts";
import { NativeSession } from "./session.ts";
import { readOptions } from "./session-options.ts";
import { NativeShards } from "./shards.ts";
import { NativeState } from "./state.ts";
import { NativeTensors } from "./tensors.ts";
import { NativeUpdates } from "./updates.ts";

/** Execution providers that this way has; for the others there is the binding. */
export const NATIVE_PROVIDERS: readonly string[] = ["cpu", "cuda"];

/** Memory of a provider that keeps tensors on a device, by its name in ONNX Runtime. */
const DEVICES: Readonly<Record<string, string>> = { cuda: "Cuda" };

let reached: Promise<Native> | null = null;

/**
 * The C API of the library that onnxruntime-node ships, found and tried out once per process.
 * @throws Error that says in words why it cannot be used here
 */
export async function reachNative(): Promise<Native> {
  reached ??= make();
  return reached;
}

/** @throws as `reachNative` */
export async function loadNative(): Promise<OrtModule> {
  return moduleOf(await reachNative());
}

async function make(): Promise<Native> {
  const installation = findInstallation();
  const api = new OrtApi(installation);
  const resources = new Resources(api);
  const runner = new Runner(api, installation.koffiFile);
  const tensors = new NativeTensors(api, resources);
  const pages = HugePages.reach(installation.koffi);
  const { koffi, koffiFile } = installation;
  const callerThread = CallerThread.reach(api, koffi);
  const shared = { api, resources, runner, callerThread, tensors, pages, koffiFile };
  const native: Native = { ...shared, kernelMemories: [], running: new Set() };
  process.on("exit", () => end(native));
  await tryOutNative(native);
  return native;
}

/** The end of the process: a run under way is cut short, and all memory given back, before the library is unloaded. */
function end({ api, resources, runner, running }: Native): void {
  for (const runOptions of running) api.call("RunOptionsSetTerminate", runOptions.pointer);
  if (runner.close()) resources.giveBackAll();
}

/** The C API as the module that sessions of training are made with. */
export function moduleOf(native: Native): OrtModule {
  return {
    Tensor,
    InferenceSession: { create: (model, options = {}) => NativeSession.create(native, model, options) },
    createUpdates: (options) => {
      const { intraOpNumThreads } = readOptions(options);
      return new NativeUpdates(native, intraOpNumThreads ?? availableParallelism());
    },
    createShards: (options) => {
      const settings = readOptions(options);
      return new NativeShards(native, settings, settings.intraOpNumThreads ?? defaultThreads());
    },
    createState: (provider, options) => {
      const device = DEVICES[provider.name];
      if (device === undefined) return new NativeState(native.tensors, null);
      const { deviceId } = provider;
      return new NativeState(native.tensors, {
        name: device,
        id: typeof deviceId === "number" ? deviceId : 0,
        create: (model) => NativeSession.create(native, model, options),
      });
    },
  };
}
