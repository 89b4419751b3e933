import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import type { Around, OrtSession, StepRun, StepsMade } from "../ort-node/load.ts";
import type { Update } from "../ort-node/separated.ts";
import type { NamedTensors } from "../session.ts";
import { type FetchMap, Lanes, type PreparedRun } from "./lane.ts";
import { LoadedModel } from "./loaded-model.ts";
import type { Native } from "./native.ts";
import type { Owned } from "./resources.ts";
import { RunLengths } from "./run-lengths.ts";
import type { CallResult, LongCall, Stages } from "./runner.ts";
import { readOptions } from "./session-options.ts";

/**
 * A model loaded through the C API. Tensors that show native memory are read and written where they are; others are copied
 * in before a run, so that their owner may do with them what he likes.
 */
export class NativeSession implements OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #native: Native;
  readonly #model: LoadedModel;
  readonly #lanes: Lanes;
  readonly #lengths: RunLengths;
  #last: Promise<unknown> = Promise.resolve();
  #isReleased = false;

  private constructor(native: Native, model: LoadedModel) {
    this.#native = native;
    this.#model = model;
    this.#lanes = new Lanes(native, model);
    this.#lengths = new RunLengths(model.isOnCpu);
    this.inputNames = model.namesOf("Input");
    this.outputNames = model.namesOf("Output");
  }

  /** @throws Error with what ONNX Runtime said of the model */
  static async create(
    native: Native,
    model: Uint8Array,
    options: Readonly<Record<string, unknown>>,
  ): Promise<NativeSession> {
    return new NativeSession(native, await LoadedModel.create(native, model, readOptions(options)));
  }

  /** One run at a time. */
  run(
    feeds: NamedTensors,
    fetches: FetchMap = Object.fromEntries(this.outputNames.map((name) => [name, null])),
    { before, update = null, lends = false }: Around = {},
  ): Promise<Readonly<Record<string, Tensor>>> {
    const isAlone = before === undefined && update === null;
    return this.#next(() =>
      isAlone ? this.#alone(feeds, fetches, lends) : this.#around(feeds, fetches, before, update),
    );
  }

  async #around(
    feeds: NamedTensors,
    fetches: FetchMap,
    before: Around["before"],
    update: Update | null,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { own, ...made } = this.#prepare([{ feeds, fetches, ...(before === undefined ? {} : { before }) }]);
    const { failed } = await this.#call(made, update);
    this.#native.api.check(...failed);
    return own?.results() ?? {};
  }

  async #alone(feeds: NamedTensors, fetches: FetchMap, lends: boolean): Promise<Readonly<Record<string, Tensor>>> {
    const lane = this.#lanes.at(0);
    const own = lane.prepare(feeds, fetches, lends);
    const { failed } = await this.#call({ runs: [own], steps: [[[own.args]]] }, null);
    if (failed.length === 0) return own.results();
    if (!own.isLent) this.#native.api.check(...failed);
    for (const status of failed) this.#native.api.call("ReleaseStatus", status);
    const results = await this.#alone(feeds, fetches, false);
    lane.lendNone();
    return results;
  }

  async runSteps(runs: readonly StepRun[], update: Update): Promise<StepsMade> {
    return this.#next(async () => {
      const { failed, losses } = await this.#call(this.#prepare(runs), update);
      try {
        this.#native.api.check(...failed);
        return { losses, error: null };
      } catch (error) {
        return { losses, error };
      }
    });
  }

  async #next<T>(run: () => Promise<T>): Promise<T> {
    if (this.#isReleased) throw released();
    const result = this.#last.then(run);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** What runs are called with, stage by stage; and the last of them. */
  #prepare(given: readonly StepRun[]): Prepared & { readonly own: PreparedRun | undefined } {
    const runs: PreparedRun[] = [];
    const steps = given.map(({ feeds, fetches, before }, step) => {
      const first = before?.(step) ?? [];
      const own = this.#lanes.at(step).prepare(feeds, fetches);
      runs.push(...first, own);
      return first.length === 0 ? [[own.args]] : [first.map(({ args }) => args), [own.args]];
    });
    return { runs, steps, own: runs.at(-1) };
  }

  async #call({ runs, steps }: Prepared, update: Update | null): Promise<CallResult> {
    const { callerThread } = this.#native;
    const keeps = [this, runs];
    const call: LongCall = { name: "Run", steps, flush: this.#model.flush, keeps, update: update?.key ?? null };
    const isHere = callerThread?.takes(call) === true && this.#lengths.areShort(runs);
    while (isHere && callerThread.isDue()) await callerThread.turn();
    const result = isHere ? callerThread.call(call) : await this.#elsewhere(call, runs);
    this.#lengths.took(runs, result.milliseconds);
    return result;
  }

  async #elsewhere(call: LongCall, runs: readonly PreparedRun[]): Promise<CallResult> {
    const { runner, running } = this.#native;
    for (const { options } of runs) running.add(options);
    try {
      return await runner.call(call);
    } finally {
      for (const { options } of runs) running.delete(options);
    }
  }

  endProfiling(): void {
    throw new BackendError("E_UNSUPPORTED", "profiles are written through onnxruntime-node alone");
  }

  allocatorOf(device: string, id: number): Owned {
    return this.#model.allocatorOf(device, id);
  }

  reserve(bytes: number): void {
    this.#model.reserve(bytes);
  }

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#last;
    this.#lanes.release();
    this.#model.release();
  }
}

/** Runs that are still to be made, and what they are called with: of each step its stages. */
interface Prepared {
  readonly runs: readonly PreparedRun[];
  readonly steps: readonly Stages[];
}

function released(): BackendError {
  return new BackendError("E_RELEASED", "a session of ONNX Runtime was used after it was released");
}
