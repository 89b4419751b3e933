import type { Tensor } from "onnxruntime-common";
import { setField } from "../fields.ts";
import type { OrtSession } from "../ort-node/load.ts";
import { copier, type Renewals, type StateStore } from "../ort-node/state-store.ts";
import { bytesIn, copyOfTensor, sameDims } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import type { Shape } from "./api.ts";
import type { Owned } from "./resources.ts";
import type { NativeSession } from "./session.ts";
import { type NativeTensors, shapeOf } from "./tensors.ts";

/** Memory that is not the CPU's, by its name in ONNX Runtime, and how a session is made that can copy to it and from it. */
export interface Device {
  readonly name: string;
  readonly id: number;
  readonly create: (model: Uint8Array) => Promise<NativeSession>;
}

/**
 * State in native tensors, two each, one read and one written, which change places: nothing is copied or allocated between
 * steps. On a device it is brought there before the first run, and back when it is read, by models that do nothing.
 */
export class NativeState implements StateStore {
  readonly copies: boolean;
  readonly #tensors: NativeTensors;
  readonly #device: Device | null;
  readonly #now = new Map<string, Tensor>();
  readonly #next = new Map<string, Tensor>();
  readonly #lent = new Map<string, Tensor>();
  /** State that lies in memory of JavaScript, once: it is written without being read. */
  readonly #placed = new Set<string>();
  /** State that lies in memory of JavaScript, twice. */
  readonly #inTurns = new Set<string>();
  /** Of JavaScript, still to be brought to the device. */
  readonly #waiting = new Map<string, Tensor>();
  /** Gives memory of the device; with the session that it belongs to. */
  #allocator: { readonly session: OrtSession; readonly owned: Owned } | null = null;

  constructor(tensors: NativeTensors, device: Device | null) {
    this.#tensors = tensors;
    this.#device = device;
    this.copies = device === null;
  }

  get(name: string): Tensor {
    const tensor = this.#waiting.get(name) ?? this.#now.get(name);
    if (tensor === undefined) throw missing(name);
    return tensor;
  }

  set(name: string, tensor: Tensor): void {
    if (this.#device !== null) {
      this.#waiting.set(name, tensor);
      return;
    }
    const shape = shapeOf(name, tensor);
    const held = this.#fitting(this.#now, name, shape) ?? this.#tensors.make(shape);
    this.#tensors.copyInto(held, tensor);
    this.#now.set(name, held);
  }

  /** What is held under the name where it has the shape; what has another is released. */
  #fitting(held: Map<string, Tensor>, name: string, { type, dims }: Pick<Tensor, "type" | "dims">): Tensor | undefined {
    const before = held.get(name);
    if (before === undefined) return undefined;
    if (before.type === type && sameDims(before.dims, dims)) return before;
    this.#tensors.release(before);
    held.delete(name);
    return undefined;
  }

  place(name: string, data: Tensor["data"]): void {
    const before = this.get(name);
    if (this.#device !== null || before.size === 0) return;
    const placed = this.#tensors.makeOver(data, shapeOf(name, before));
    for (const held of [this.#now, this.#next]) {
      const replaced = held.get(name);
      if (replaced !== undefined) this.#tensors.release(replaced);
      held.set(name, placed);
    }
    this.#lent.delete(name);
    this.#placed.add(name);
  }

  placeInTurns(name: string, ...halves: readonly [now: Tensor["data"], next: Tensor["data"]]): void {
    const before = this.get(name);
    const [now, next] = halves.map((data) => {
      const half = this.#tensors.makeOver(data, shapeOf(name, before));
      this.#tensors.copyInto(half, before);
      return half;
    });
    for (const replaced of [before, this.#next.get(name)]) if (replaced !== undefined) this.#tensors.release(replaced);
    if (now !== undefined) this.#now.set(name, now);
    if (next !== undefined) this.#next.set(name, next);
    this.#lent.delete(name);
    this.#inTurns.add(name);
  }

  hold(name: string, data: Float32Array): boolean {
    const before = this.get(name);
    if (before.data === data) return true;
    const isElsewhere = this.#device !== null || this.#placed.has(name) || this.#inTurns.has(name);
    if (isElsewhere || before.type !== "float32" || before.size !== data.length) return false;
    const spare = this.#next.get(name);
    const held = spare?.data === data ? spare : this.#tensors.makeOver(data, shapeOf(name, before));
    this.#tensors.copyInto(held, before);
    this.#tensors.release(before);
    if (spare !== undefined && spare !== held) this.#tensors.release(spare);
    this.#next.delete(name);
    this.#now.set(name, held);
    return true;
  }

  unplace(): void {
    for (const name of this.#placed) {
      const placed = this.get(name);
      const own = this.#tensors.make(shapeOf(name, placed));
      this.#tensors.copyInto(own, placed);
      this.#tensors.release(placed);
      this.#now.set(name, own);
      this.#next.delete(name);
    }
    this.#placed.clear();
  }

  prepare(): Promise<void> | null {
    const device = this.#device;
    return device === null || this.#waiting.size === 0 ? null : this.#bring(device);
  }

  async #bring(device: Device): Promise<void> {
    const waiting = [...this.#waiting];
    const session = await device.create(copier(waiting.map(([, tensor]) => tensor)));
    const allocator = this.#allocator?.owned ?? session.allocatorOf(device.name, device.id);
    const isFirst = this.#allocator === null;
    this.#allocator ??= { session, owned: allocator };
    const placed = waiting.map(([name, tensor]): [string, Tensor] => {
      const shape = shapeOf(name, tensor);
      return [name, this.#fitting(this.#now, name, shape) ?? this.#tensors.makeOn(allocator, shape)];
    });
    const feeds = Object.fromEntries(waiting.map(([, tensor], index) => [`in${index}`, tensor]));
    await session.run(feeds, Object.fromEntries(placed.map(([, tensor], index) => [`out${index}`, tensor])));
    for (const [name, tensor] of placed) this.#now.set(name, tensor);
    this.#waiting.clear();
    if (!isFirst) await session.release();
  }

  targets(renewals: Renewals): Readonly<Record<string, Tensor>> {
    const targets: Record<string, Tensor> = {};
    for (const [name, output] of renewals) {
      const now = this.get(name);
      let next = this.#fitting(this.#next, name, now);
      if (next === undefined) {
        next = this.#make(shapeOf(name, now));
        this.#next.set(name, next);
      }
      setField(targets, output, next);
    }
    return targets;
  }

  #make(shape: Shape): Tensor {
    const allocator = this.#allocator?.owned;
    return allocator === undefined ? this.#tensors.make(shape) : this.#tensors.makeOn(allocator, shape);
  }

  commit(renewals: Renewals): void {
    for (const [name] of renewals) {
      const [now, next] = [this.get(name), this.#next.get(name)];
      if (next === undefined) throw missing(name);
      this.#now.set(name, next);
      this.#next.set(name, now);
    }
  }

  discard(): void {
    return;
  }

  /**
   * Copies: whoever holds a tensor that shows native memory could read it after it was released. They are made in the same
   * memory each time, so that what is lent in every step, as gradients to other ranks, allocates nothing. What was placed in memory
   * of JavaScript is lent as it is.
   */
  async lend(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    if (this.#device !== null) return this.read(names);
    return new Map(names.map((name) => [name, this.#lentCopy(name)]));
  }

  #lentCopy(name: string): Tensor {
    if (this.#placed.has(name)) return this.get(name);
    const tensor = this.get(name);
    const { type, dims } = tensor;
    const lent = this.#lent.get(name);
    if (lent?.type === type && sameDims(lent.dims, dims)) {
      bytesIn(lent).set(bytesIn(tensor));
      return lent;
    }
    const made = copyOfTensor(tensor);
    this.#lent.set(name, made);
    return made;
  }

  handOut(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    /** While the state is saved, the other half of the memory is free for the copies. */
    for (const name of names) {
      if (this.#inTurns.has(name)) continue;
      const spare = this.#next.get(name);
      if (spare !== undefined) this.#tensors.release(spare);
      this.#next.delete(name);
    }
    return this.read(names);
  }

  async read(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    await this.prepare();
    if (this.#device !== null && names.length > 0) return this.#fetch(this.#device, names);
    return new Map(
      names.map((name) => {
        return [name, copyOfTensor(this.get(name))];
      }),
    );
  }

  async #fetch(device: Device, names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    const held = names.map((name) => this.get(name));
    const session = await device.create(copier(held));
    try {
      const results: NamedTensors = await session.run(
        Object.fromEntries(held.map((tensor, index) => [`in${index}`, tensor])),
      );
      return new Map(
        names.map((name, index) => {
          const result = results[`out${index}`];
          if (result === undefined) throw missing(name);
          return [name, result];
        }),
      );
    } finally {
      await session.release();
    }
  }

  async release(): Promise<void> {
    this.#lent.clear();
    for (const held of [this.#now, this.#next]) {
      for (const tensor of held.values()) this.#tensors.release(tensor);
      held.clear();
    }
    this.#waiting.clear();
    this.#allocator?.owned.release();
    await this.#allocator?.session.release();
  }
}

function missing(name: string): Error {
  return new Error(`there is no state "${name}"`);
}
