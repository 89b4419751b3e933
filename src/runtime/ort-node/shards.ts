import type { Tensor } from "onnxruntime-common";
import { inputSpecs, type Plan, readPlan } from "../../artifacts/portable/plan.ts";
import type { Model } from "../../graph/model.ts";
import type { PreparedRun } from "../ort-native/lane.ts";
import { ortTensor } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import { roomFor } from "./program.ts";
import type { StateStore } from "./state-store.ts";

/** What computes a part of a batch. */
export interface ShardedModel {
  /** With a plan of the role "train_step": state that it only reads, the inputs of a step, and results of known shapes. */
  readonly model: Model;
  /** In how many parts a batch is cut. */
  readonly count: number;
}

/** Runs models on parts of a batch at the same time. */
export interface Shards {
  /** How many parts at most. */
  readonly most: number;
  /** @throws Error where the model cannot be loaded, or there are no threads for it */
  open(model: Model, count: number): Promise<OpenedShards>;
}

export interface OpenedShards {
  /** Where what the parts make is put: by the output's name and the part's number, `loss/0`. */
  readonly results: NamedTensors;
  /** Prepares for runs that need about so many bytes. */
  reserve(bytes: number): void;
  /** Whether all threads are there that take part; is asked before each run. */
  isReady(): Promise<boolean>;
  /** Takes what is fed. @param feeds one per part @param step which of several that are prepared before they are made, from 0 on */
  prepare(feeds: readonly NamedTensors[], step: number): readonly PreparedRun[];
  release(): void;
}

/** A model that computes parts of batches, loaded when it is first run. */
export class ShardedProgram {
  readonly plan: Plan;
  readonly #models: ShardedModel;
  readonly #shards: Shards;
  /** Of each input, its first axis in a part. */
  readonly #sizes: ReadonlyMap<string, number | string | null | undefined>;
  #opened: Promise<OpenedShards | null> | null = null;

  /** @throws FormatError `E_PLAN` */
  constructor(models: ShardedModel, shards: Shards) {
    this.plan = readPlan(models.model, "train_step");
    this.#models = models;
    this.#shards = shards;
    this.#sizes = new Map(inputSpecs(models.model, this.plan.inputs).map(({ name, shape }) => [name, shape?.[0]]));
  }

  /** Null where it cannot be run here: who asks then has the whole batch computed. */
  async prepare(store: StateStore): Promise<ReadyShards | null> {
    this.#opened ??= this.#open(store).catch(() => null);
    const shards = await this.#opened;
    if (shards === null) return null;
    if (!(await shards.isReady())) {
      await this.release();
      this.#opened = Promise.resolve(null);
      return null;
    }
    return {
      results: shards.results,
      runs: (feeds, scalars, step) => {
        const state = Object.fromEntries(this.plan.state.map(({ name }) => [name, store.get(name)]));
        return shards.prepare(
          this.#partsOf(feeds).map((part) => ({ ...part, ...scalars, ...state })),
          step,
        );
      },
    };
  }

  async #open(store: StateStore): Promise<OpenedShards> {
    const { model, count } = this.#models;
    const shards = await this.#shards.open(model, count);
    shards.reserve(roomFor(this.plan.state.map(({ name }) => store.get(name))));
    return shards;
  }

  #partsOf(feeds: NamedTensors): readonly NamedTensors[] {
    const { count } = this.#models;
    return Array.from({ length: count }, (_, index) =>
      Object.fromEntries(
        Object.entries(feeds).flatMap(([name, tensor]) => {
          if (!this.#sizes.has(name)) return [];
          const size = this.#sizes.get(name);
          const isCut = typeof size === "number" && size * count === tensor.dims[0];
          return [[name, isCut ? rowsOf(tensor, index * size, size) : tensor]];
        }),
      ),
    );
  }

  async release(): Promise<void> {
    (await this.#opened)?.release();
  }
}

/** Parts of a batch that can be computed. */
export interface ReadyShards extends Pick<OpenedShards, "results"> {
  /** @param scalars what every part takes beside the batch @param step as `OpenedShards.prepare` has it */
  runs(feeds: NamedTensors, scalars: NamedTensors, step: number): readonly PreparedRun[];
}

/** Some rows of a tensor; the elements are not copied. */
function rowsOf({ type, data, dims }: Tensor, first: number, count: number): Tensor {
  const [, ...row] = dims;
  const size = row.reduce((product, dim) => product * dim, 1);
  const [start, end] = [first * size, (first + count) * size];
  const rows = Array.isArray(data) ? data.slice(start, end) : data.subarray(start, end);
  return ortTensor(type, rows, [count, ...row]);
}
