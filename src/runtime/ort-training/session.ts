import { Tensor } from "onnxruntime-common";
import { BOOLEAN, bytesOf, NUMBER, optional, requireArgument } from "../../arguments.ts";
import type { Checkpoint } from "../../artifacts/checkpoint/checkpoint.ts";
import { checkpointVersion, decodeCheckpoint, ODTC_VERSION } from "../../artifacts/checkpoint/read-odtc.ts";
import { encodeCheckpoint } from "../../artifacts/checkpoint/write-odtc.ts";
import { type InputSpec, userInputs } from "../../artifacts/ort-artifacts.ts";
import type { TrainingState } from "../../artifacts/portable/state.ts";
import { BackendError, DataError, UsageError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { CallQueue } from "../call-queue.ts";
import { checkBatches, checkFeeds, deliver, resolveFetches, toOrtTensor } from "../feeds.ts";
import { DEFAULT_LEARNING_RATE } from "../learning-rate.ts";
import { firstNotFinite } from "../not-finite.ts";
import { floatsOf } from "../ort-tensor.ts";
import type {
  Exporter,
  Fetches,
  NamedTensors,
  Reached,
  RunOptions,
  TrainingSession,
  TrainingSessionCreateOptions,
} from "../session.ts";
import { NAMES } from "../session.ts";
import { type DecodedArtifacts, readSessionFiles } from "../session-files.ts";
import { withParameters } from "./checkpoint.ts";
import { createNative } from "./create.ts";
import { loadTrainingBuild, type NativeModels, type NativeSession, runEvalStepByName } from "./load.ts";
import { ABILITIES, cannotSetRate, takesNoGradients, unsupported } from "./unsupported.ts";
import { mendFlagType, validateArtifacts } from "./validate.ts";

export interface OrtTrainingOptions {
  /** What `exportModel` calls. Default: it is not supported. */
  readonly exporter?: Exporter | null;
  /** The user's inputs of a model. Default: as it declares them, without the numbers they take. */
  readonly inputsOf?: (model: Model, checkpoint: Checkpoint) => readonly InputSpec[];
  /** The learning rate that an optimizer model has built in. Default: none, so that it is the one that the build feeds. */
  readonly rateOf?: (optimizerModel: Model) => ((step: number) => number) | null;
  /** Threads of WebAssembly, the same for all sessions of a process. Default 1. */
  readonly threads?: number;
}

/** Training through ONNX Runtime's own training API: the training build of onnxruntime-web 1.19.2, WebAssembly on the CPU. */
export class OrtTrainingSession implements TrainingSession {
  readonly runtime = "ort-training";
  readonly way: Reached = { name: "web", passedOver: [] };
  readonly batchParts = 1;
  readonly sizes = {};
  readonly can = ABILITIES;
  readonly stepsPerCall = 1;
  readonly sharedUpdates = takesNoGradients;
  readonly lossScale = async (): Promise<null> => null;
  readonly carried = [];
  readonly trainingInputs: readonly InputSpec[];
  readonly #native: NativeSession;
  readonly #checkpoint: Checkpoint;
  readonly #trainModel: Model;
  readonly #evalModel: Model | null;
  readonly #evalInputs: readonly InputSpec[] | null;
  readonly #hasOptimizer: boolean;
  readonly #exporter: Exporter | null;
  readonly #queue = new CallQueue();
  readonly #rate: (step: number) => number;
  #hasValues: boolean;
  #steps: number;

  private constructor(
    native: NativeSession,
    { checkpoint, trainModel, evalModel, optimizerModel }: DecodedArtifacts,
    { exporter = null, inputsOf = userInputs, rateOf = () => null }: OrtTrainingOptions,
  ) {
    this.#native = native;
    this.#exporter = exporter;
    this.#rate = (optimizerModel === null ? null : rateOf(optimizerModel)) ?? (() => DEFAULT_LEARNING_RATE);
    this.#steps = Number(checkpoint.optimizerGroups[0]?.step ?? 0n);
    this.#checkpoint = checkpoint;
    this.#hasValues = !checkpoint.nominal;
    this.#trainModel = trainModel;
    this.#hasOptimizer = optimizerModel !== null;
    this.trainingInputs = inputsOf(trainModel, checkpoint);
    this.#evalModel = evalModel;
    this.#evalInputs = evalModel === null ? null : inputsOf(evalModel, checkpoint);
  }

  /**
   * @throws what `decodeModel`, `checkModel` and `decodeCheckpoint` throw, naming the artifact; CheckpointError
   *   `E_CHECKPOINT_MISMATCH`; PassError `E_OPTIMIZER_MODEL`, `E_OPSET`; BackendError `E_RUNTIME_MISSING`, `E_LOAD`
   */
  static async create(
    artifacts: TrainingSessionCreateOptions,
    options: OrtTrainingOptions = {},
  ): Promise<OrtTrainingSession> {
    const { threads = 1 } = options;
    if (!Number.isSafeInteger(threads) || threads < 1) {
      throw new UsageError("E_OPTION", "threads must be a whole number from 1 on", { field: "threads" });
    }
    const { bytes, decoded } = await readSessionFiles(artifacts);
    validateArtifacts(decoded);
    const { optimizerModel } = decoded;
    const ready: NativeModels = {
      ...bytes,
      ...(optimizerModel !== null && mendFlagType(optimizerModel)
        ? { optimizerModel: encodeModel(optimizerModel) }
        : {}),
      ...(checkpointVersion(bytes.checkpointState) === ODTC_VERSION
        ? {}
        : { checkpointState: encodeCheckpoint(decoded.checkpoint) }),
    };
    const module = await loadTrainingBuild(threads);
    return new OrtTrainingSession(await createNative(module, ready), decoded, options);
  }

  get trainingInputNames(): readonly string[] {
    return this.#native.trainingInputNames;
  }

  get trainingOutputNames(): readonly string[] {
    return this.#native.trainingOutputNames;
  }

  get evalInputNames(): readonly string[] {
    this.#requireEval();
    return this.#native.evalInputNames;
  }

  get evalOutputNames(): readonly string[] {
    this.#requireEval();
    return this.#native.evalOutputNames;
  }

  async lazyResetGrad(): Promise<void> {
    await this.#call("lazyResetGrad", (native) => native.lazyResetGrad());
  }

  async runTrainStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    const inputs = orderedFeeds(this.trainingInputs, feeds);
    const names = this.trainingOutputNames;
    const wanted = resolveFetches(names, fetches);
    this.#requireValues();
    return deliver(await this.#call("runTrainStep", (native) => native.runTrainStep(inputs, names)), wanted);
  }

  async runOptimizerStep(): Promise<void> {
    if (!this.#hasOptimizer) {
      throw new BackendError("E_NO_OPTIMIZER_MODEL", "this session has no optimizer model", {
        hint: "Give optimizerModel to TrainingSession.create.",
      });
    }
    this.#requireValues();
    await this.#call("runOptimizerStep", (native) => native.runOptimizerStep());
    this.#steps++;
  }

  get steps(): number {
    return this.#steps;
  }

  async trainSteps(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]> {
    checkBatches(this.trainingInputs, batches, rates);
    if (rates !== undefined) throw cannotSetRate();
    const [name = ""] = this.trainingOutputNames;
    const losses: number[] = [];
    for (const feeds of batches) {
      await this.lazyResetGrad();
      const outputs = await this.runTrainStep(feeds, [name]);
      const loss = Number(outputs[name]?.data[0]);
      losses.push(loss);
      if (!Number.isFinite(loss)) return losses;
      await this.runOptimizerStep();
    }
    await this.lazyResetGrad();
    return losses;
  }

  learningRateOf(step: number): number {
    requireArgument("step", step, NUMBER);
    return this.#rate(step);
  }

  async setLearningRate(): Promise<void> {
    throw cannotSetRate();
  }

  async getGradients(): Promise<NamedTensors> {
    throw unsupported("give out gradients", "Use ort-node.");
  }

  async gradientsOf(): Promise<NamedTensors> {
    throw unsupported("give out gradients", "Use ort-node.");
  }

  async lendState(): Promise<NamedTensors> {
    throw unsupported("give out its state", "Use ort-node.");
  }

  async applyGradients(): Promise<never> {
    return takesNoGradients();
  }

  async getState(): Promise<TrainingState> {
    throw unsupported("give out the optimizer's state", "Use ort-node, or saveCheckpoint for the parameters alone.");
  }

  async loadState(): Promise<void> {
    throw unsupported("take another state", "Make a new session from the checkpoint, or use ort-node.");
  }

  async exportModel(outputs?: readonly string[]): Promise<Uint8Array> {
    requireArgument("outputs", outputs, optional(NAMES));
    this.#requireEval();
    if (this.#exporter === null || this.#evalModel === null)
      throw unsupported("export a model", "Make the session with TrainingSession.create.");
    const { trainable, frozen } = decodeCheckpoint(await this.saveCheckpoint());
    const held = new Map([...trainable, ...frozen].map(({ name, tensor }) => [name, tensor]));
    return this.#exporter(this.#evalModel, held, outputs ?? null);
  }

  async findNotFinite(feeds?: NamedTensors): Promise<string | null> {
    if (feeds !== undefined) checkFeeds(this.trainingInputs, feeds);
    const { trainable, frozen } = decodeCheckpoint(await this.saveCheckpoint());
    const looked = feeds === undefined ? trainable : [...trainable, ...frozen];
    const held = looked.map(({ name, tensor }) => [name, toOrtTensor(tensor, name)] as const);
    return firstNotFinite("", held) ?? firstNotFinite("the input ", Object.entries(feeds ?? {}));
  }

  async runEvalStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    const inputs = orderedFeeds(this.#requireEval(), feeds);
    const names = this.evalOutputNames;
    const wanted = resolveFetches(names, fetches);
    this.#requireValues();
    const run = (native: NativeSession): Promise<NamedTensors> => runEvalStepByName(native, inputs, names);
    return deliver(await this.#call("runEvalStep", run), wanted);
  }

  async getParametersSize(trainableOnly = true): Promise<number> {
    requireArgument("trainableOnly", trainableOnly, BOOLEAN);
    return this.#call("getParametersSize", (native) => native.getParametersSize(trainableOnly));
  }

  async loadParametersBuffer(buffer: Uint8Array | ArrayBuffer, trainableOnly = true): Promise<void> {
    const bytes = bytesOf("buffer", buffer);
    const size = 4 * (await this.getParametersSize(trainableOnly));
    if (bytes.byteLength !== size) {
      throw new DataError("E_PARAMETERS_SIZE", `${bytes.byteLength} bytes given, the parameters take ${size}`, {
        hint: "Use the bytes of getContiguousParameters with the same trainableOnly.",
      });
    }
    await this.#call("loadParametersBuffer", (native) => native.loadParametersBuffer(bytes, trainableOnly));
    if (!trainableOnly || this.#checkpoint.frozen.length === 0) this.#hasValues = true;
  }

  async getContiguousParameters(trainableOnly = true): Promise<Tensor> {
    requireArgument("trainableOnly", trainableOnly, BOOLEAN);
    this.#requireValues();
    const all = await this.#call("getContiguousParameters", (native) => native.getContiguousParameters(trainableOnly));
    return new Tensor("float32", floatsOf(all), all.dims);
  }

  /**
   * The parameters as they are now, trainable and frozen. The training build does not give out the optimizer's moments, so
   * the checkpoint has none: training that goes on from it starts with fresh moments at step 0.
   */
  async saveCheckpoint(): Promise<Uint8Array> {
    const parameters = floatsOf(await this.getContiguousParameters(false));
    return encodeCheckpoint(withParameters(this.#checkpoint, this.#trainModel, parameters));
  }

  async release(): Promise<void> {
    if (this.#queue.closed) return;
    this.#queue.close();
    await this.#queue.idle();
    await this.#native.release();
  }

  #requireValues(): void {
    if (this.#hasValues) return;
    throw new BackendError("E_NOMINAL", "the checkpoint is nominal: it has the parameters' names and no values", {
      hint: "Load all parameters first, with loadParametersBuffer(bytes, false).",
    });
  }

  #requireEval(): readonly InputSpec[] {
    if (this.#evalInputs !== null) return this.#evalInputs;
    throw new BackendError("E_NO_EVAL_MODEL", "this session has no eval model", {
      hint: "Give evalModel to TrainingSession.create.",
    });
  }

  /** One call at a time: the build keeps the state of a call in variables that all calls share. */
  #call<T>(method: string, run: (native: NativeSession) => Promise<T>): Promise<T> {
    return this.#queue.call(method, () => run(this.#native));
  }
}

/** The build takes inputs by position, in the order in which `feeds` happens to have them: put them in the model's order. */
function orderedFeeds(inputs: readonly InputSpec[], feeds: NamedTensors): NamedTensors {
  checkFeeds(inputs, feeds);
  return deliver(feeds, { names: inputs.map(({ name }) => name), into: new Map() });
}
