import { Tensor } from "onnxruntime-common";
import { BOOLEAN, bytesOf, NUMBER, oneOf, optional, requireArgument } from "../../arguments.ts";
import { checkpointOfState, fitsCheckpoint } from "../../artifacts/checkpoint/training-state.ts";
import { encodeCheckpoint } from "../../artifacts/checkpoint/write-odtc.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import {
  keptState,
  type PlannedState,
  type Role,
  readPlan,
  STATE_KINDS,
  type StateKind,
} from "../../artifacts/portable/plan.ts";
import type { PortableArtifacts } from "../../artifacts/portable/portable-artifacts.ts";
import { A_STATE, type TrainingState, zeros } from "../../artifacts/portable/state.ts";
import { BackendError, requireOption } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import type { Tensor as GraphTensor } from "../../graph/tensor.ts";
import { CallQueue } from "../call-queue.ts";
import { checkBatches, checkFeeds, deliver, FEEDS, fromOrtTensor, toOrtTensor, wantedOutputs } from "../feeds.ts";
import { firstNotFinite } from "../not-finite.ts";
import type { Abilities, Exporter, Fetches, NamedTensors, RunOptions, TrainingSession } from "../session.ts";
import { NAMES } from "../session.ts";
import { joinParameters, sizeOfAll, splitParameters } from "./parameter-buffer.ts";
import { Program } from "./program.ts";
import { type Chosen, chooseProvider, type OrtNodeOptions } from "./providers.ts";
import { stacked } from "./stack.ts";
import { requireFit } from "./state-fit.ts";
import type { StateStore } from "./state-store.ts";
import type { Way } from "./ways.ts";

/** What a session runs. */
export interface OrtNodePrograms extends Omit<PortableArtifacts, "gradients"> {
  /** Null where all there is is a whole step. */
  readonly gradients: Model | null;
  readonly state: TrainingState;
  /** `gradients` for the first batch after a reset; null where it can only be told with every run. */
  readonly overwriting: Model | null;
  /** `gradients` for the batches after that one. */
  readonly adding: Model | null;
  /** The training step in a loop, for several steps per call; null where steps are run one by one. */
  readonly repeated: Model | null;
  readonly stepsPerCall: number | "auto";
  /** The learning rate of an update counted from 1, until another is set. */
  readonly learningRate: (step: number) => number;
  readonly exporter: Exporter;
}

interface Programs {
  /** What the plan is read from; run where the other two are not there. Null where all there is is a whole step. */
  readonly gradients: Program | null;
  readonly overwriting: Program | null;
  readonly adding: Program | null;
  readonly trainStep: Program | null;
  readonly apply: Program | null;
  readonly evaluation: Program | null;
  readonly repeated: Program | null;
}

/** Training through ONNX Runtime's inference API: models in standard operators that take the state and give the next. */
export class OrtNodeSession implements TrainingSession {
  readonly runtime = "ort-node";
  readonly can: Abilities;
  readonly trainingInputs: readonly InputSpec[];
  readonly stepsPerCall: number | "auto";
  /** The execution provider in use. */
  readonly executionProvider: string;
  /** Providers that were preferred and did not work, with the reason. */
  readonly passedOver: Chosen["passedOver"];
  /** How ONNX Runtime is reached. */
  readonly way: Chosen["way"];
  readonly #programs: Programs;
  /** What says which inputs and outputs and which state there are: the gradients, or the whole step. */
  readonly #first: Program;
  readonly #store: StateStore;
  readonly #exporter: Exporter;
  readonly #queue = new CallQueue();
  /** What a state has beside its tensors. */
  #loaded: Omit<TrainingState, "tensors" | "step">;
  #steps: number;
  #rate: (step: number) => number;
  #resets = true;

  private constructor(programs: OrtNodePrograms, provider: Chosen) {
    const optional = (model: Model | null, role: Role): Program | null =>
      model === null ? null : new Program(model, role, provider);
    /** State that stays on a device is not copied between calls. */
    const copies = provider.keepsAt === null;
    this.#programs = {
      gradients: optional(programs.gradients, "gradients"),
      overwriting: optional(programs.overwriting, "gradients"),
      adding: optional(programs.adding, "gradients"),
      trainStep: optional(programs.trainStep, "train_step"),
      apply: optional(programs.apply, "apply"),
      evaluation: optional(programs.evalModel, "eval"),
      repeated: copies || programs.stepsPerCall !== "auto" ? optional(programs.repeated, "train_step") : null,
    };
    const { gradients, trainStep } = this.#programs;
    const first = gradients ?? trainStep;
    if (first === null) throw new RangeError("a session needs a gradients model or a whole step");
    this.#first = first;
    this.can = abilitiesOf(programs);
    this.trainingInputs = first.inputs;
    this.stepsPerCall = this.#programs.repeated === null ? 1 : programs.stepsPerCall;
    this.executionProvider = provider.name;
    this.passedOver = provider.passedOver;
    this.way = provider.way;
    this.#exporter = programs.exporter;
    this.#store = provider.createState();
    this.#rate = programs.learningRate;
    const { step, ...loaded } = withoutTensors(programs.state);
    this.#loaded = loaded;
    this.#steps = step;
    this.#take(programs.state);
  }

  /**
   * @throws CheckpointError `E_CHECKPOINT_MISMATCH`; BackendError `E_EXECUTION_PROVIDER`, `E_LOAD`; FormatError `E_PLAN`
   */
  static async create(
    ways: readonly Way[],
    programs: OrtNodePrograms,
    options: OrtNodeOptions = {},
  ): Promise<OrtNodeSession> {
    const { threads } = options;
    requireOption(
      threads === undefined || (Number.isSafeInteger(threads) && threads >= 1),
      "threads",
      "a whole number from 1 on",
    );
    const provider = await chooseProvider(ways, options);
    const session = new OrtNodeSession(programs, provider);
    try {
      await (session.#programs.overwriting ?? session.#first).load();
    } catch (error) {
      await session.release();
      throw error;
    }
    return session;
  }

  get steps(): number {
    return this.#steps;
  }

  get trainingInputNames(): readonly string[] {
    return this.#first.plan.inputs;
  }

  get trainingOutputNames(): readonly string[] {
    return this.#first.plan.outputs;
  }

  get evalInputNames(): readonly string[] {
    return this.#evaluation().plan.inputs;
  }

  get evalOutputNames(): readonly string[] {
    return this.#evaluation().plan.outputs;
  }

  /** What the eval model takes and gives; null where there is none. */
  get evaluationSpecs(): {
    readonly inputs: readonly string[];
    readonly specs: readonly InputSpec[];
    readonly outputs: readonly string[];
  } | null {
    const { evaluation } = this.#programs;
    if (evaluation === null) return null;
    const { inputs, outputs } = evaluation.plan;
    return { inputs, specs: evaluation.inputs, outputs };
  }

  async lazyResetGrad(): Promise<void> {
    await this.#call("lazyResetGrad", async () => {
      this.#resets = true;
    });
  }

  async runTrainStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    checkFeeds(this.trainingInputs, feeds);
    const wanted = wantedOutputs(this.trainingOutputNames, fetches);
    this.#gradients("runTrainStep");
    this.#requireValues();
    return this.#call("runTrainStep", async () => {
      const outputs = await this.#backward(feeds, wanted.names);
      this.#resets = false;
      return deliver(outputs, wanted);
    });
  }

  /** Forward and backward: the gradients take the place of those accumulated, or are added to them. */
  async #backward(feeds: NamedTensors, wanted: readonly string[]): Promise<NamedTensors> {
    const { overwriting, adding } = this.#programs;
    const program = (this.#resets ? overwriting : adding) ?? this.#first;
    const { reset } = program.plan;
    const flag = reset === null ? {} : { [reset]: new Tensor("bool", Uint8Array.of(this.#resets ? 1 : 0), [1]) };
    const { renewals, outputs } = await program.run({ ...feeds, ...flag }, this.#store, wanted);
    this.#store.commit(renewals, outputs);
    return outputs;
  }

  async runOptimizerStep(): Promise<void> {
    const { plan } = this.#gradients("runOptimizerStep");
    const apply = this.#optimizer(this.#programs.apply);
    this.#requireValues();
    await this.#call("runOptimizerStep", async () => {
      const accumulators = new Map(plan.gradients);
      await this.#apply(apply, (parameter) => this.#store.get(accumulators.get(parameter) ?? ""));
    });
  }

  async applyGradients(gradients: NamedTensors, statistics: NamedTensors = {}): Promise<void> {
    requireArgument("gradients", gradients, FEEDS);
    requireArgument("statistics", statistics, FEEDS);
    const program = this.#gradients("applyGradients");
    const apply = this.#optimizer(this.#programs.apply);
    const pairs = apply.plan.gradients;
    const specs = apply.specs(pairs.map(([, input]) => input));
    checkFeeds(
      specs.map((spec, index) => ({ ...spec, name: pairs[index]?.[0] ?? spec.name })),
      gradients,
    );
    checkFeeds(
      program.specs(Object.keys(statistics).filter((name) => this.#names("buffer").includes(name))),
      statistics,
    );
    this.#requireValues();
    await this.#call("applyGradients", async () => {
      await this.#apply(apply, (parameter) => gradients[parameter] as Tensor);
      for (const [name, tensor] of Object.entries(statistics)) this.#set(name, tensor);
    });
  }

  async #apply(apply: Program, gradientOf: (parameter: string) => Tensor): Promise<void> {
    const gradients = apply.plan.gradients.map(([parameter, input]) => [input, gradientOf(parameter)] as const);
    const scalars = this.#scalars(apply, [this.#rate(this.#steps + 1)]);
    const ran = await apply.run({ ...Object.fromEntries(gradients), ...scalars }, this.#store, []);
    this.#store.commit(ran.renewals, ran.outputs);
    this.#steps++;
  }

  async lendState(kind: StateKind): Promise<NamedTensors> {
    requireArgument("kind", kind, oneOf(...STATE_KINDS));
    return this.#call("lendState", async () => {
      const names =
        kind === "accumulator"
          ? this.#gradients("lendState").plan.gradients
          : this.#names(kind).map((name) => [name, name] as const);
      const tensors = await this.#store.lend(names.map(([, held]) => held));
      return Object.fromEntries(names.map(([name, held]) => [name, tensors.get(held) as Tensor]));
    });
  }

  #names(kind: StateKind): readonly string[] {
    return this.#planned().flatMap((planned) => (planned.kind === kind ? [planned.name] : []));
  }

  async trainSteps(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]> {
    checkBatches(this.trainingInputs, batches, rates);
    const single = this.#optimizer(this.#programs.trainStep);
    this.#requireValues();
    return this.#call("trainSteps", async () => {
      const all = rates ?? batches.map((_, index) => this.#rate(this.#steps + index + 1));
      const { repeated } = this.#programs;
      const together = repeated === null || batches.length === 1 ? null : stacked(batches);
      if (repeated !== null && together !== null) return this.#advance(repeated, together, all);
      const losses: number[] = [];
      for (const [index, feeds] of batches.entries()) {
        losses.push(...(await this.#advance(single, feeds, all.slice(index, index + 1))));
        if (!losses.every(Number.isFinite)) break;
      }
      return losses;
    });
  }

  /** Runs whole steps; what they renewed becomes the state where every loss is finite. */
  async #advance(program: Program, feeds: NamedTensors, rates: readonly number[]): Promise<readonly number[]> {
    const [loss = ""] = program.plan.outputs;
    const scalars = this.#scalars(program, rates);
    const { outputs, renewals } = await program.run({ ...feeds, ...scalars }, this.#store, [loss]);
    const losses = Array.from((outputs[loss]?.data ?? []) as Float32Array, Number);
    if (!losses.every(Number.isFinite)) {
      this.#store.discard(renewals, outputs);
      return losses;
    }
    this.#store.commit(renewals, outputs);
    this.#steps += losses.length;
    this.#resets = true;
    return losses;
  }

  /** The learning rates, one row per step where there are several, and the number of the first update. */
  #scalars({ plan: { learningRate, step } }: Program, rates: readonly number[]): Record<string, Tensor> {
    const shape = rates.length === 1 ? [1] : [rates.length, 1];
    return {
      ...(learningRate === null ? {} : { [learningRate]: new Tensor("float32", Float32Array.from(rates), shape) }),
      ...(step === null ? {} : { [step]: new Tensor("int64", BigInt64Array.of(BigInt(this.#steps + 1)), [1]) }),
    };
  }

  async runEvalStep(feeds: NamedTensors, fetches?: Fetches | RunOptions): Promise<NamedTensors> {
    const program = this.#evaluation();
    checkFeeds(program.inputs, feeds);
    const wanted = wantedOutputs(program.plan.outputs, fetches);
    this.#requireValues();
    return this.#call("runEvalStep", async () => {
      const { outputs } = await program.run(feeds, this.#store, wanted.names);
      return deliver(outputs, wanted);
    });
  }

  learningRateOf(step: number): number {
    requireArgument("step", step, NUMBER);
    return this.#rate(step);
  }

  async setLearningRate(rate: number): Promise<void> {
    requireOption(Number.isFinite(rate) && rate >= 0, "learningRate", "a finite number from 0 on");
    if (!this.can.setLearningRate) throw rateIsBuiltIn();
    await this.#call("setLearningRate", async () => {
      this.#rate = () => rate;
    });
  }

  async getGradients(): Promise<NamedTensors> {
    const { gradients } = this.#gradients("getGradients").plan;
    return this.#call("getGradients", async () => {
      const tensors = await this.#store.read(gradients.map(([, accumulator]) => accumulator));
      return Object.fromEntries(gradients.map(([name, accumulator]) => [name, tensors.get(accumulator) as Tensor]));
    });
  }

  async getParametersSize(trainableOnly = true): Promise<number> {
    return this.#call("getParametersSize", async () => sizeOfAll(this.#parameters(trainableOnly), this.#store));
  }

  /** In the order of the training model's inputs. */
  #parameters(trainableOnly: boolean): readonly string[] {
    requireArgument("trainableOnly", trainableOnly, BOOLEAN);
    const kinds: readonly PlannedState["kind"][] = trainableOnly ? ["parameter"] : ["parameter", "frozen", "buffer"];
    return this.#first.plan.state.filter(({ kind }) => kinds.includes(kind)).map(({ name }) => name);
  }

  async loadParametersBuffer(buffer: Uint8Array | ArrayBuffer, trainableOnly = true): Promise<void> {
    const bytes = bytesOf("buffer", buffer);
    await this.#call("loadParametersBuffer", async () => {
      const names = this.#parameters(trainableOnly);
      splitParameters(bytes, names, this.#store);
      if (!trainableOnly || names.length === this.#parameters(false).length) {
        this.#loaded = { ...this.#loaded, nominal: false };
      }
    });
  }

  async getContiguousParameters(trainableOnly = true): Promise<Tensor> {
    this.#requireValues();
    return this.#call("getContiguousParameters", async () =>
      joinParameters(this.#parameters(trainableOnly), this.#store),
    );
  }

  async getState(): Promise<TrainingState> {
    this.#requireValues();
    return this.#call("getState", async () => {
      const tensors = await this.#store.handOut(this.#planned().map(({ name }) => name));
      return {
        ...this.#loaded,
        step: this.#steps,
        tensors: new Map([...tensors].map(([name, tensor]) => [name, fromOrtTensor(tensor)])),
      };
    });
  }

  #planned(): readonly PlannedState[] {
    return keptState(this.#first.plan, this.#programs.apply?.plan ?? null);
  }

  async loadState(state: TrainingState): Promise<void> {
    requireArgument("state", state, A_STATE);
    await this.#call("loadState", async () => this.#take(state));
  }

  /** Steps write into the tensors of the state by turns, and what they were loaded from is not ours. */
  #set(name: string, tensor: Tensor): void {
    this.#store.set(name, this.#store.copies ? tensor : copyOf(tensor));
  }

  #take(state: TrainingState): void {
    const { gradients, apply } = this.#programs;
    const specs = new Map(
      [this.#first, ...(apply === null ? [] : [apply])].flatMap((program) =>
        program.specs(program.plan.state.map(({ name }) => name)).map((spec) => [spec.name, spec] as const),
      ),
    );
    const planned = this.#planned().map(({ name }) => name);
    requireFit(planned, specs, state);
    const shaped = (name: string, tensor: GraphTensor): GraphTensor => {
      const shape = specs.get(name)?.shape;
      return state.nominal && shape?.every((dim) => typeof dim === "number") ? zeros(tensor.dtype, shape) : tensor;
    };
    const shapes = new Map<string, GraphTensor>();
    for (const name of planned) {
      const tensor = shaped(name, state.tensors.get(name) as GraphTensor);
      shapes.set(name, tensor);
      this.#set(name, toOrtTensor(tensor, name));
    }
    for (const [parameter, accumulator] of gradients?.plan.gradients ?? []) {
      const like = shapes.get(parameter);
      if (like !== undefined) this.#store.set(accumulator, toOrtTensor(zeros(like.dtype, like.dims), accumulator));
    }
    const { step, ...loaded } = withoutTensors(state);
    this.#loaded = loaded;
    this.#steps = step;
    this.#resets = true;
  }

  /** The parameters and the optimizer's moments as they are now. */
  async saveCheckpoint(): Promise<Uint8Array> {
    this.#gradients("saveCheckpoint");
    const state = await this.getState();
    return encodeCheckpoint(checkpointOfState(state, this.#planned()));
  }

  async exportModel(outputs?: readonly string[]): Promise<Uint8Array> {
    requireArgument("outputs", outputs, optional(NAMES));
    const { model } = this.#evaluation();
    const { tensors } = await this.getState();
    return this.#exporter(model, tensors, outputs ?? null);
  }

  async findNotFinite(feeds?: NamedTensors): Promise<string | null> {
    if (feeds !== undefined) checkFeeds(this.trainingInputs, feeds);
    return this.#call("findNotFinite", async () => {
      const looked = this.#planned().filter(({ kind }) => feeds !== undefined || kind !== "frozen");
      const held = firstNotFinite("", [...(await this.#store.read(looked.map(({ name }) => name)))]);
      if (held !== null || feeds === undefined) return held;
      const fed = firstNotFinite("the input ", Object.entries(feeds));
      if (fed !== null) return fed;
      const { gradients } = this.#programs;
      if (gradients === null) return null;
      this.#resets = true;
      await this.#backward(feeds, []);
      const pairs = gradients.plan.gradients;
      const tensors = await this.#store.read(pairs.map(([, accumulator]) => accumulator));
      return firstNotFinite(
        "the gradient of ",
        pairs.map(([name, accumulator]) => [name, tensors.get(accumulator) as Tensor]),
      );
    });
  }

  async release(): Promise<void> {
    if (this.#queue.closed) return;
    this.#queue.close();
    await this.#queue.idle();
    await this.#store.release();
    for (const program of Object.values(this.#programs)) await program?.release();
  }

  #requireValues(): void {
    if (!this.#loaded.nominal) return;
    throw new BackendError("E_NOMINAL", "the checkpoint is nominal: it has the parameters' names and no values", {
      hint: "Load all parameters first, with loadParametersBuffer(bytes, false).",
    });
  }

  /** @throws BackendError `E_UNSUPPORTED` of a whole step */
  #gradients(method: string): Program {
    const { gradients } = this.#programs;
    if (gradients !== null) return gradients;
    throw new BackendError(
      "E_UNSUPPORTED",
      `a whole train step has no ${method}: it updates what it trains in every call`,
      {
        field: method,
        hint: "Use trainSteps, and getState for what was trained.",
      },
    );
  }

  #optimizer(program: Program | null): Program {
    if (program !== null) return program;
    throw new BackendError("E_NO_OPTIMIZER_MODEL", "this session has no optimizer model", {
      hint: "Give optimizerModel to TrainingSession.create.",
    });
  }

  #evaluation(): Program {
    const { evaluation } = this.#programs;
    if (evaluation !== null) return evaluation;
    throw noEvalModel();
  }

  #call<T>(method: string, run: () => Promise<T>): Promise<T> {
    return this.#queue.call(method, run);
  }
}

/** What is kept of a state that was loaded: its tensors are not, which may be of gigabytes. */
const withoutTensors = ({ tensors: _, ...rest }: TrainingState): Omit<TrainingState, "tensors"> => rest;

function copyOf({ type, dims, data }: Tensor): Tensor {
  return new Tensor(type as "float32", data.slice() as Float32Array, [...dims]);
}

export function noEvalModel(): BackendError {
  return new BackendError("E_NO_EVAL_MODEL", "this session has no eval model", {
    hint: "Give evalModel to TrainingSession.create.",
  });
}

export const rateIsBuiltIn = (): BackendError =>
  new BackendError("E_UNSUPPORTED", "the step takes no learning rate: its rate is built in, or state", {
    field: "learningRate",
    hint: "Name the input that takes it where there is one: --lr-input <name> (learningRate).",
  });

/** What a session over these models can do. */
export function abilitiesOf({ gradients, trainStep, apply, state }: OrtNodePrograms): Abilities {
  if (gradients === null) {
    const setLearningRate = trainStep !== null && readPlan(trainStep, "train_step").learningRate !== null;
    return { setLearningRate, getGradients: false, keepState: true, saveCheckpoint: false };
  }
  const kept = keptState(readPlan(gradients, "gradients"), apply === null ? null : readPlan(apply, "apply"));
  return {
    ...{ setLearningRate: true, getGradients: true, keepState: true },
    saveCheckpoint: fitsCheckpoint(state, kept),
  };
}
