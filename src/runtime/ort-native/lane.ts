import type { Tensor } from "onnxruntime-common";
import type { NamedTensors } from "../session.ts";
import type { LoadedModel } from "./loaded-model.ts";
import type { Native } from "./native.ts";
import type { Owned } from "./resources.ts";
import type { Arguments } from "./runner.ts";
import { cString } from "./session-options.ts";
import { shapeOf } from "./tensors.ts";

/** The outputs that are wanted; a tensor takes the values, null asks for a new one. */
export type FetchMap = Readonly<Record<string, Tensor | null>>;
type Fetches = readonly (readonly [name: string, target: Tensor | null])[];

/** A run of a model that is still to be made. */
export interface PreparedRun {
  readonly args: Arguments;
  /** By which it can be cut short. */
  readonly options: Owned;
  /** What has to stay where it is until it has ended. */
  readonly keeps: unknown;
  /** Whether what is fed has the shapes that were fed before. */
  readonly isAsBefore: boolean;
  /** The outputs, once it went well. */
  results(): Readonly<Record<string, Tensor>>;
}

/** What a model needs for one run at a time: what is fed is copied into the same memory each time. */
export class Lane {
  readonly #native: Native;
  readonly #model: LoadedModel;
  readonly #options: Owned;
  /** Names of inputs and outputs as C has them, and where they are. */
  readonly #texts = new Map<string, { readonly bytes: Uint8Array; readonly address: bigint }>();
  /** Native tensors that take what is fed from JavaScript, by input. */
  readonly #fed = new Map<string, Tensor>();
  #isAsBefore = true;

  constructor(native: Native, model: LoadedModel) {
    this.#native = native;
    this.#model = model;
    this.#options = model.runOptions();
  }

  /** Takes what is fed. @throws Error for a type that is not handed over; BackendError `E_RELEASED` */
  prepare(feeds: NamedTensors, fetchMap: FetchMap): PreparedRun {
    const { api, tensors } = this.#native;
    const [inputs, fetches] = [Object.entries(feeds), Object.entries(fetchMap)];
    const [fed, fetched] = [inputs.length, fetches.length];
    /** Names and values of the inputs, names and values of the outputs. */
    const block = new BigUint64Array(new ArrayBuffer(16 * (fed + fetched)));
    const outputs = block.subarray(2 * fed + fetched);
    this.#isAsBefore = true;
    for (const [index, [name, tensor]] of inputs.entries()) {
      block[index] = this.#text(name);
      block[fed + index] = this.#input(name, tensor).pointer;
    }
    for (const [index, [name, tensor]] of fetches.entries()) {
      block[2 * fed + index] = this.#text(name);
      outputs[index] = tensor === null ? 0n : (tensors.ownerOf(tensor)?.pointer ?? 0n);
    }
    const start = api.address(block);
    const at = (index: number): bigint => start + BigInt(8 * index);
    const args = [this.#model.pointer, this.#options.pointer, at(0), at(fed), fed];
    return {
      args: [...args, at(2 * fed), fetched, at(2 * fed + fetched)],
      options: this.#options,
      keeps: [this, block, feeds, fetchMap],
      isAsBefore: this.#isAsBefore,
      results: () => this.#results(fetches, outputs),
    };
  }

  #results(fetches: Fetches, outputs: BigUint64Array): Readonly<Record<string, Tensor>> {
    const { tensors } = this.#native;
    const made = fetches.map(([, target], index) => {
      const isNative = target !== null && tensors.ownerOf(target) !== undefined;
      return isNative ? target : tensors.take(outputs[index] ?? 0n);
    });
    return Object.fromEntries(
      fetches.map(([name, target], index) => {
        const result = made[index] ?? target;
        if (result === null) throw new Error(`the output "${name}" was not made`);
        if (target === null || target === result) return [name, result];
        tensors.copyInto(target, result);
        return [name, target];
      }),
    );
  }

  #text(name: string): bigint {
    const known = this.#texts.get(name);
    if (known !== undefined) return known.address;
    const bytes = cString(name);
    const address = this.#native.api.address(bytes);
    this.#texts.set(name, { bytes, address });
    return address;
  }

  #input(name: string, tensor: Tensor): Owned {
    const { tensors } = this.#native;
    const owner = tensors.ownerOf(tensor);
    if (owner !== undefined) return owner;
    const shape = shapeOf(name, tensor);
    const before = this.#fed.get(name);
    const fits = before?.type === shape.type && before.dims.join() === shape.dims.join();
    const target = fits ? before : tensors.make(shape);
    this.#isAsBefore &&= fits;
    if (!fits && before !== undefined) tensors.release(before);
    this.#fed.set(name, target);
    tensors.copyInto(target, tensor);
    const made = tensors.ownerOf(target);
    if (made === undefined) throw new Error(`what takes "${name}" is no native tensor`);
    return made;
  }

  release(): void {
    for (const tensor of this.#fed.values()) this.#native.tensors.release(tensor);
    this.#options.release();
  }
}

/** What a model needs for several runs that are prepared before the first is made: a lane for each. */
export class Lanes {
  readonly #make: () => Lane;
  readonly #lanes: Lane[] = [];

  constructor(native: Native, model: LoadedModel) {
    this.#make = () => new Lane(native, model);
  }

  /** @param step which of the runs, from 0 on and without gaps */
  at(step: number): Lane {
    const lane = this.#lanes[step] ?? this.#make();
    this.#lanes[step] = lane;
    return lane;
  }

  release(): void {
    for (const lane of this.#lanes) lane.release();
  }
}
