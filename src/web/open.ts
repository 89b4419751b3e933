import { type Kind, OPTIONS, requireArgument } from "../arguments.ts";
import { PORTABLE, type PortableArtifacts } from "../artifacts/portable/portable-artifacts.ts";
import { requireOption } from "../errors.ts";
import type { OrtNodePrograms } from "../runtime/ort-node/programs.ts";
import type { OrtNodeOptions, Provider } from "../runtime/ort-node/providers.ts";
import { OrtNodeSession } from "../runtime/ort-node/session.ts";
import { requireRoom } from "../runtime/ort-web/environment.ts";
import type { WorkerSource } from "../runtime/ort-web/peer.ts";
import { env, environmentToSend, WEB_WAYS } from "../runtime/ort-web/ways.ts";
import type { TrainingSession } from "../runtime/session.ts";
import type { SessionSettings } from "../session-settings.ts";
import { fetchPortable, PORTABLE_SOURCES, type PortableSources, readPortable } from "./portable.ts";
import { ADDRESS } from "./read-source.ts";

export interface WebSessionOptions
  extends Pick<SessionSettings, "learningRate" | "stepsPerCall">,
    Pick<OrtNodeOptions, "denormalsAsZero"> {
  /**
   * In order of preference: `webgpu`, `wasm`. The first that works is used; where none works that is an error, so nothing
   * falls back to WebAssembly unless it is in the list. Default `["wasm"]`.
   */
  readonly executionProviders?: readonly Provider[];
  /** Threads of WebAssembly. More than one needs a page that is cross-origin isolated. Default: `env.wasm.numThreads`. */
  readonly threads?: number;
  /**
   * Runs the session in a Web Worker: `true` for the package's own file, or where a bundler has put it: its address, or the
   * worker made of it (`new Worker(new URL("onnx-agr/web/worker", import.meta.url), { type: "module" })`). Default false.
   */
  readonly worker?: boolean | WorkerSource;
}

/** Every option that there is; the type keeps the list whole. */
export const WEB_OPTIONS: Readonly<Record<keyof WebSessionOptions, true>> = {
  ...{ executionProviders: true, threads: true, worker: true, denormalsAsZero: true },
  ...{ learningRate: true, stepsPerCall: true },
};

/** A portable set: the address of its folder, its files, or what `readPortable` gives. */
export type PortableSource = string | URL | PortableSources | PortableArtifacts;

export const PORTABLE_SOURCE: Kind = {
  what: `the address of a folder, or ${PORTABLE_SOURCES.what}`,
  holds: (given) => ADDRESS.holds(given) || PORTABLE_SOURCES.holds(given) || PORTABLE.holds(given),
};

export async function portableOf(source: PortableSource): Promise<PortableArtifacts> {
  if (typeof source === "string" || source instanceof URL) return fetchPortable(source);
  return PORTABLE.holds(source) ? (source as PortableArtifacts) : readPortable(source as PortableSources);
}

/** Opens a session in the page or in a worker of it. */
export async function openIn(
  programs: OrtNodePrograms,
  { worker = false, threads, ...options }: WebSessionOptions,
): Promise<TrainingSession> {
  requireArgument("options", options, OPTIONS);
  requireOption(
    threads === undefined || (Number.isSafeInteger(threads) && threads >= 1),
    "threads",
    "a whole number from 1 on",
  );
  if (threads !== undefined) env.wasm.numThreads = threads;
  requireRoom([...programs.state.tensors.values()].reduce((sum, tensor) => sum + (tensor.byteLength ?? 0), 0));
  const { executionProviders = ["wasm"], denormalsAsZero } = options;
  const given: OrtNodeOptions = { executionProviders, ...(denormalsAsZero === undefined ? {} : { denormalsAsZero }) };
  if (worker === false) return OrtNodeSession.create(WEB_WAYS, programs, given);
  const [{ RemoteSession }, { startWorker }] = await Promise.all([
    import("../runtime/ort-node/remote/session.ts"),
    import("../runtime/ort-web/peer.ts"),
  ]);
  return RemoteSession.create(programs, given, startWorker(worker === true ? null : worker), environmentToSend());
}
