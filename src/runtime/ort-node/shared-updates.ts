import type { Tensor } from "onnxruntime-common";
import { requireArgument } from "../../arguments.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { BackendError } from "../../errors.ts";
import type { CallQueue } from "../call-queue.ts";
import { checkFeeds, FEEDS } from "../feeds.ts";
import { bytesIn, ortTensor } from "../ort-tensor.ts";
import type { NamedTensors, Share, SharedUpdates, TensorLayout } from "../session.ts";
import { NAMES } from "../session.ts";
import { Program } from "./program.ts";
import type { Programs, Sharer } from "./programs.ts";
import type { ResolvedProvider } from "./providers.ts";
import type { SessionState } from "./session-state.ts";
import type { StepRunner } from "./step-runner.ts";

/** The session whose updates are shared. */
interface Sharing {
  readonly programs: Programs;
  readonly state: SessionState;
  readonly runner: StepRunner;
  readonly queue: CallQueue;
  readonly provider: ResolvedProvider;
  readonly sharer: Sharer;
}

export class OrtNodeSharedUpdates implements SharedUpdates {
  readonly #sharing: Sharing;
  /** The part of the update that was made last. */
  #part: { readonly key: string; readonly program: Program } | null = null;
  /** What was renewed elsewhere, not here. */
  readonly #left = new Set<string>();

  constructor(sharing: Sharing) {
    this.#sharing = sharing;
  }

  async placeGradients(gradients: NamedTensors): Promise<void> {
    requireArgument("gradients", gradients, FEEDS);
    checkFeeds(this.#gradientSpecs(), gradients);
    const { programs, state, queue } = this.#sharing;
    const { accumulators } = programs;
    const { overwriting } = programs.usual;
    await queue.call("placeGradients", async () => {
      if (overwriting === null) return;
      for (const [parameter, accumulator] of accumulators) {
        const tensor = gradients[parameter];
        if (tensor !== undefined) state.store.place?.(accumulator, tensor.data);
      }
    });
  }

  async placeParameters(now: NamedTensors, next: NamedTensors): Promise<readonly string[]> {
    for (const [argument, tensors] of Object.entries({ now, next })) {
      requireArgument(argument, tensors, FEEDS);
      checkFeeds(this.#specs("parameter", Object.keys(now)), tensors);
    }
    const { state, queue, programs } = this.#sharing;
    const { store } = state;
    return queue.call("placeParameters", async () => {
      if (store.placeInTurns === undefined) return [];
      const renewed = new Set(programs.requireOptimizer(programs.apply).renewals.map(([name]) => name));
      const placed = Object.entries(now).filter(([name, { size }]) => size > 0 && renewed.has(name));
      for (const [name, { data }] of placed) store.placeInTurns(name, data, next[name]?.data ?? data);
      return placed.map(([name]) => name);
    });
  }

  async turn(parameters: readonly string[]): Promise<void> {
    requireArgument("parameters", parameters, NAMES);
    const { state, queue } = this.#sharing;
    await queue.call("turn", async () => {
      state.store.commit(
        parameters.map((name) => [name, name] as const),
        {},
      );
      for (const name of parameters) this.#left.delete(name);
    });
  }

  async apply(share: Share, sums: NamedTensors, statistics: NamedTensors): Promise<readonly string[]> {
    requireArgument("share.parameters", share.parameters, NAMES);
    requireArgument("sums", sums, FEEDS);
    requireArgument("statistics", statistics, FEEDS);
    checkFeeds(this.#gradientSpecs(), sums);
    checkFeeds(this.#specs("buffer", Object.keys(statistics)), statistics);
    const { state, runner, queue } = this.#sharing;
    state.requireValues();
    return queue.call("applyShare", async () => {
      const part = await this.#partOf(share);
      await runner.update(part, (parameter) => sums[parameter] as Tensor);
      for (const [name, tensor] of Object.entries(statistics)) state.set(name, tensor);
      return this.#leave(part);
    });
  }

  async layout(kind: "parameter" | "slot"): Promise<ReadonlyMap<string, TensorLayout>> {
    const { state } = this.#sharing;
    return new Map(state.names(kind).map((name) => [name, layoutOf(state.store.get(name))]));
  }

  async read(into: NamedTensors): Promise<void> {
    this.#check("into", into);
    const { state, queue } = this.#sharing;
    await queue.call("read", async () => {
      for (const [name, tensor] of Object.entries(into)) bytesIn(tensor).set(bytesIn(state.store.get(name)));
    });
  }

  /** Looks at parameters and slots. */
  #check(argument: string, tensors: NamedTensors): void {
    requireArgument(argument, tensors, FEEDS);
    const names = Object.keys(tensors);
    checkFeeds([...this.#specs("parameter", names), ...this.#specs("slot", names)], tensors);
  }

  async put(tensors: NamedTensors): Promise<void> {
    this.#check("tensors", tensors);
    const { state, queue } = this.#sharing;
    await queue.call("put", async () => {
      for (const [name, tensor] of Object.entries(tensors)) {
        state.set(name, tensor);
        this.#left.delete(name);
      }
    });
  }

  async release(): Promise<void> {
    await this.#part?.program.release();
  }

  /** Types and shapes of the gradients, by the names of their parameters. */
  #gradientSpecs(): readonly InputSpec[] {
    const { first } = this.#sharing.programs;
    const pairs = first.plan.gradients;
    const specs = first.specs(pairs.map(([, held]) => held));
    return specs.map((spec, index) => ({ ...spec, name: pairs[index]?.[0] ?? "" }));
  }

  /** Types and shapes of those of the names that are state of a kind. */
  #specs(kind: "parameter" | "slot" | "buffer", names: readonly string[]): readonly InputSpec[] {
    const { state } = this.#sharing;
    const [all, wanted] = [state.specs(), new Set(names)];
    return state.names(kind).flatMap((name) => (wanted.has(name) ? (all.get(name) ?? []) : []));
  }

  async #partOf({ parameters, sessions }: Share): Promise<Program> {
    const { programs, sharer, provider } = this.#sharing;
    const key = JSON.stringify([sessions, ...parameters]);
    if (this.#part?.key === key) return this.#part.program;
    await this.#part?.program.release();
    const { model } = programs.requireOptimizer(programs.apply);
    const program = new Program(sharer(model, new Set(parameters), sessions), "apply", provider);
    this.#part = { key, program };
    return program;
  }

  /** Notes that a part of an update was made here, and the rest of it elsewhere. @returns names of the slots that were renewed */
  #leave({ plan }: Program): readonly string[] {
    const { state } = this.#sharing;
    if (state.requireWhole === null) this.#left.clear();
    state.requireWhole = (names) => this.#requireWhole(names);
    const own = new Set(plan.state.filter(({ next }) => next !== null).map(({ name }) => name));
    for (const name of [...state.names("parameter"), ...state.names("slot")]) if (!own.has(name)) this.#left.add(name);
    return state.names("slot").filter((name) => own.has(name));
  }

  #requireWhole(names?: readonly string[]): void {
    if (this.#left.size === 0) return;
    const name = names === undefined ? [...this.#left][0] : names.find((each) => this.#left.has(each));
    if (name === undefined) return;
    const others = this.#left.size - 1;
    throw new BackendError(
      "E_STATE_APART",
      `the state is spread over the ranks: "${name}" is renewed on another rank${others === 0 ? "" : `, and ${others} more tensors`}`,
      {
        field: name,
        hint: "Ask for the state in save, after an epoch, or when the training is over: it is brought together there.",
      },
    );
  }
}

function layoutOf({ type, dims, data }: Tensor): TensorLayout {
  type Elements = Float32Array<ArrayBuffer>;
  const ElementsOf = data.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => Elements;
  const { length } = data;
  return {
    size: length,
    bytes: length * new ElementsOf(new ArrayBuffer(0), 0, 0).BYTES_PER_ELEMENT,
    over: ({ buffer, byteOffset }) => ortTensor(type, new ElementsOf(buffer, byteOffset, length), dims),
  };
}
