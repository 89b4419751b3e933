import { areSmall } from "./analysis/small-models.ts";
import { BYTES, type Kind, OPTIONS, optional, PATH, requireArgument, withFields } from "./arguments.ts";
import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { A_SET, type TrainingSet } from "./artifacts/training-set.ts";
import { partsFor } from "./batch-parts.ts";
import { blockSizeFor } from "./blocked-layout.ts";
import { BackendError, OnnxAgrError, requireOption, UsageError } from "./errors.ts";
import { readRegularFile } from "./graph/io/read-file.ts";
import { decodeModel } from "./graph/serde/decode.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { open } from "./open.ts";
import type { LearningRateSchedule } from "./optim/schedule.ts";
import { SIZES } from "./passes/open-sizes.ts";
import { builtInRate, setLearningRate } from "./passes/set-learning-rate.ts";
import type { OrtModule } from "./runtime/ort-node/load.ts";
import { type OrtNodeOptions, type Provider, prefersCpu } from "./runtime/ort-node/providers.ts";
import { type Isolation, PEERS, startPeer } from "./runtime/ort-node/remote/peer.ts";
import { RemoteSession } from "./runtime/ort-node/remote/session.ts";
import { OrtNodeSession } from "./runtime/ort-node/session.ts";
import { waysTo } from "./runtime/ort-node/ways.ts";
import { OrtTrainingSession } from "./runtime/ort-training/session.ts";
import { grantedProcessors } from "./runtime/processors.ts";
import type { TrainingSession as Session, TrainingSessionCreateOptions } from "./runtime/session.ts";
import { readSessionFiles } from "./runtime/session-files.ts";
import { exportForward, lowered, programsOf } from "./session-programs.ts";
import { noOptimizer, requireKnown, type SessionModels, type SessionSettings } from "./session-settings.ts";
import { decodedOf, toFiles } from "./session-source.ts";
import { rangedInputs, TRAINABLE, trainableOf } from "./source.ts";
import type { StepArtifacts } from "./step-artifacts.ts";

export interface TrainingSessionOptions extends SessionSettings, Omit<OrtNodeOptions, "executionProviders"> {
  /**
   * `ort-node`: onnxruntime-node, on CPU or GPU; ONNX Runtime's own artifacts are lowered to standard operators in memory.
   * `ort-training`: the training build of onnxruntime-web 1.19.2, WebAssembly.
   * Default: ort-node, or ort-training where onnxruntime-node is not installed or an operator has no lowering.
   */
  readonly runtime?: "ort-node" | "ort-training";
  /** In order of preference; for ort-training, `cpu` or `wasm` as it was called there. Default `["cpu"]`. */
  readonly executionProviders?: readonly Provider[];
  /**
   * Where ort-node runs: `thread` in a worker thread, so that the event loop stays free while a step runs; `process` in a
   * process of its own, which may crash without the caller. Default: in the caller's thread.
   */
  readonly isolation?: Isolation;
  /**
   * The file that `isolation` runs, where a bundler has put this package's code into another file: what it made of the entry
   * point `onnx-agr/worker`. Default: the package's own.
   */
  readonly worker?: string | URL;
  /**
   * Sizes that most batches have where the models leave them open, by the models' names for them: `{ batch: 64 }`. On ONNX Runtime's CPU
   * provider, ort-node computes batches of these sizes by models made for them, and all others by those that take any size. Which it is
   * depends on the batch and on this option alone; the numbers differ by rounding. Elsewhere it changes nothing. Default: none.
   */
  readonly sizes?: Readonly<Record<string, number>>;
  /** The module to train with instead of onnxruntime-node: onnxruntime-web, in a browser. */
  readonly ort?: OrtModule;
}

export type TrainingSession = Session;

const FILE: Kind = { what: "a path or bytes", holds: (given) => PATH.holds(given) || BYTES.holds(given) };
const FILES = withFields(
  { checkpointState: FILE, trainModel: FILE, evalModel: optional(FILE), optimizerModel: optional(FILE) },
  "",
);
const SOURCE: Kind = {
  what: "a path that open takes, what open or buildTrainingArtifacts gives, or { checkpointState, trainModel, evalModel?, optimizerModel? }, each a path or bytes",
  holds: (given) => PATH.holds(given) || FILES.holds(given) || TRAINABLE.holds(given) || A_SET.holds(given),
};

/** What a session is made of: a path, what `open` gives of it, what was built, or ONNX Runtime's artifacts as files. */
export type SessionSource =
  | string
  | TrainingSessionCreateOptions
  | TrainingArtifacts
  | PortableArtifacts
  | StepArtifacts
  | TrainingSet;

/**
 * Composition: passes prepare the artifacts, a runtime trains them. The runtimes themselves contain no passes.
 */
export const TrainingSession = {
  /**
   * Makes a session from a path, as `open` takes it, from what `open`, the other readers and `buildTrainingArtifacts` give, or from
   * ONNX Runtime's four artifacts, as paths or bytes. Of two sets it takes the portable one, and the other for `ort-training`. A whole
   * step has `trainSteps` alone: it gives out no gradients and sums up none.
   * @throws what `open`, `OrtNodeSession.create`, `OrtTrainingSession.create` and `lowerArtifacts` throw; PassError
   *   `E_NO_OPTIMIZER` for a learning rate without an optimizer; UsageError `E_OPTION` for an option that there is not,
   *   and for a name in `sizes` that no open size of the inputs has
   */
  async create(from: SessionSource, options: TrainingSessionOptions = {}): Promise<TrainingSession> {
    requireArgument("source", from, SOURCE);
    requireArgument("options", options, OPTIONS);
    requireKnown(KNOWN, options);
    requireArgument("options.sizes", options.sizes, optional(SIZES));
    const { runtime } = options;
    const reading = runtime === "ort-training" ? ({ prefer: "onnxruntime" } as const) : {};
    const given = typeof from === "string" ? await open(from, reading) : from;
    const source = "onnxruntime" in given ? trainableOf(given, reading.prefer) : given;
    if (runtime !== undefined && runtime !== "ort-node" && runtime !== "ort-training") {
      throw new UsageError("E_OPTION", `there is no runtime "${String(runtime)}"; there is ort-node and ort-training`, {
        field: "runtime",
      });
    }
    if ("step" in source) {
      const isGrouped = needsNode(options).includes("parameterGroups");
      requireOption(!isGrouped, "parameterGroups", "left out: a whole step has its groups in it");
      return openPortable({ ...source, trainStep: source.step, gradients: null, apply: null }, options);
    }
    if ("gradients" in source) {
      const isGrouped = needsNode(options).includes("parameterGroups");
      requireOption(!isGrouped, "parameterGroups", "given to lowerArtifacts: a portable set has its groups in it");
      return openPortable(source, options);
    }
    const files = async (): Promise<TrainingSessionCreateOptions> =>
      "checkpointState" in source ? source : await toFiles(source);
    if (runtime === "ort-training") {
      const [needs] = needsNode(options);
      requireOption(needs === undefined, needs ?? "", "left out: ort-training has nothing of the kind");
      return openTrainingBuild(await files(), options);
    }
    const decoded = "checkpointState" in source ? (await readSessionFiles(source)).decoded : await decodedOf(source);
    try {
      return await openPortable(await lowered(decoded, options), options);
    } catch (error) {
      if (runtime === undefined && needsNode(options).length === 0 && mayFallBack(error))
        return openTrainingBuild(await files(), options);
      throw error;
    }
  },
};

/** Every option that there is; the type keeps the list whole. */
const KNOWN: Readonly<Record<keyof TrainingSessionOptions, true>> = {
  ...{ runtime: true, executionProviders: true, isolation: true, worker: true, ort: true },
  ...{ threads: true, denormalsAsZero: true },
  ...{ learningRate: true, stepsPerCall: true, parameterGroups: true, sizes: true },
};

/** Options given that only ort-node has. */
function needsNode({ isolation, parameterGroups = [] }: TrainingSessionOptions): readonly string[] {
  return [
    ...(isolation === undefined ? [] : ["isolation"]),
    ...(parameterGroups.length === 0 ? [] : ["parameterGroups"]),
  ];
}

/** What says that ort-node cannot train these artifacts here, and not that something is wrong with them. */
const FALL_BACK = ["E_NO_LOWERING", "E_NO_SHAPE", "E_NO_UPGRADE", "E_OPSET", "E_RUNTIME_MISSING"];

function mayFallBack(error: unknown): boolean {
  return error instanceof OnnxAgrError && FALL_BACK.includes(error.code);
}

async function openPortable(artifacts: SessionModels, options: TrainingSessionOptions): Promise<TrainingSession> {
  const { runtime = "ort-node", ort } = options;
  if (runtime !== "ort-node") {
    throw new UsageError("E_OPTION", "a portable set is trained by ort-node", { field: "runtime" });
  }
  const ways = waysTo(ort);
  const isCpu = ort === undefined && prefersCpu(options);
  const threads = isCpu && isSmall(artifacts) ? 1 : (options.threads ?? grantedProcessors());
  const block = isCpu ? await blockSizeFor(artifacts, ways, options) : null;
  const { sizes = {} } = options;
  const known = threads === null ? {} : { threads };
  const layouts = { block, parts: partsFor(threads), sizes, ...known };
  const programs = programsOf(artifacts, options, isCpu ? layouts : null);
  const settings = { ...options, ...known };
  if (options.isolation !== undefined) {
    requireOption(options.isolation in PEERS, "isolation", "thread or process");
    requireOption(ort === undefined, "ort", "left out with isolation: a module cannot be handed over");
    return RemoteSession.create(programs, settings, startPeer(options.isolation, options.worker));
  }
  return OrtNodeSession.create(ways, programs, settings);
}

/** Whether a second thread would have nothing to do. */
function isSmall({ trainStep, gradients, apply, evalModel }: SessionModels): boolean {
  const models = [gradients ?? trainStep, evalModel].filter((model) => model !== null);
  return areSmall(models, apply);
}

async function openTrainingBuild(
  files: TrainingSessionCreateOptions,
  { executionProviders = [], learningRate, threads }: TrainingSessionOptions,
): Promise<TrainingSession> {
  requireCpu(executionProviders);
  const prepared = learningRate === undefined ? files : await withLearningRate(files, learningRate);
  return OrtTrainingSession.create(prepared, {
    exporter: exportForward,
    inputsOf: rangedInputs,
    rateOf: builtInRate,
    ...(threads === undefined ? {} : { threads }),
  });
}

function requireCpu(providers: readonly Provider[]): void {
  const names = providers.map((provider) => (typeof provider === "string" ? provider : provider.name));
  const other = names.find((name) => name !== "cpu" && name !== "wasm");
  if (other === undefined || names.includes("cpu") || names.includes("wasm")) return;
  throw new BackendError(
    "E_EXECUTION_PROVIDER",
    `the runtime ort-training has no execution provider "${other}"; it has cpu`,
    {
      field: "executionProviders",
    },
  );
}

async function withLearningRate(
  files: TrainingSessionCreateOptions,
  learningRate: number | LearningRateSchedule,
): Promise<TrainingSessionCreateOptions> {
  const { optimizerModel } = files;
  if (optimizerModel === undefined) throw noOptimizer();
  const model = decodeModel(
    typeof optimizerModel === "string" ? await readRegularFile(optimizerModel) : optimizerModel,
  );
  setLearningRate(model, typeof learningRate === "number" ? { rate: learningRate } : learningRate);
  return { ...files, optimizerModel: encodeModel(model) };
}
