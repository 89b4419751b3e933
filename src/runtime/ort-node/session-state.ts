import type { Tensor } from "onnxruntime-common";
import { BOOLEAN, requireArgument } from "../../arguments.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import type { StateKind } from "../../artifacts/portable/plan.ts";
import { type TrainingState, zeros } from "../../artifacts/portable/state.ts";
import { BackendError } from "../../errors.ts";
import type { Tensor as GraphTensor } from "../../graph/tensor.ts";
import { fromOrtTensor, toOrtTensor } from "../feeds.ts";
import { copyOfTensor } from "../ort-tensor.ts";
import type { LossScaling, NamedTensors } from "../session.ts";
import { splitParameters } from "./parameter-buffer.ts";
import type { Programs } from "./programs.ts";
import { requireFit } from "./state-fit.ts";
import type { StateStore } from "./state-store.ts";

/** The state of a session: its tensors in a store, the number of updates, and what a checkpoint carries beside them. */
export class SessionState {
  readonly store: StateStore;
  /** Updates done so far. */
  steps = 0;
  /** Whether the next gradients take the place of those that were accumulated. */
  resets = true;
  readonly #programs: Programs;
  /** What a state has beside its tensors, which may be of gigabytes and are not kept. */
  #rest: Omit<TrainingState, "tensors" | "step">;
  /**
   * Throws where a part of the state was renewed elsewhere, and not here; null where none was.
   * @param names of what is needed. Default: all
   */
  requireWhole: ((names?: readonly string[]) => void) | null = null;

  /** @throws CheckpointError `E_CHECKPOINT_MISMATCH` */
  constructor(programs: Programs, store: StateStore, state: TrainingState) {
    this.#programs = programs;
    this.store = store;
    this.#rest = state;
    this.load(state);
  }

  /** @throws CheckpointError `E_CHECKPOINT_MISMATCH` */
  load(state: TrainingState): void {
    const { accumulators, keptState } = this.#programs;
    const specs = this.specs();
    const names = keptState.map(({ name }) => name);
    requireFit(names, specs, state);
    const shaped = (name: string, tensor: GraphTensor): GraphTensor => {
      const shape = specs.get(name)?.shape;
      return state.nominal && shape?.every((dim) => typeof dim === "number") ? zeros(tensor.dtype, shape) : tensor;
    };
    const loaded = new Map<string, GraphTensor>();
    for (const name of names) {
      const tensor = shaped(name, state.tensors.get(name) as GraphTensor);
      loaded.set(name, tensor);
      this.set(name, toOrtTensor(tensor, name));
    }
    for (const [parameter, accumulator] of accumulators) {
      const like = loaded.get(parameter);
      if (like !== undefined) this.store.set(accumulator, toOrtTensor(zeros(like.dtype, like.dims), accumulator));
    }
    const { tensors: _, step, ...rest } = state;
    this.#rest = rest;
    this.steps = step;
    this.resets = true;
    this.requireWhole = null;
  }

  /** What the models say of the state. */
  specs(): ReadonlyMap<string, InputSpec> {
    const { first, apply } = this.#programs;
    return new Map(
      [first, ...(apply === null ? [] : [apply])].flatMap((program) =>
        program.specs(program.plan.state.map(({ name }) => name)).map((spec) => [spec.name, spec] as const),
      ),
    );
  }

  /** Steps write into the tensors of the state by turns, and what they were loaded from is not ours. */
  set(name: string, tensor: Tensor): void {
    this.store.set(name, this.store.copies ? tensor : copyOfTensor(tensor));
  }

  /** Everything that a checkpoint of a training keeps, in memory for good. */
  async handOut(): Promise<TrainingState> {
    this.requireWhole?.();
    const tensors = await this.store.handOut(this.#programs.keptState.map(({ name }) => name));
    return {
      ...this.#rest,
      step: this.steps,
      tensors: new Map([...tensors].map(([name, tensor]) => [name, fromOrtTensor(tensor)])),
    };
  }

  /** The state of one kind, gradients by their parameters' names; valid until the next run. */
  async lend(kind: StateKind): Promise<NamedTensors> {
    const { accumulators } = this.#programs;
    const names = kind === "accumulator" ? accumulators : this.names(kind).map((name) => [name, name] as const);
    return renamed(await this.store.lend(names.map(([, held]) => held)), names);
  }

  /** The loss's scale; null where training does not find one. */
  async lossScale(): Promise<LossScaling | null> {
    const names = this.#programs.apply?.plan.lossScale;
    if (names === undefined) return null;
    const tensors = await this.store.lend(names);
    const [scale = Number.NaN, skipped = Number.NaN] = names.map((name) => Number(tensors.get(name)?.data[0]));
    return { scale, skipped };
  }

  /** Copies of the accumulated gradients, by their parameters' names. */
  async gradients(): Promise<NamedTensors> {
    const { accumulators } = this.#programs;
    return renamed(await this.store.read(accumulators.map(([, accumulator]) => accumulator)), accumulators);
  }

  /** Names of the kept state of one kind. */
  names(kind: StateKind): readonly string[] {
    return this.#programs.keptState.flatMap((planned) => (planned.kind === kind ? [planned.name] : []));
  }

  /** Names of the parameters, in the order of the training model's inputs. */
  parameters(trainableOnly: boolean): readonly string[] {
    requireArgument("trainableOnly", trainableOnly, BOOLEAN);
    const kinds: readonly StateKind[] = trainableOnly ? ["parameter"] : ["parameter", "frozen", "buffer"];
    return this.#programs.first.plan.state.filter(({ kind }) => kinds.includes(kind)).map(({ name }) => name);
  }

  /** @throws DataError `E_PARAMETERS_SIZE`; BackendError `E_CHECKPOINT` */
  loadParameters(buffer: Uint8Array, trainableOnly: boolean): void {
    const names = this.parameters(trainableOnly);
    splitParameters(buffer, names, this.store);
    if (!trainableOnly || names.length === this.parameters(false).length)
      this.#rest = { ...this.#rest, nominal: false };
  }

  /** @throws BackendError `E_NOMINAL` */
  requireValues(): void {
    this.requireWhole?.(this.names("parameter"));
    if (!this.#rest.nominal) return;
    throw new BackendError("E_NOMINAL", "the checkpoint is nominal: it has the parameters' names and no values", {
      hint: "Load all parameters first, with loadParametersBuffer(bytes, false).",
    });
  }
}

/** Tensors of the store by other names. */
function renamed(tensors: ReadonlyMap<string, Tensor>, names: readonly (readonly [string, string])[]): NamedTensors {
  return Object.fromEntries(
    names.map(([name, held]) => {
      const tensor = tensors.get(held);
      if (tensor === undefined) throw new RangeError(`the store gave no "${held}"`);
      return [name, tensor];
    }),
  );
}
