import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import type { OpenedShards, Shards } from "../ort-node/shards.ts";
import type { NamedTensors } from "../session.ts";
import { shapeOf } from "../update-kernel/parts.ts";
import { elementTypeOf, type Shape } from "./api.ts";
import { Lanes, type PreparedRun } from "./lane.ts";
import { LoadedModel } from "./loaded-model.ts";
import type { Native } from "./native.ts";
import type { NativeSessionOptions } from "./session-options.ts";

/** Runs one model on several parts of a batch at the same time. */
export class NativeShards implements Shards {
  readonly most: number;
  readonly #native: Native;
  readonly #options: NativeSessionOptions;

  /** @param threads how many there are for a step in all */
  constructor(native: Native, options: NativeSessionOptions, threads: number) {
    this.#native = native;
    this.#options = options;
    this.most = threads;
  }

  async open(model: Model, count: number): Promise<OpenedShards> {
    const { runner } = this.#native;
    await runner.hire(count - 1);
    const shapes = new Map(model.graph.outputs.map((value) => [value.name, tensorOf(value)]));
    const { configuration } = this.#options;
    const loaded = await LoadedModel.create(this.#native, encodeModel(model), {
      ...this.#options,
      /** Who runs a model computes, too: what is left are the threads that all runs share. */
      intraOpNumThreads: this.most - count + 1,
      configuration: { ...configuration, "session.force_spinning_stop": "1" },
    });
    return new OpenedNativeShards(this.#native, loaded, shapes, count);
  }
}

class OpenedNativeShards implements OpenedShards {
  readonly results: NamedTensors;
  readonly #native: Native;
  readonly #model: LoadedModel;
  readonly #parts: readonly { readonly lanes: Lanes; readonly results: NamedTensors }[];

  constructor(native: Native, model: LoadedModel, shapes: ReadonlyMap<string, Shape>, count: number) {
    this.#native = native;
    this.#model = model;
    const make = (): NamedTensors =>
      Object.fromEntries([...shapes].map(([name, shape]) => [name, native.tensors.make(shape)]));
    this.#parts = Array.from({ length: count }, () => ({ lanes: new Lanes(native, model), results: make() }));
    this.results = Object.fromEntries(
      this.#parts.flatMap(({ results }, index) =>
        Object.entries(results).map(([name, tensor]) => [`${name}/${index}`, tensor] as const),
      ),
    );
  }

  async isReady(): Promise<boolean> {
    return this.#native.runner.hire(this.#parts.length - 1).then(
      () => true,
      () => false,
    );
  }

  reserve(bytes: number): void {
    this.#model.reserve(bytes);
  }

  prepare(feeds: readonly NamedTensors[], step: number): readonly PreparedRun[] {
    return this.#parts.map(({ lanes, results }, index) => lanes.at(step).prepare(feeds[index] ?? {}, results));
  }

  release(): void {
    for (const tensor of Object.values(this.results)) this.#native.tensors.release(tensor);
    for (const { lanes } of this.#parts) lanes.release();
    this.#model.release();
  }
}

/** @throws RangeError where not all of the shape is known; Error for elements of a type that is not handed over */
function tensorOf(value: Value): Shape {
  const dims = shapeOf(value);
  const dtype = value.type?.kind === "tensor" ? value.type.dtype : 0;
  return { type: elementTypeOf(dtype, `the output "${value.name}"`), dims };
}
