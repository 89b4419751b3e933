import type { Tensor } from "onnxruntime-common";
import { bytesOf, NUMBER, optional, requireArgument } from "../../../arguments.ts";
import type { InputSpec } from "../../../artifacts/ort-artifacts.ts";
import type { StateKind } from "../../../artifacts/portable/plan.ts";
import type { TrainingState } from "../../../artifacts/portable/state.ts";
import { A_STATE } from "../../../artifacts/portable/state.ts";
import { requireOption } from "../../../errors.ts";
import type { Model } from "../../../graph/model.ts";
import { CallQueue } from "../../call-queue.ts";
import { checkBatches, checkFeeds, deliver, resolveFetches } from "../../feeds.ts";
import type {
  Abilities,
  Exporter,
  Fetches,
  LossScaling,
  NamedTensors,
  RunOptions,
  TrainingSession,
} from "../../session.ts";
import { NAMES } from "../../session.ts";
import { abilitiesOf, noEvalModel, type OrtNodePrograms, rateIsBuiltIn, sharesNone } from "../programs.ts";
import type { OrtNodeOptions } from "../providers.ts";
import { encoded } from "./encoded.ts";
import { Line } from "./line.ts";
import type { Answer, Calls, Method, Opened, Opening, StartPeer } from "./protocol.ts";

/**
 * A session of ort-node in a thread or process of its own. The state stays there; batches, losses and what is asked for
 * travel. So the caller's event loop is free while a step runs.
 */
export class RemoteSession implements TrainingSession {
  readonly runtime = "ort-node";
  readonly can: Abilities;
  readonly sizes: Readonly<Record<string, number>>;
  readonly #line: Line;
  readonly #opened: Opened;
  readonly #exporter: Exporter;
  readonly #evalModel: Model | null;
  readonly #queue = new CallQueue();
  #rate: (step: number) => number;

  private constructor(line: Line, opened: Opened, programs: OrtNodePrograms) {
    const { learningRate, exporter, evalModel, sized } = programs;
    this.sizes = sized?.sizes ?? {};
    this.can = { ...abilitiesOf(programs), shareUpdates: false };
    this.#line = line;
    this.#opened = opened;
    this.#rate = learningRate;
    this.#exporter = exporter;
    this.#evalModel = evalModel;
  }

  /**
   * @param start makes the thread or process
   * @param environment settings of ONNX Runtime's module there
   * @throws as `OrtNodeSession.create`; BackendError `E_WORKER_FILE`, and `E_CRASHED` where the other side ends before it
   *   answers
   */
  static async create(
    programs: OrtNodePrograms,
    options: OrtNodeOptions,
    start: StartPeer,
    environment?: unknown,
  ): Promise<RemoteSession> {
    const line = new Line(start);
    const { gradients, overwriting, adding, trainStep, repeated, separated, shardedGradients } = programs;
    const { apply, evaluation, sized, state, stepsPerCall } = programs;
    const { executionProviders, threads, denormalsAsZero } = options;
    const opening: Opening = {
      models: encoded({
        ...{ gradients, overwriting, adding, trainStep, repeated, separated, shardedGradients },
        ...{ apply, evaluation, sized },
      }),
      state,
      stepsPerCall,
      environment,
      options: {
        ...(executionProviders === undefined ? {} : { executionProviders }),
        ...(threads === undefined ? {} : { threads }),
        ...(denormalsAsZero === undefined ? {} : { denormalsAsZero }),
      },
    };
    try {
      return new RemoteSession(line, await line.call("open", opening), programs);
    } catch (error) {
      await line.end();
      throw error;
    }
  }

  get trainingInputNames(): readonly string[] {
    return this.#opened.trainingInputNames;
  }

  get trainingOutputNames(): readonly string[] {
    return this.#opened.trainingOutputNames;
  }

  get trainingInputs(): readonly InputSpec[] {
    return this.#opened.trainingInputs;
  }

  get carried(): Opened["carried"] {
    return this.#opened.carried;
  }

  get evalInputNames(): readonly string[] {
    return this.#evaluation().inputs;
  }

  get evalOutputNames(): readonly string[] {
    return this.#evaluation().outputs;
  }

  get stepsPerCall(): number | "auto" {
    return this.#opened.stepsPerCall;
  }

  get executionProvider(): string {
    return this.#opened.executionProvider;
  }

  /** Into how many parts steps cut their batch there, by what was known when the session was opened. */
  get batchParts(): number {
    return this.#opened.batchParts;
  }

  /** How ONNX Runtime is reached there. */
  get way(): Opened["way"] {
    return this.#opened.way;
  }

  get steps(): number {
    return this.#line.steps;
  }

  async lazyResetGrad(): Promise<void> {
    await this.#call("lazyResetGrad");
  }

  async runTrainStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    checkFeeds(this.trainingInputs, feeds);
    const wanted = resolveFetches(this.trainingOutputNames, fetches);
    return deliver(await this.#call("runTrainStep", feeds, wanted.names), wanted);
  }

  async runOptimizerStep(): Promise<void> {
    await this.#inTurn("runOptimizerStep", async () => {
      await this.#line.call("setLearningRate", this.#rate(this.steps + 1));
      await this.#line.call("runOptimizerStep");
    });
  }

  async runEvalStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    const { specs, outputs } = this.#evaluation();
    checkFeeds(specs, feeds);
    const wanted = resolveFetches(outputs, fetches);
    return deliver(await this.#call("runEvalStep", feeds, wanted.names), wanted);
  }

  async trainSteps(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]> {
    checkBatches(this.trainingInputs, batches, rates);
    return this.#inTurn("trainSteps", async () => {
      const all = rates ?? batches.map((_, index) => this.#rate(this.steps + index + 1));
      return this.#line.call("trainSteps", batches, all);
    });
  }

  learningRateOf(step: number): number {
    requireArgument("step", step, NUMBER);
    return this.#rate(step);
  }

  async setLearningRate(rate: number): Promise<void> {
    if (!this.can.setLearningRate) throw rateIsBuiltIn();
    requireOption(Number.isFinite(rate) && rate >= 0, "learningRate", "a finite number from 0 on");
    await this.#inTurn("setLearningRate", async () => {
      this.#rate = () => rate;
    });
  }

  async getParametersSize(trainableOnly = true): Promise<number> {
    return this.#call("getParametersSize", trainableOnly);
  }

  async loadParametersBuffer(buffer: Uint8Array | ArrayBuffer, trainableOnly = true): Promise<void> {
    await this.#call("loadParametersBuffer", bytesOf("buffer", buffer), trainableOnly);
  }

  async getContiguousParameters(trainableOnly = true): Promise<Tensor> {
    return this.#call("getContiguousParameters", trainableOnly);
  }

  async getGradients(): Promise<NamedTensors> {
    return this.#call("getGradients");
  }

  async gradientsOf(feeds: NamedTensors): Promise<NamedTensors> {
    return this.#call("gradientsOf", feeds);
  }

  async lossScale(): Promise<LossScaling | null> {
    return this.#call("lossScale");
  }

  async lendState(kind: StateKind): Promise<NamedTensors> {
    return this.#call("lendState", kind);
  }

  async sharedUpdates(): Promise<never> {
    throw sharesNone();
  }

  async applyGradients(gradients: NamedTensors, statistics: NamedTensors = {}): Promise<void> {
    await this.#inTurn("applyGradients", async () => {
      await this.#line.call("setLearningRate", this.#rate(this.steps + 1));
      await this.#line.call("applyGradients", gradients, statistics);
    });
  }

  async saveCheckpoint(): Promise<Uint8Array> {
    return this.#call("saveCheckpoint");
  }

  async getState(): Promise<TrainingState> {
    return this.#call("getState");
  }

  async loadState(state: TrainingState): Promise<void> {
    requireArgument("state", state, A_STATE);
    await this.#call("loadState", state);
  }

  async exportModel(outputs?: readonly string[]): Promise<Uint8Array> {
    requireArgument("outputs", outputs, optional(NAMES));
    this.#evaluation();
    const { tensors } = await this.getState();
    return this.#exporter(this.#evalModel as Model, tensors, outputs ?? null);
  }

  async findNotFinite(feeds?: NamedTensors): Promise<string | null> {
    if (feeds !== undefined) checkFeeds(this.trainingInputs, feeds);
    return this.#call("findNotFinite", feeds);
  }

  async release(): Promise<void> {
    if (this.#queue.closed) return;
    this.#queue.close();
    await this.#queue.idle();
    await this.#line.call("release").catch(() => undefined);
    await this.#line.end();
  }

  #call<Name extends Method>(method: Name, ...args: Parameters<Calls[Name]>): Answer<Name> {
    return this.#inTurn(method, () => this.#line.call(method, ...args));
  }

  /** One call at a time: what learning rate a step has depends on how many were done before it. */
  #inTurn<T>(method: Method, run: () => Promise<T>): Promise<T> {
    return this.#queue.call(method, run);
  }

  #evaluation(): NonNullable<Opened["evaluation"]> {
    const { evaluation } = this.#opened;
    if (evaluation !== null) return evaluation;
    throw noEvalModel();
  }
}
