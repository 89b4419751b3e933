import type { Tensor } from "onnxruntime-common";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { inputSpecs, type Plan, plannedInputs, type Role, readPlan } from "../../artifacts/portable/plan.ts";
import { BackendError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { setField } from "../fields.ts";
import { runtimeError } from "../ort-errors.ts";
import type { NamedTensors } from "../session.ts";
import type { Around, OrtSession, StepRun, StepsMade } from "./load.ts";
import type { ResolvedProvider } from "./providers.ts";
import type { Update } from "./separated.ts";
import type { Renewals, StateStore } from "./state-store.ts";

/** What a run made: outputs for the user, and the state it renewed, which is not the state yet. */
export interface RunResult {
  readonly outputs: NamedTensors;
  readonly renewals: Renewals;
}

/** Bytes that are set aside for the runs of a model, at least and at most. */
const ROOM = { least: 2 ** 26, most: 2 ** 30 };

/** ONNX Runtime keeps its books of so much in about as many bytes as the state has, at four a number. */
export function roomFor(state: readonly Tensor[]): number {
  const bytes = state.reduce((sum, { size }) => sum + 4 * size, 0);
  return Math.min(Math.max(32 * bytes, ROOM.least), ROOM.most);
}

/** A portable model with its plan, loaded when it is first run. */
export class Program {
  readonly plan: Plan;
  readonly model: Model;
  /** State this model renews. */
  readonly renewals: Renewals;
  /** What the user feeds. */
  readonly inputs: readonly InputSpec[];
  readonly #provider: ResolvedProvider;
  readonly #alternates: boolean;
  #session: Promise<OrtSession> | null = null;
  #loaded: OrtSession | null = null;
  #hasRun = false;

  /**
   * @param alternates whether something else computes between its runs
   * @throws FormatError `E_PLAN`
   */
  constructor(model: Model, role: Role, provider: ResolvedProvider, alternates = role !== "train_step") {
    this.plan = readPlan(model, role);
    this.model = model;
    this.inputs = plannedInputs(model, this.plan);
    this.renewals = this.plan.state.flatMap(({ name, next }) => (next === null ? [] : [[name, next] as const]));
    this.#provider = provider;
    this.#alternates = alternates;
  }

  /** Types and shapes of the inputs of these names. */
  specs(names: readonly string[]): readonly InputSpec[] {
    return inputSpecs(this.model, names);
  }

  /** @throws BackendError `E_LOAD` */
  async load(): Promise<OrtSession> {
    this.#session ??= this.#create();
    return this.#session;
  }

  /** Whether it is loaded, or can be. */
  canLoad(): Promise<boolean> {
    return this.load().then(
      () => true,
      () => false,
    );
  }

  async #create(): Promise<OrtSession> {
    const { name, create, keepsAt } = this.#provider;
    const locations = Object.fromEntries([
      ...this.plan.outputs.map((output) => [output, "cpu"] as const),
      ...this.renewals.map(([, output]) => [output, keepsAt ?? "cpu"] as const),
    ]);
    const options = keepsAt === null ? {} : { preferredOutputLocation: locations };
    try {
      return await create(encodeModel(this.model), options, this.#alternates);
    } catch (cause) {
      throw runtimeError("E_LOAD", `ONNX Runtime could not load the ${this.plan.role} model on ${name}`, cause, {
        field: this.plan.role,
      });
    }
  }

  /**
   * Runs the model on the state and the inputs.
   * @param wanted which of the plan's outputs
   * @param around what is done in the same call: an update is, where the loss is finite. Default: nothing
   * @throws BackendError `E_RUN`
   */
  async run(
    inputs: NamedTensors,
    store: StateStore,
    wanted: readonly string[],
    around: Around = {},
  ): Promise<RunResult> {
    const session = await this.#ready(store);
    const feeds: Record<string, Tensor> = { ...inputs };
    for (const { name } of this.plan.state) setField(feeds, name, store.get(name));
    const { renewals } = this;
    const fetches: Record<string, Tensor | null> = { ...store.targets(renewals) };
    for (const name of wanted) setField(fetches, name, null);
    Object.assign(fetches, around.update?.given);
    try {
      return { outputs: await session.run(feeds, fetches, around), renewals };
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Whether several runs can follow each other in one call, with an update behind each: those alone renew state, and the loss is theirs. */
  async canRunSteps({ given }: Update): Promise<boolean> {
    const [loss = ""] = this.plan.outputs;
    return this.renewals.length === 0 && loss in given && (await this.load()).runSteps !== undefined;
  }

  /**
   * Runs the model several times, where `canRunSteps` says that it can, up to the first loss that is not finite.
   * @param runs what each takes beside the state
   * @returns the losses of those that went well, and a BackendError `E_RUN` where one did not
   */
  async runSteps(
    runs: readonly (Pick<StepRun, "before"> & { readonly inputs: NamedTensors })[],
    store: StateStore,
    update: Update,
  ): Promise<StepsMade> {
    const session = await this.#ready(store);
    const state = Object.fromEntries(this.plan.state.map(({ name }) => [name, store.get(name)] as const));
    const steps = runs.map(({ inputs, ...run }) => ({ ...run, feeds: { ...inputs, ...state }, fetches: update.given }));
    const made = await session.runSteps?.(steps, update).catch((error: unknown) => ({ losses: [], error }));
    const { losses = [], error = null } = made ?? {};
    return { losses, error: error === null ? null : this.#failed(error) };
  }

  async #ready(store: StateStore): Promise<OrtSession> {
    const session = this.#loaded ?? (await this.load());
    this.#loaded = session;
    const waits = store.prepare();
    if (waits !== null) await waits;
    if (!this.#hasRun) session.reserve?.(roomFor(this.plan.state.map(({ name }) => store.get(name))));
    this.#hasRun = true;
    return session;
  }

  #failed(cause: unknown): BackendError {
    if (cause instanceof BackendError) return cause;
    return runtimeError("E_RUN", `ONNX Runtime failed in the ${this.plan.role} model`, cause, {
      field: this.plan.role,
    });
  }

  async release(): Promise<void> {
    const session = await this.#session?.catch(() => null);
    await session?.release();
  }
}
