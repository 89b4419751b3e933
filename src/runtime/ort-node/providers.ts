import { BackendError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { explain } from "../ort-errors.ts";
import type { Reached, WayName } from "../session.ts";
import { NO_LOG } from "../session-options.ts";
import { Unavailable } from "../unavailable.ts";
import type { OrtModule, OrtSession } from "./load.ts";
import type { Updates } from "./separated.ts";
import type { Shards } from "./shards.ts";
import { DeviceState, HostState, type StateStore } from "./state-store.ts";
import type { Way } from "./ways.ts";

/** An execution provider by name, or with options of its own as onnxruntime-node takes them. */
export type Provider = string | (Readonly<Record<string, unknown>> & { readonly name: string });

export interface OrtNodeOptions {
  /**
   * Execution providers in order of preference. The first that works is used, with the CPU for what it cannot do; where none
   * works that is an error, unless `cpu` is among them. Default `["cpu"]`.
   */
  readonly executionProviders?: readonly Provider[];
  /** Threads within an operator. Default: ONNX Runtime's choice, one per core; in Node, one per processor that the process may use, where these are fewer. Models of which every tensor is small take one. */
  readonly threads?: number;
  /** Sets denormal numbers to zero: moments run into them, and they are many times slower. Default true. */
  readonly denormalsAsZero?: boolean;
}

/** What runs where, and how it is asked for. */
interface ProviderEntry {
  readonly name: string;
  /** What to install or to have, where it is missing. */
  readonly needs: string;
  /** Where outputs that stay on the device are kept; null where they come back to memory. */
  readonly keepsAt: "gpu-buffer" | null;
}

export const PROVIDERS: readonly ProviderEntry[] = [
  { name: "cpu", needs: "Nothing is needed.", keepsAt: null },
  {
    name: "webgpu",
    needs:
      "It needs a GPU with a Vulkan, Metal or Direct3D 12 driver; on Linux XDG_RUNTIME_DIR must be set, and VK_ICD_FILENAMES can name a software driver.",
    keepsAt: "gpu-buffer",
  },
  {
    name: "cuda",
    needs:
      "It needs an NVIDIA GPU, CUDA 12 and cuDNN 9, and the CUDA libraries of onnxruntime-node: run npm rebuild onnxruntime-node --ignore-scripts=false --onnxruntime-node-install=cuda12.",
    keepsAt: null,
  },
  { name: "dml", needs: "DirectML is there on Windows only.", keepsAt: null },
  { name: "coreml", needs: "Core ML is there on macOS only.", keepsAt: null },
];

/** Whether the CPU is the first to be asked. */
export function prefersCpu({ executionProviders: [preferred = "cpu"] = [] }: OrtNodeOptions): boolean {
  return fullOf(preferred).name === "cpu";
}

/** `wasm` is what the CPU was called where this interface comes from. */
function fullOf(provider: Provider): Exclude<Provider, string> {
  const full = typeof provider === "string" ? { name: provider } : provider;
  return full.name === "wasm" ? { ...full, name: "cpu" } : full;
}

const nameOf = (provider: Provider): string => fullOf(provider).name;

export interface ResolvedProvider {
  readonly name: string;
  readonly keepsAt: "gpu-buffer" | null;
  /**
   * Loads a model. Where others run in between (`alternates`), its threads end their busy wait with the run: else they keep the
   * cores from the next model's threads, and a step of two models takes twice as long.
   */
  readonly create: (
    model: Uint8Array,
    options: Readonly<Record<string, unknown>>,
    alternates?: boolean,
  ) => Promise<OrtSession>;
  /** Makes what keeps the state of a training run. */
  readonly createState: () => StateStore;
  /** Makes what computes updates where the state lies; null where nothing does. */
  readonly createUpdates: (() => Updates) | null;
  /** Runs models on parts of a batch at the same time; null where nothing does. */
  readonly shards: Shards | null;
  /** How ONNX Runtime is reached. */
  readonly way: Reached;
  /** Providers that were preferred and did not work, with the reason. */
  readonly passedOver: readonly (readonly [name: string, reason: string])[];
}

/**
 * Finds the first provider that works, by a model that doubles a number, and the first way to it.
 * @throws BackendError `E_EXECUTION_PROVIDER` for a name that is none, and where none of those asked for works
 */
export async function chooseProvider(ways: readonly Way[], options: OrtNodeOptions): Promise<ResolvedProvider> {
  const asked = options.executionProviders ?? ["cpu"];
  const unknown = asked.find((provider) => !PROVIDERS.some(({ name }) => name === nameOf(provider)));
  if (unknown !== undefined || asked.length === 0) {
    const names = PROVIDERS.map(({ name }) => name).join(", ");
    throw new BackendError(
      "E_EXECUTION_PROVIDER",
      unknown === undefined
        ? "no execution provider is given"
        : `there is no execution provider "${nameOf(unknown)}"; there is ${names}`,
      { field: "executionProviders" },
    );
  }
  const passedOver: (readonly [string, string])[] = [];
  const needs: string[] = [];
  let lastCause: unknown;
  for (const provider of asked) {
    const { name } = fullOf(provider);
    try {
      return { ...(await reach(ways, provider, options)), passedOver };
    } catch (cause) {
      if (cause instanceof BackendError) throw cause;
      lastCause = cause;
      passedOver.push([name, cause instanceof Unavailable ? cause.message : explain(cause).reason]);
      const entry = PROVIDERS.find((each) => each.name === name);
      needs.push(cause instanceof Unavailable ? cause.needs : (entry?.needs ?? ""));
    }
  }
  const reasons = passedOver.map(([name, reason]) => `${name}: ${reason}`).join("; ");
  throw new BackendError("E_EXECUTION_PROVIDER", `no execution provider of those asked for works here (${reasons})`, {
    field: "executionProviders",
    hint: `${needs.join(" ")} To use the CPU instead, put cpu into the list.`,
    ...(lastCause === undefined ? {} : { cause: lastCause }),
  });
}

/** @throws what the last way to the provider throws; BackendError where there is none */
async function reach(
  ways: readonly Way[],
  provider: Provider,
  options: OrtNodeOptions,
): Promise<Omit<ResolvedProvider, "passedOver">> {
  const full = fullOf(provider);
  const passedOver: (readonly [WayName, string])[] = [];
  const fitting = ways.filter(({ providers }) => providers?.includes(full.name) !== false);
  for (const [index, way] of fitting.entries()) {
    try {
      return { ...(await open(await way.load(), provider, options)), way: { name: way.name, passedOver } };
    } catch (cause) {
      if (index === fitting.length - 1) throw cause;
      passedOver.push([way.name, cause instanceof Error ? cause.message : String(cause)]);
    }
  }
  throw new BackendError("E_EXECUTION_PROVIDER", `nothing given has the execution provider "${full.name}"`);
}

async function open(
  ort: OrtModule,
  provider: Provider,
  options: OrtNodeOptions,
): Promise<Omit<ResolvedProvider, "passedOver" | "way">> {
  const full = fullOf(provider);
  const settings = sessionOptions(provider, options);
  const create: ResolvedProvider["create"] = (model, extra, alternates = false) => {
    const session = { ...settings.extra.session, force_spinning_stop: alternates ? "1" : "0" };
    return ort.InferenceSession.create(model, { ...settings, ...extra, extra: { ...settings.extra, session } });
  };
  /** Alone: beside another one, a provider that this build lacks is left out without an error. */
  const alone = { executionProviders: [full.name === "cpu" ? "cpu" : provider] };
  const fillsOutputs = await tryOut(ort, await create(probeModel(), alone));
  const entry = PROVIDERS.find(({ name }) => name === full.name);
  const keepsAt = entry?.keepsAt ?? null;
  const own = ort.createState;
  const createState = (): StateStore => {
    if (own !== undefined) return own(full, settings);
    if (keepsAt === null) return new HostState(ort.Tensor, fillsOutputs);
    return new DeviceState((model, outputs) => create(model, { preferredOutputLocation: outputs }));
  };
  const updates = full.name === "cpu" ? ort.createUpdates : undefined;
  const createUpdates = updates === undefined ? null : (): Updates => updates(settings);
  const shards = full.name === "cpu" ? (ort.createShards?.(settings) ?? null) : null;
  return { name: full.name, keepsAt, create, createState, createUpdates, shards };
}

/**
 * Runs the probe, and tells whether it fills an output that it is given: onnxruntime-web leaves that as it is, and says
 * nothing.
 * @throws Error where a number is wrong
 */
async function tryOut(ort: OrtModule, session: OrtSession): Promise<boolean> {
  try {
    const feeds = { in: new ort.Tensor("float32", Float32Array.of(1.5), [1]) };
    const { out } = await session.run(feeds);
    if (out?.data[0] !== 3) throw new Error(`it doubled 1.5 to ${out?.data[0]}`);
    const given = new ort.Tensor("float32", new Float32Array(1), [1]);
    await session.run(feeds, { out: given });
    return given.data[0] === 3;
  } finally {
    await session.release();
  }
}

/** A model that doubles a number: the least a provider must be able to do. */
function probeModel(): Uint8Array {
  const graph = new Graph("probe");
  const model = new Model(8, graph);
  model.opsets.set(ONNX_DOMAIN, 17);
  const type = tensorType(DataType.float, [1]);
  const [input, output] = [new Value("in", type), new Value("out", type)];
  graph.inputs.push(input);
  graph.append(new Node("Add", [input, input], [output], { name: "probe" }));
  graph.addOutput(output);
  return encodeModel(model);
}

type SessionSettings = Readonly<Record<string, unknown>> & {
  readonly extra: Readonly<Record<"session" | "optimization", Readonly<Record<string, string>>>>;
};

/**
 * Optimizations of ONNX Runtime that make its CPU provider slower: a product and a bias become `Gemm`, which writes the bias to
 * all rows on one thread first, and the scale of a product makes one of many small ones of it where a batch is multiplied by one matrix.
 */
const SLOWER_ON_CPU = "MatMulAddFusion;MatMulScaleFusion";

function sessionOptions(provider: Provider, { threads, denormalsAsZero = true }: OrtNodeOptions): SessionSettings {
  return {
    ...NO_LOG,
    executionProviders: nameOf(provider) === "cpu" ? ["cpu"] : [provider, "cpu"],
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    interOpNumThreads: 1,
    executionMode: "sequential",
    extra: {
      session: { set_denormal_as_zero: denormalsAsZero ? "1" : "0" },
      optimization: nameOf(provider) === "cpu" ? { disable_specified_optimizers: SLOWER_ON_CPU } : {},
    },
  };
}
