import { type Plan, type Role, readPlan } from "../../artifacts/portable/plan.ts";
import type { Model } from "../../graph/model.ts";
import type { NamedTensors } from "../session.ts";
import type { StepsMade } from "./load.ts";
import { Program, type RunResult } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import { type ShardedModel, ShardedProgram } from "./shards.ts";
import type { StateStore } from "./state-store.ts";

/** A model that renews state, in two: what comes before the elementwise end of its update, and that end. */
export interface SeparatedModels {
  /**
   * With a plan; it gives what the update is made of as further outputs. With shards its plan's inputs are what those give: each output by
   * its name and the number of the part, `loss/0`.
   */
  readonly step: Model;
  /** Elementwise operators alone, with a plan of the state that they renew in place. */
  readonly update: Model;
  /** What computes parts of the batch before the step; null where the step takes the whole batch. */
  readonly shards: ShardedModel | null;
}

/** An update that is computed after a run of ONNX Runtime, where the state lies. */
export interface Update {
  /** By which the thread that runs models knows it. */
  readonly key: number;
  /** Where the state lies that it reads and renews. */
  readonly state: ReadonlyMap<string, Float32Array>;
  /** Where a step is to put what the update is made of. */
  readonly given: NamedTensors;
  release(): Promise<void>;
}

/** What the plan of an update says of its inputs. */
export interface UpdateState {
  /** State by name, with the output that renews it; null where it is only read. */
  readonly state: readonly (readonly [name: string, next: string | null])[];
  /** The loss, one number: where it is not finite, the update is left out. */
  readonly losses: readonly string[];
}

/** Makes updates of one session, which share the memory of the state. */
export interface Updates {
  /** How many threads an update is worth. */
  threadsFor(update: Model): number;
  /** Null where there is no memory for it, or it cannot be run. */
  open(update: Model, state: UpdateState): Promise<Update | null>;
  /** Gives back the memory of all that was opened, when that is released. */
  release(): void;
}

/** Numbers that a model takes beside the batch, as its plan names them. */
export type ScalarsOf = (plan: Plan) => NamedTensors;

/** A step that can be run. */
export interface ReadyStep {
  readonly program: Program;
  /** @throws BackendError `E_RUN` */
  run(feeds: NamedTensors, scalarsOf: ScalarsOf, wanted: readonly string[]): Promise<RunResult>;
  /** Runs several steps in one call, as `Program.runSteps` does; null where that cannot be. */
  readonly runSteps: ((steps: readonly StepFeeds[]) => Promise<StepsMade>) | null;
}

/** What a step takes beside the state. */
export interface StepFeeds {
  readonly feeds: NamedTensors;
  readonly scalarsOf: ScalarsOf;
}

/** A step whose update is computed in place, in one pass over memory, after ONNX Runtime has made what it is made of. */
export class SeparatedProgram {
  /** The step without its update. */
  readonly program: Program;
  readonly #sharded: ShardedProgram | null;
  readonly #update: Model;
  readonly #updates: Updates;
  readonly #count: number;
  #opened: Promise<Update | null> | null = null;
  #isLeftOut = false;

  /** @throws FormatError `E_PLAN` */
  constructor({ step, update, shards }: SeparatedModels, role: Role, provider: ResolvedProvider, updates: Updates) {
    const alternates = shards !== null || updates.threadsFor(update) > 1;
    this.program = new Program(step, role, provider, alternates);
    this.#sharded = shards === null || provider.shards === null ? null : new ShardedProgram(shards, provider.shards);
    this.#count = this.#sharded === null ? 1 : (shards?.count ?? 1);
    this.#update = update;
    this.#updates = updates;
  }

  /** Into how many parts it cuts its batch; 1 where it could not be prepared when it was last asked to. */
  get parts(): number {
    return this.#isLeftOut ? 1 : this.#count;
  }

  /**
   * The step, with the state where its update needs it. Null where there is no memory for that, or somebody else has the state, or
   * parts of a batch cannot be computed.
   */
  async prepare(store: StateStore): Promise<ReadyStep | null> {
    const ready = await this.#prepare(store);
    this.#isLeftOut = ready === null;
    return ready;
  }

  async #prepare(store: StateStore): Promise<ReadyStep | null> {
    const { program } = this;
    const sharded = this.#sharded;
    const shards = (await sharded?.prepare(store)) ?? null;
    if (sharded !== null && (shards === null || !(await program.canLoad()))) return null;
    this.#opened ??= this.#open();
    const update = await this.#opened;
    if (update === null || store.hold === undefined) return null;
    for (const [name, data] of update.state) if (!store.hold(name, data)) return null;
    const taken = ({ feeds, scalarsOf }: StepFeeds) => {
      if (sharded === null || shards === null) return { inputs: { ...feeds, ...scalarsOf(program.plan) } };
      return {
        inputs: { ...shards.results, ...scalarsOf(program.plan) },
        before: (step: number) => shards.runs(feeds, scalarsOf(sharded.plan), step),
      };
    };
    return {
      program,
      run: (feeds, scalarsOf, wanted) => {
        const { inputs, ...around } = taken({ feeds, scalarsOf });
        return program.run(inputs, store, wanted, { ...around, update });
      },
      runSteps: (await program.canRunSteps(update))
        ? (steps) => program.runSteps(steps.map(taken), store, update)
        : null,
    };
  }

  #open(): Promise<Update | null> {
    const { state, inputs: losses } = readPlan(this.#update, "apply");
    return this.#updates.open(this.#update, { state: state.map(({ name, next }) => [name, next]), losses });
  }

  async release(): Promise<void> {
    const update = await this.#opened?.catch(() => null);
    await update?.release();
    await this.program.release();
    await this.#sharded?.release();
  }
}
