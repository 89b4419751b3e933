import type { Tensor } from "onnxruntime-common";
import { bytesOf, NUMBER, oneOf, optional, requireArgument } from "../../arguments.ts";
import { checkpointOfState } from "../../artifacts/checkpoint/training-state.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { STATE_KINDS, type StateKind } from "../../artifacts/portable/plan.ts";
import { A_STATE, type TrainingState } from "../../artifacts/portable/state.ts";
import { requireOption } from "../../errors.ts";
import { CallQueue } from "../call-queue.ts";
import { checkBatches, checkFeeds, deliver, FEEDS, resolveFetches } from "../feeds.ts";
import { firstNotFinite } from "../not-finite.ts";
import type { Abilities, Exporter, Fetches, NamedTensors, RunOptions, TrainingSession } from "../session.ts";
import { NAMES } from "../session.ts";
import { joinParameters, sizeOfAll } from "./parameter-buffer.ts";
import { abilitiesOf, type OrtNodePrograms, Programs, rateIsBuiltIn, type Sharer, sharesNone } from "./programs.ts";
import { chooseProvider, type OrtNodeOptions, type ResolvedProvider } from "./providers.ts";
import { SessionState } from "./session-state.ts";
import type { OrtNodeSharedUpdates } from "./shared-updates.ts";
import { StepRunner } from "./step-runner.ts";
import type { Way } from "./ways.ts";

/** Training through ONNX Runtime's inference API: models in standard operators that take the state and give the next. */
export class OrtNodeSession implements TrainingSession {
  readonly runtime = "ort-node";
  readonly can: Abilities;
  readonly trainingInputs: readonly InputSpec[];
  readonly carried: Programs["carried"];
  readonly stepsPerCall: number | "auto";
  readonly sizes: Readonly<Record<string, number>>;
  /** The execution provider in use. */
  readonly executionProvider: string;
  /** Providers that were preferred and did not work, with the reason. */
  readonly passedOver: ResolvedProvider["passedOver"];
  /** How ONNX Runtime is reached. */
  readonly way: ResolvedProvider["way"];
  readonly #programs: Programs;
  readonly #state: SessionState;
  readonly #runner: StepRunner;
  readonly #exporter: Exporter;
  readonly #queue = new CallQueue();
  readonly #shares: readonly [Sharer | null, ResolvedProvider];
  #shared: Promise<OrtNodeSharedUpdates> | null = null;

  private constructor(models: OrtNodePrograms, provider: ResolvedProvider) {
    this.#programs = new Programs(models, provider);
    const can = abilitiesOf(models);
    /** Where the state stays on a device, bringing parameters there costs more than their update. */
    this.can = { ...can, shareUpdates: can.shareUpdates && provider.name === "cpu" };
    this.#shares = [models.sharer, provider];
    this.trainingInputs = this.#programs.first.inputs;
    this.carried = this.#programs.carried;
    this.stepsPerCall = this.#programs.usual.takesSeveral ? models.stepsPerCall : 1;
    this.sizes = models.sized?.sizes ?? {};
    this.executionProvider = provider.name;
    this.passedOver = provider.passedOver;
    this.way = provider.way;
    this.#exporter = models.exporter;
    this.#state = new SessionState(this.#programs, provider.createState(), models.state);
    this.#runner = new StepRunner(this.#programs, this.#state, models.learningRate);
  }

  /**
   * @throws CheckpointError `E_CHECKPOINT_MISMATCH`; BackendError `E_EXECUTION_PROVIDER`, `E_LOAD`; FormatError `E_PLAN`
   */
  static async create(
    ways: readonly Way[],
    models: OrtNodePrograms,
    options: OrtNodeOptions = {},
  ): Promise<OrtNodeSession> {
    const { threads = 1 } = options;
    requireOption(Number.isSafeInteger(threads) && threads >= 1, "threads", "a whole number from 1 on");
    const provider = await chooseProvider(ways, options);
    const session = new OrtNodeSession(models, provider);
    try {
      await session.#programs.usual.load();
    } catch (error) {
      await session.release();
      throw error;
    }
    return session;
  }

  get steps(): number {
    return this.#state.steps;
  }

  get batchParts(): number {
    return this.#programs.usual.batchParts;
  }

  get trainingInputNames(): readonly string[] {
    return this.#programs.first.plan.inputs;
  }

  get trainingOutputNames(): readonly string[] {
    return this.#programs.first.plan.outputs;
  }

  get evalInputNames(): readonly string[] {
    return this.#programs.requireEvaluation().plan.inputs;
  }

  get evalOutputNames(): readonly string[] {
    return this.#programs.requireEvaluation().plan.outputs;
  }

  /** What the eval model takes and gives; null where there is none. */
  get evaluationSpecs(): Programs["evaluationSpecs"] {
    return this.#programs.evaluationSpecs;
  }

  async lazyResetGrad(): Promise<void> {
    await this.#call("lazyResetGrad", async () => {
      this.#state.resets = true;
    });
  }

  async runTrainStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    checkFeeds(this.trainingInputs, feeds);
    const wanted = resolveFetches(this.trainingOutputNames, fetches);
    this.#programs.requireGradients("runTrainStep");
    this.#state.requireValues();
    return this.#call("runTrainStep", async () => {
      const outputs = await this.#runner.accumulate(feeds, wanted.names);
      this.#state.resets = false;
      return deliver(outputs, wanted);
    });
  }

  async runOptimizerStep(): Promise<void> {
    const { plan } = this.#programs.requireGradients("runOptimizerStep");
    const apply = this.#programs.requireOptimizer(this.#programs.apply);
    this.#state.requireValues();
    this.#state.requireWhole?.();
    await this.#call("runOptimizerStep", async () => {
      const accumulators = new Map(plan.gradients);
      const { store } = this.#state;
      await this.#runner.update(apply, (parameter) => store.get(accumulators.get(parameter) ?? ""));
    });
  }

  async applyGradients(gradients: NamedTensors, statistics: NamedTensors = {}): Promise<void> {
    requireArgument("gradients", gradients, FEEDS);
    requireArgument("statistics", statistics, FEEDS);
    const program = this.#programs.requireGradients("applyGradients");
    const apply = this.#programs.requireOptimizer(this.#programs.apply);
    const pairs = apply.plan.gradients;
    const specs = apply.specs(pairs.map(([, input]) => input));
    checkFeeds(
      specs.map((spec, index) => ({ ...spec, name: pairs[index]?.[0] ?? spec.name })),
      gradients,
    );
    const buffers = this.#state.names("buffer");
    checkFeeds(program.specs(Object.keys(statistics).filter((name) => buffers.includes(name))), statistics);
    this.#state.requireValues();
    this.#state.requireWhole?.();
    await this.#call("applyGradients", async () => {
      await this.#runner.update(apply, (parameter) => gradients[parameter] as Tensor);
      for (const [name, tensor] of Object.entries(statistics)) this.#state.set(name, tensor);
    });
  }

  async sharedUpdates(): Promise<OrtNodeSharedUpdates> {
    const sharing = { programs: this.#programs, state: this.#state, runner: this.#runner, queue: this.#queue };
    const [sharer, provider] = this.#shares;
    if (!this.can.shareUpdates || sharer === null) throw sharesNone();
    /** Loaded where there are ranks: a page has none. */
    this.#shared ??= import("./shared-updates.ts").then(
      (made) => new made.OrtNodeSharedUpdates({ ...sharing, sharer, provider }),
    );
    return this.#shared;
  }

  async trainSteps(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]> {
    checkBatches(this.trainingInputs, batches, rates);
    this.#programs.requireOptimizer(this.#programs.general.trainStep);
    this.#state.requireValues();
    this.#state.requireWhole?.();
    return this.#call("trainSteps", () => this.#runner.train(batches, rates));
  }

  async runEvalStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    const program = this.#programs.requireEvaluation();
    checkFeeds(program.inputs, feeds);
    const wanted = resolveFetches(program.plan.outputs, fetches);
    this.#state.requireValues();
    return this.#call("runEvalStep", async () => {
      const { outputs } = await program.run(feeds, this.#state.store, wanted.names);
      return deliver(outputs, wanted);
    });
  }

  learningRateOf(step: number): number {
    requireArgument("step", step, NUMBER);
    return this.#runner.rate(step);
  }

  async setLearningRate(rate: number): Promise<void> {
    requireOption(Number.isFinite(rate) && rate >= 0, "learningRate", "a finite number from 0 on");
    if (!this.can.setLearningRate) throw rateIsBuiltIn();
    await this.#call("setLearningRate", async () => {
      this.#runner.rate = () => rate;
    });
  }

  async getGradients(): Promise<NamedTensors> {
    this.#programs.requireGradients("getGradients");
    return this.#call("getGradients", () => this.#state.gradients());
  }

  async gradientsOf(feeds: NamedTensors): Promise<NamedTensors> {
    checkFeeds(this.trainingInputs, feeds);
    this.#programs.requireGradients("gradientsOf");
    this.#state.requireValues();
    return this.#call("gradientsOf", async () => {
      await this.#runner.look(feeds);
      return this.#state.lend("accumulator");
    });
  }

  lossScale(): ReturnType<TrainingSession["lossScale"]> {
    return this.#call("lossScale", () => this.#state.lossScale());
  }

  async lendState(kind: StateKind): Promise<NamedTensors> {
    requireArgument("kind", kind, oneOf(...STATE_KINDS));
    return this.#call("lendState", async () => {
      if (kind === "accumulator") this.#programs.requireGradients("lendState");
      return this.#state.lend(kind);
    });
  }

  async getParametersSize(trainableOnly = true): Promise<number> {
    return this.#call("getParametersSize", async () =>
      sizeOfAll(this.#state.parameters(trainableOnly), this.#state.store),
    );
  }

  async loadParametersBuffer(buffer: Uint8Array | ArrayBuffer, trainableOnly = true): Promise<void> {
    const bytes = bytesOf("buffer", buffer);
    await this.#call("loadParametersBuffer", async () => this.#state.loadParameters(bytes, trainableOnly));
  }

  async getContiguousParameters(trainableOnly = true): Promise<Tensor> {
    this.#state.requireValues();
    return this.#call("getContiguousParameters", async () =>
      joinParameters(this.#state.parameters(trainableOnly), this.#state.store),
    );
  }

  async getState(): Promise<TrainingState> {
    this.#state.requireValues();
    return this.#call("getState", () => this.#state.handOut());
  }

  async loadState(state: TrainingState): Promise<void> {
    requireArgument("state", state, A_STATE);
    await this.#call("loadState", async () => this.#state.load(state));
  }

  /** The parameters and the optimizer's moments as they are now. */
  async saveCheckpoint(): Promise<Uint8Array> {
    this.#programs.requireGradients("saveCheckpoint");
    /** Loaded when it is needed: a page that trains and never saves in this format does not ship it. */
    const { encodeCheckpoint } = await import("../../artifacts/checkpoint/write-odtc.ts");
    return encodeCheckpoint(checkpointOfState(await this.getState(), this.#programs.keptState));
  }

  async exportModel(outputs?: readonly string[]): Promise<Uint8Array> {
    requireArgument("outputs", outputs, optional(NAMES));
    const model = this.#programs.requireExported();
    const { tensors } = await this.getState();
    return this.#exporter(model, tensors, outputs ?? null);
  }

  async findNotFinite(feeds?: NamedTensors): Promise<string | null> {
    if (feeds !== undefined) checkFeeds(this.trainingInputs, feeds);
    return this.#call("findNotFinite", async () => {
      const looked = this.#programs.keptState.filter(({ kind }) => feeds !== undefined || kind !== "frozen");
      const held = firstNotFinite("", [...(await this.#state.store.read(looked.map(({ name }) => name)))]);
      if (held !== null || feeds === undefined) return held;
      const fed = firstNotFinite("the input ", Object.entries(feeds));
      if (fed !== null || this.#programs.general.gradients === null) return fed;
      await this.#runner.look(feeds);
      return firstNotFinite("the gradient of ", Object.entries(await this.#state.gradients()));
    });
  }

  async release(): Promise<void> {
    if (this.#queue.closed) return;
    this.#queue.close();
    await this.#queue.idle();
    await this.#state.store.release();
    await (await this.#shared)?.release();
    await this.#programs.release();
  }

  #call<T>(method: string, run: () => Promise<T>): Promise<T> {
    return this.#queue.call(method, run);
  }
}
