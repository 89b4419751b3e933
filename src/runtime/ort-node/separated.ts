import { type Role, readPlan } from "../../artifacts/portable/plan.ts";
import type { Model } from "../../graph/model.ts";
import type { NamedTensors } from "../session.ts";
import { Program } from "./program.ts";
import type { ResolvedProvider } from "./providers.ts";
import type { StateStore } from "./state-store.ts";

/** A model that renews state, in two: what comes before the elementwise end of its update, and that end. */
export interface SeparatedModels {
  /** With a plan; it gives what the update is made of as further outputs. */
  readonly step: Model;
  /** Elementwise operators alone, with a plan of the state that they renew in place. */
  readonly update: Model;
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

/** A step whose update is computed in place, in one pass over memory, after ONNX Runtime has made what it is made of. */
export class SeparatedProgram {
  /** The step without its update. */
  readonly program: Program;
  readonly #update: Model;
  readonly #updates: Updates;
  #opened: Promise<Update | null> | null = null;

  /** @throws FormatError `E_PLAN` */
  constructor({ step, update }: SeparatedModels, role: Role, provider: ResolvedProvider, updates: Updates) {
    this.program = new Program(step, role, provider, updates.threadsFor(update) > 1);
    this.#update = update;
    this.#updates = updates;
  }

  /** The update, with the state where it needs it; null where there is no memory for that, or somebody else has the state. */
  async prepare(store: StateStore): Promise<Update | null> {
    this.#opened ??= this.#open();
    const update = await this.#opened;
    const holds = update !== null && store.hold !== undefined;
    return holds && [...update.state].every(([name, data]) => store.hold?.(name, data)) ? update : null;
  }

  #open(): Promise<Update | null> {
    const { state, inputs: losses } = readPlan(this.#update, "apply");
    return this.#updates.open(this.#update, { state: state.map(({ name, next }) => [name, next]), losses });
  }

  async release(): Promise<void> {
    const update = await this.#opened?.catch(() => null);
    await update?.release();
    await this.program.release();
  }
}
