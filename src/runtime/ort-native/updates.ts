import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Update, UpdateState, Updates } from "../ort-node/separated.ts";
import { compileUpdate } from "../update-kernel/compile.ts";
import { type Floats, KernelMemory } from "../update-kernel/memory.ts";
import { shapeOf, sizeOf } from "../update-kernel/parts.ts";
import { divide, type Task } from "../update-kernel/tasks.ts";
import { Helpers } from "./helpers.ts";
import type { Native } from "./native.ts";

/** Bytes of state for which a further thread saves more time than it takes to wake it. */
const WORTH_A_THREAD = 2 ** 21;
/** More threads wait for memory. */
const MOST_THREADS = 8;

/** Updates by kernels, in the memory where ONNX Runtime reads the state. */
export class NativeUpdates implements Updates {
  readonly #native: Native;
  readonly #threads: number;
  /** Made when it is needed: it takes 4 GB of address space. */
  #memory: KernelMemory | null = null;
  readonly #state = new Map<string, Floats>();

  constructor(native: Native, threads: number) {
    this.#native = native;
    this.#threads = threads;
  }

  threadsFor({ graph }: Model): number {
    const bytes = graph.outputs.reduce((sum, value) => sum + 4 * sizeOf(value), 0);
    return Math.min(this.#threads, MOST_THREADS, 1 + Math.floor(bytes / WORTH_A_THREAD));
  }

  async open(model: Model, { state, losses }: UpdateState): Promise<Update | null> {
    const names = new Set(state.map(([name]) => name));
    const { inputs } = model.graph;
    const memory = this.#allocate(inputs, names);
    if (memory === null) return null;
    const { places } = memory;
    for (const [name, next] of state) if (next !== null) places.set(next, placeOf(places, name));
    const inPlace = new Map(state.flatMap(([name, next]) => (next === null ? [] : [[name, next] as const])));
    const { module, calls } = compileUpdate(model, inPlace);
    const tasks = divide(calls, this.threadsFor(model), (name) => placeOf(places, name).byteOffset);
    const [loss = ""] = losses;
    const numbers = [places.get(loss)?.byteOffset ?? 0, losses.length] as const;
    const loaded = await this.#load(module, memory.of, tasks, numbers);
    if (loaded === null) return null;
    const { tensors } = this.#native;
    const made = inputs.filter(({ name }) => !names.has(name));
    const given = Object.fromEntries(
      made.map((value) => {
        const shape = { type: "float32", dims: shapeOf(value) } as const;
        return [value.name, tensors.makeOver(placeOf(places, value.name), shape)];
      }),
    );
    const update: Update = {
      state: new Map([...names].map((name) => [name, placeOf(places, name)])),
      ...{ given, key: loaded.key },
      release: async () => {
        FORGOTTEN.unregister(update);
        for (const tensor of Object.values(given)) tensors.release(tensor);
        await loaded.release();
      },
    };
    FORGOTTEN.register(update, loaded, update);
    return update;
  }

  /** Gives the memory back for other sessions: WebAssembly's is freed late, if ever. What was opened is released. */
  release(): void {
    if (this.#memory === null) return;
    this.#memory.reset();
    this.#native.kernelMemories.push(this.#memory);
    this.#memory = null;
    this.#state.clear();
  }

  /** Null where no further thread can be started, or there are no vectors in this WebAssembly: the update then stays in the graph. */
  async #load(
    code: Uint8Array<ArrayBuffer>,
    memory: WebAssembly.Memory,
    [task = [], ...others]: readonly Task[],
    losses: readonly [byteOffset: number, length: number],
  ): Promise<Loaded | null> {
    const { runner, callerThread, koffiFile } = this.#native;
    const shared = await WebAssembly.compile(code).then(
      (module) => ({ module, memory }),
      () => null,
    );
    const helpers = shared && (await Helpers.start(others, { ...shared, koffiFile }).catch(() => null));
    if (shared === null || helpers === null) return null;
    try {
      const share = { ...shared, task, losses, control: helpers.control, helpers: helpers.count };
      const key = await runner.load(share);
      callerThread?.load(key, share);
      const drop = (): Promise<void> => {
        callerThread?.drop(key);
        return runner.drop(key).catch(() => undefined);
      };
      return { key, release: () => Promise.all([drop(), helpers.release()]).then(() => undefined) };
    } catch (error) {
      await helpers.release();
      throw error;
    }
  }

  /** Where all that an update reads lies: what is state lies where it does for other updates. Null where there is no memory left. */
  #allocate(inputs: readonly Value[], state: ReadonlySet<string>): Allocated | null {
    this.#memory ??= this.#native.kernelMemories.pop() ?? KernelMemory.reserve();
    const places = new Map([...this.#state].filter(([name]) => state.has(name)));
    const further = inputs.filter(({ name }) => !places.has(name));
    const made = this.#memory?.allocate(further.map(sizeOf)) ?? null;
    if (this.#memory === null || made === null) return null;
    this.#native.pages?.askFor(spanOf(made));
    for (const [index, { name }] of further.entries()) {
      const place = made[index];
      if (place === undefined) continue;
      places.set(name, place);
      if (state.has(name)) this.#state.set(name, place);
    }
    return { of: this.#memory.memory, places };
  }
}

/** An update that is loaded in threads. */
interface Loaded {
  readonly key: number;
  readonly release: () => Promise<void>;
}

/** Ends the threads of updates that nobody has any more, and that nobody released. */
const FORGOTTEN = new FinalizationRegistry<Loaded>((loaded) => void loaded.release());

/** Where tensors lie, and in which memory. */
interface Allocated {
  readonly of: WebAssembly.Memory;
  readonly places: Map<string, Floats>;
}

/** All bytes from the first of these to the last. */
function spanOf(places: readonly Floats[]): Uint8Array {
  const [first, last] = [places[0], places.at(-1)];
  if (first === undefined || last === undefined) return new Uint8Array();
  const { buffer, byteOffset } = first;
  return new Uint8Array(buffer, byteOffset, last.byteOffset + last.byteLength - byteOffset);
}

function placeOf(places: ReadonlyMap<string, Floats>, name: string): Floats {
  const place = places.get(name);
  if (place === undefined) throw new RangeError(`an update has no "${name}"`);
  return place;
}
