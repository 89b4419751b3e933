import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import { BackendError, UsageError } from "./errors.ts";
import { readExternalTensors } from "./graph/io/model-file.ts";
import { readRegularFile } from "./graph/io/read-file.ts";
import type { Model } from "./graph/model.ts";
import { decodeModel } from "./graph/serde/decode.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import type { LearningRateSchedule } from "./optim/schedule.ts";
import { setLearningRate } from "./passes/set-learning-rate.ts";
import { OrtTrainingSession } from "./runtime/ort-training/session.ts";
import type { TrainingSession as Session, TrainingSessionCreateOptions } from "./runtime/session.ts";

export interface TrainingSessionOptions {
  /** Default `ort-training`, the training build of onnxruntime-web 1.19.2. */
  readonly runtime?: "ort-training";
  /** As code for onnxruntime-common gives them. This runtime has one, the CPU: `cpu`, or `wasm` as it was called there. */
  readonly executionProviders?: readonly (string | { readonly name: string })[];
  /** Threads of the runtime. Default 1. */
  readonly threads?: number;
  /**
   * The learning rate, or how it changes with the steps. It is built into the optimizer model before the session is made,
   * since this runtime has no way to set it later. Default: what the optimizer model says, which is 0.001 as exported.
   */
  readonly learningRate?: number | LearningRateSchedule;
}

export type TrainingSession = Session;

/**
 * Composition: passes prepare the artifacts, a runtime trains them. The runtimes themselves contain no passes.
 */
export const TrainingSession = {
  /**
   * Makes a session from the four artifacts, given as paths or bytes, or from what `readArtifacts` returned.
   * @throws what `OrtTrainingSession.create` throws; PassError `E_NO_OPTIMIZER` for a learning rate without an optimizer.
   */
  async create(
    artifacts: TrainingSessionCreateOptions | TrainingArtifacts,
    options: TrainingSessionOptions = {},
  ): Promise<TrainingSession> {
    const { runtime = "ort-training", threads, learningRate } = options;
    if (runtime !== "ort-training") {
      throw new UsageError("E_OPTION", `there is no runtime "${String(runtime)}"; there is ort-training`, {
        field: "runtime",
      });
    }
    requireCpu(options.executionProviders ?? []);
    const files = "checkpointState" in artifacts ? artifacts : await toFiles(artifacts);
    const prepared = learningRate === undefined ? files : await withLearningRate(files, learningRate);
    return OrtTrainingSession.create(prepared, threads === undefined ? {} : { threads });
  },
};

function requireCpu(providers: NonNullable<TrainingSessionOptions["executionProviders"]>): void {
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

async function toFiles(artifacts: TrainingArtifacts): Promise<TrainingSessionCreateOptions> {
  const { checkpoint, trainingModel, evalModel, optimizerModel } = artifacts;
  const missing = (file: string): UsageError =>
    new UsageError("E_ARTIFACT_MISSING", `training needs the ${file}, which the artifacts do not have`, {
      field: file,
    });
  if (checkpoint === null) throw missing("checkpoint");
  if (trainingModel === null) throw missing("training model");
  const optional = async (
    name: "evalModel" | "optimizerModel",
    model: Model | null,
  ): Promise<Record<string, Uint8Array>> => (model === null ? {} : { [name]: await wholeModel(model) });
  return {
    checkpointState: checkpoint,
    trainModel: await wholeModel(trainingModel),
    ...(await optional("evalModel", evalModel)),
    ...(await optional("optimizerModel", optimizerModel)),
  };
}

/** The model's bytes with its external data in it: the runtime gets no folder to look into. */
async function wholeModel(model: Model): Promise<Uint8Array> {
  await readExternalTensors(model);
  return encodeModel(model);
}

async function withLearningRate(
  files: TrainingSessionCreateOptions,
  learningRate: number | LearningRateSchedule,
): Promise<TrainingSessionCreateOptions> {
  const { optimizerModel } = files;
  if (optimizerModel === undefined) {
    throw new UsageError("E_OPTION", "a learning rate needs an optimizer model", { field: "learningRate" });
  }
  const model = decodeModel(
    typeof optimizerModel === "string" ? await readRegularFile(optimizerModel) : optimizerModel,
  );
  setLearningRate(model, typeof learningRate === "number" ? { rate: learningRate } : learningRate);
  return { ...files, optimizerModel: encodeModel(model) };
}
