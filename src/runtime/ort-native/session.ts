import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import type { Around, OrtSession } from "../ort-node/load.ts";
import type { NamedTensors } from "../session.ts";
import { type FetchMap, Lane } from "./lane.ts";
import { LoadedModel } from "./loaded-model.ts";
import type { Native } from "./native.ts";
import type { Owned } from "./resources.ts";
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
  readonly #lane: Lane;
  #last: Promise<unknown> = Promise.resolve();
  #isReleased = false;

  private constructor(native: Native, model: LoadedModel) {
    this.#native = native;
    this.#model = model;
    this.#lane = new Lane(native, model);
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
  async run(feeds: NamedTensors, fetches?: FetchMap, around?: Around): Promise<Readonly<Record<string, Tensor>>> {
    if (this.#isReleased) throw released();
    const wanted = fetches ?? Object.fromEntries(this.outputNames.map((name) => [name, null]));
    const result = this.#last.then(() => this.#run(feeds, wanted, around ?? {}));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #run(
    feeds: NamedTensors,
    fetches: FetchMap,
    { before, update }: Around,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { api, runner, running } = this.#native;
    const first = before?.() ?? [];
    const own = this.#lane.prepare(feeds, fetches);
    const runs = [...first, own];
    for (const { options } of runs) running.add(options);
    try {
      const stages = (first.length === 0 ? [[own]] : [first, [own]]).map((stage) => stage.map(({ args }) => args));
      const keeps = [this, runs.map((run) => run.keeps)];
      const call = { name: "Run", stages, flush: this.#model.flush, keeps } as const;
      api.check(...(await runner.call({ ...call, update: update?.key ?? null })));
      return own.results();
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
    this.#lane.release();
    this.#model.release();
  }
}

function released(): BackendError {
  return new BackendError("E_RELEASED", "a session of ONNX Runtime was used after it was released");
}
