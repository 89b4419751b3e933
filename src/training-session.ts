import { BYTES, type Kind, OPTIONS, optional, PATH, requireArgument, withFields } from "./arguments.ts";
import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import { type Role, readPlan, writePlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { BackendError, OnnxAgrError, requireOption, UsageError } from "./errors.ts";
import { readRegularFile } from "./graph/io/read-file.ts";
import type { Model } from "./graph/model.ts";
import { decodeModel } from "./graph/serde/decode.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { lowerModels } from "./lower-artifacts.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { completeSchedule, type LearningRateSchedule, learningRateAt } from "./optim/schedule.ts";
import { extractForward } from "./passes/extract-forward.ts";
import { mergeLora } from "./passes/lora.ts";
import { lowerTrainingOps } from "./passes/lower-training-ops/index.ts";
import { repeatStep } from "./passes/portable/repeat.ts";
import type { StepModel } from "./passes/portable/step-model.ts";
import { withoutReset } from "./passes/portable/without-reset.ts";
import { builtInRate, removeLearningRate, setLearningRate } from "./passes/set-learning-rate.ts";
import { DEFAULT_LEARNING_RATE } from "./runtime/learning-rate.ts";
import type { OrtModule } from "./runtime/ort-node/load.ts";
import { type OrtNodePrograms, rateIsBuiltIn } from "./runtime/ort-node/programs.ts";
import type { OrtNodeOptions, Provider } from "./runtime/ort-node/providers.ts";
import { type Isolation, PEERS } from "./runtime/ort-node/remote/peer.ts";
import { RemoteSession } from "./runtime/ort-node/remote/session.ts";
import { OrtNodeSession } from "./runtime/ort-node/session.ts";
import { waysTo } from "./runtime/ort-node/ways.ts";
import { OrtTrainingSession } from "./runtime/ort-training/session.ts";
import type { Exporter, TrainingSession as Session, TrainingSessionCreateOptions } from "./runtime/session.ts";
import { type DecodedArtifacts, readSessionFiles } from "./runtime/session-files.ts";
import { decodedOf, missingArtifact, toFiles } from "./session-source.ts";
import { rangedInputs, readTrainable, TRAINABLE } from "./source.ts";
import type { StepArtifacts } from "./step-artifacts.ts";

export interface TrainingSessionOptions extends Omit<OrtNodeOptions, "executionProviders"> {
  /**
   * `ort-node`: onnxruntime-node, on CPU or GPU; ONNX Runtime's own artifacts are lowered to standard operators in memory.
   * `ort-training`: the training build of onnxruntime-web 1.19.2, WebAssembly.
   * Default: ort-node, or ort-training where onnxruntime-node is not installed or an operator has no lowering.
   */
  readonly runtime?: "ort-node" | "ort-training";
  /** In order of preference; for ort-training, `cpu` or `wasm` as it was called there. Default `["cpu"]`. */
  readonly executionProviders?: readonly Provider[];
  /**
   * The learning rate, or how it changes with the steps. Default: what the optimizer model says, which is 0.001 as exported.
   * ort-training has it built into the optimizer model, since it has no way to set it later.
   */
  readonly learningRate?: number | LearningRateSchedule;
  /**
   * Steps that `train` has ort-node run in one call, with the state inside ONNX Runtime between them; the losses are the same
   * for every number. 1: batches given to `trainSteps` together are run one by one. Default `auto`: batches of one size given
   * together run in one call, and `train` finds out how many keep a call short and the copies of the state small; one by one
   * where the state stays on a device.
   */
  readonly stepsPerCall?: number | "auto";
  /**
   * Parameters that ort-node trains with a learning rate or weight decay of their own. For ONNX Runtime's artifacts: a portable
   * set has its groups from when it was made.
   */
  readonly parameterGroups?: readonly ParameterGroup[];
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
  what:
    "the path of a folder of training artifacts, what readTrainable gives of it, a whole step, as readStep gives it, or { checkpointState, trainModel, evalModel?, " +
    "optimizerModel? }, each a path or bytes",
  holds: (given) => PATH.holds(given) || FILES.holds(given) || TRAINABLE.holds(given),
};

/** What a session is made of: ONNX Runtime's artifacts, as files or as `readArtifacts` gives them, a portable set, a whole step, or the path of a folder. */
export type SessionSource =
  | string
  | TrainingSessionCreateOptions
  | TrainingArtifacts
  | PortableArtifacts
  | StepArtifacts;

/**
 * Composition: passes prepare the artifacts, a runtime trains them. The runtimes themselves contain no passes.
 */
export const TrainingSession = {
  /**
   * Makes a session from a folder of artifacts, by its path (of two sets the portable one; the other for `ort-training`), from the four
   * artifacts, given as paths or bytes, from what `readArtifacts` returned, from a portable set, or from a whole train step (`readStep`, `withInitialState`). A whole step has `trainSteps` alone: it gives out no gradients and sums up none.
   * @throws what `OrtNodeSession.create`, `OrtTrainingSession.create` and `lowerArtifacts` throw; PassError
   *   `E_NO_OPTIMIZER` for a learning rate without an optimizer.
   */
  async create(from: SessionSource, options: TrainingSessionOptions = {}): Promise<TrainingSession> {
    requireArgument("source", from, SOURCE);
    requireArgument("options", options, OPTIONS);
    const { runtime } = options;
    const prefer = runtime === "ort-training" ? "onnxruntime" : "portable";
    const source = typeof from === "string" ? await readTrainable(from, { prefer }) : from;
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

async function lowered(
  artifacts: DecodedArtifacts,
  { learningRate, parameterGroups = [] }: TrainingSessionOptions,
): Promise<PortableArtifacts> {
  const { checkpoint, trainModel, evalModel, optimizerModel } = artifacts;
  if (learningRate !== undefined) {
    if (optimizerModel === null) throw noOptimizer();
    removeLearningRate(optimizerModel);
  }
  return lowerModels({ trainingModel: trainModel, evalModel, optimizerModel }, checkpoint, { parameterGroups });
}

/** What ort-node runs; a whole step has no gradients model beside it. */
type Models = Omit<PortableArtifacts, "gradients"> & { readonly gradients: Model | null };

async function openPortable(artifacts: Models, options: TrainingSessionOptions): Promise<TrainingSession> {
  const { runtime = "ort-node", ort } = options;
  if (runtime !== "ort-node") {
    throw new UsageError("E_OPTION", "a portable set is trained by ort-node", { field: "runtime" });
  }
  const programs = programsOf(artifacts, options);
  if (options.isolation !== undefined) {
    requireOption(options.isolation in PEERS, "isolation", "thread or process");
    requireOption(ort === undefined, "ort", "left out with isolation: a module cannot be handed over");
    return RemoteSession.create(programs, options, { isolation: options.isolation, worker: options.worker });
  }
  return OrtNodeSession.create(waysTo(ort), programs, options);
}

/** Everything a session of ort-node runs, made by passes before it. */
function programsOf(artifacts: Models, options: TrainingSessionOptions): OrtNodePrograms {
  const { stepsPerCall = "auto", learningRate } = options;
  requireOption(
    stepsPerCall === "auto" || (Number.isSafeInteger(stepsPerCall) && stepsPerCall >= 1),
    "stepsPerCall",
    "a whole number from 1 on, or auto",
  );
  const { trainStep, gradients, state } = artifacts;
  if (state === null) throw missingArtifact(gradients === null ? "initial state" : "checkpoint");
  if (learningRate !== undefined && trainStep === null) throw noOptimizer();
  const isBuiltIn = gradients === null && trainStep !== null && readPlan(trainStep, "train_step").learningRate === null;
  if (learningRate !== undefined && isBuiltIn) throw rateIsBuiltIn();
  return {
    ...artifacts,
    state,
    overwriting: gradients === null ? null : derived(gradients, "gradients", (step) => withoutReset(step, true)),
    adding: gradients === null ? null : derived(gradients, "gradients", (step) => withoutReset(step, false)),
    repeated: stepsPerCall !== 1 && trainStep !== null ? derived(trainStep, "train_step", repeatStep) : null,
    stepsPerCall,
    learningRate: isBuiltIn ? () => Number.NaN : rateOf(learningRate),
    exporter: exportForward,
  };
}

function rateOf(learningRate: TrainingSessionOptions["learningRate"]): (step: number) => number {
  if (learningRate === undefined) return () => DEFAULT_LEARNING_RATE;
  const schedule = completeSchedule(typeof learningRate === "number" ? { rate: learningRate } : learningRate);
  return (step) => learningRateAt(schedule, step);
}

/** What a pass makes of a copy of a model, with its plan; null where the pass makes nothing of it. */
function derived(from: Model, role: Role, pass: (step: StepModel) => StepModel | null): Model | null {
  const { role: _, ...plan } = readPlan(from, role);
  const step = pass({ model: from.clone(), ...plan });
  if (step === null) return null;
  const { model, ...made } = step;
  writePlan(model, { role, ...made });
  return model;
}

/** The eval model without its loss, with these weights in it. */
const exportForward: Exporter = (evalModel, weights, outputs) => {
  const model = evalModel.clone();
  lowerTrainingOps(model);
  extractForward(model, { weights: mergeLora(model, weights), ...(outputs === null ? {} : { outputs }) });
  return encodeModel(model);
};

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

function noOptimizer(): UsageError {
  return new UsageError("E_OPTION", "a learning rate needs an optimizer model", { field: "learningRate" });
}
