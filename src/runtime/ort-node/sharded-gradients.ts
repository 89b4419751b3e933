import type { Model } from "../../graph/model.ts";
import type { NamedTensors } from "../session.ts";
import { Program, type RunResult } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import { type ShardedModel, ShardedProgram, type Shards } from "./shards.ts";
import type { StateStore } from "./state-store.ts";

/** `gradients` in parts of its batch. The plans' inputs of what adds up the parts are what those give, and the loss is the only output. */
export interface ShardedGradientModels {
  readonly shards: ShardedModel;
  /** Adds up the parts, for the first batch after a reset. */
  readonly overwriting: Model;
  /** Adds the parts to what was accumulated, for the batches after that one. */
  readonly adding: Model;
}

/** Gradients that can be computed. */
export interface ReadyGradients {
  readonly program: Program;
  /** Gives the loss where it is wanted. @throws BackendError `E_RUN` */
  run(feeds: NamedTensors, wanted: readonly string[]): Promise<RunResult>;
}

/** The gradients of a batch, of parts that are computed at the same time. */
export class ShardedGradients {
  readonly #shards: ShardedProgram;
  readonly #overwriting: Program;
  readonly #adding: Program;

  /** @throws FormatError `E_PLAN` */
  constructor({ shards, overwriting, adding }: ShardedGradientModels, provider: ResolvedProvider, on: Shards) {
    this.#shards = new ShardedProgram(shards, on);
    this.#overwriting = new Program(overwriting, "gradients", provider);
    this.#adding = new Program(adding, "gradients", provider);
  }

  /**
   * @param resets whether the gradients take the place of those accumulated
   * @returns null where parts cannot be computed here, or not all that is wanted is made of them
   */
  async prepare(store: StateStore, resets: boolean, wanted: readonly string[]): Promise<ReadyGradients | null> {
    const program = resets ? this.#overwriting : this.#adding;
    if (!wanted.every((name) => program.plan.outputs.includes(name))) return null;
    const shards = await this.#shards.prepare(store);
    if (shards === null || !(await program.canLoad())) return null;
    return {
      program,
      run: (feeds, outputs) =>
        program.run(shards.results, store, outputs, { before: (step) => shards.runs(feeds, {}, step) }),
    };
  }

  async release(): Promise<void> {
    await this.#overwriting.release();
    await this.#adding.release();
    await this.#shards.release();
  }
}
