import type { Tensor } from "onnxruntime-common";
import { setField } from "../fields.ts";
import { sameDims } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import type { LoadedModel } from "./loaded-model.ts";
import type { Native } from "./native.ts";
import type { Owned } from "./resources.ts";
import type { Arguments } from "./runner.ts";
import { cString } from "./session-options.ts";
import { shapeOf } from "./tensors.ts";

/** The outputs that are wanted; a tensor takes the values, null asks for a new one. */
export type FetchMap = Readonly<Record<string, Tensor | null>>;

/** A run of a model that is still to be made. */
export interface PreparedRun {
  readonly args: Arguments;
  /** By which it can be cut short. */
  readonly options: Owned;
  /** What has to stay where it is until it has ended. */
  readonly keeps: unknown;
  /** Whether what is fed has the shapes that were fed before. */
  readonly isAsBefore: boolean;
  /** Whether an output is written where one was before: that goes wrong where it has another shape. */
  readonly isLent: boolean;
  /** The outputs, once it went well. */
  results(): Readonly<Record<string, Tensor>>;
}

/** A native tensor, as JavaScript sees it. */
interface NativeTensor {
  readonly tensor: Tensor;
  readonly owned: Owned;
}

/** What a model needs for one run at a time: what is fed is copied into the same memory each time. */
export class Lane {
  readonly #native: Native;
  readonly #model: LoadedModel;
  readonly #options: Owned;
  /** Names of inputs and outputs as C has them, and where they are. */
  readonly #texts = new Map<string, { readonly bytes: Uint8Array; readonly address: bigint }>();
  /** What takes what is fed from JavaScript, by input. */
  readonly #fed = new Map<string, NativeTensor>();
  /** How often something was fed of another shape than before it. */
  #changes = 0;
  /** What takes outputs that are lent, by output. */
  readonly #lent = new Map<string, NativeTensor>();
  #canLend = true;
  #block: Block | null = null;

  constructor(native: Native, model: LoadedModel) {
    this.#native = native;
    this.#model = model;
    this.#options = model.runOptions();
  }

  /**
   * Takes what is fed.
   * @param lends whether new outputs are read before the next run, and no longer needed then: their memory is then used again
   * @throws Error for a type that is not handed over; BackendError `E_RELEASED`
   */
  prepare(feeds: NamedTensors, fetchMap: FetchMap, lends = false): PreparedRun {
    const { tensors } = this.#native;
    const inputs = Object.keys(feeds);
    const outputs = Object.keys(fetchMap);
    const block = this.#blockOf(inputs, outputs);
    const changes = this.#changes;
    for (let index = 0; index < inputs.length; index++) {
      const name = inputs[index] ?? "";
      const tensor = feeds[name];
      if (tensor === undefined) throw new Error(`there is no tensor for "${name}"`);
      block.inputs[index] = (tensors.ownerOf(tensor) ?? this.#input(name, tensor)).pointer;
    }
    const isAsBefore = changes === this.#changes;
    if (!isAsBefore) this.#forget();
    const lent = lends && this.#lent.size > 0 ? this.#lent : null;
    for (let index = 0; index < outputs.length; index++) {
      const name = outputs[index] ?? "";
      const target = fetchMap[name] ?? null;
      const owned = target === null ? lent?.get(name)?.owned : tensors.ownerOf(target);
      block.outputs[index] = owned?.pointer ?? 0n;
    }
    return {
      args: block.args,
      options: this.#options,
      keeps: [this, block, feeds, fetchMap],
      isAsBefore,
      isLent: lent !== null,
      results: () => this.#results(fetchMap, block, lends),
    };
  }

  #results(fetchMap: FetchMap, { names, outputs }: Block, lends: boolean): Readonly<Record<string, Tensor>> {
    const { tensors } = this.#native;
    const results: Record<string, Tensor> = {};
    for (const [index, name] of names[1].entries()) {
      const target = fetchMap[name] ?? null;
      const own = target === null ? (lends ? this.#lent.get(name)?.tensor : undefined) : target;
      if (own !== undefined && tensors.ownerOf(own) !== undefined) {
        setField(results, name, own);
        continue;
      }
      const made = tensors.take(outputs[index] ?? 0n);
      if (target !== null) tensors.copyInto(target, made);
      else if (lends) this.#lend(name, made);
      setField(results, name, target ?? made);
    }
    return results;
  }

  /** Has the next run of the same shapes write this output where the one after it does. */
  #lend(name: string, { type, dims, size }: Tensor): void {
    if (!this.#canLend || size === 0) return;
    this.#lent.set(name, this.#made(name, { type, dims }));
  }

  #made(name: string, like: Pick<Tensor, "type" | "dims">): NativeTensor {
    const { tensors } = this.#native;
    const tensor = tensors.make(shapeOf(name, like));
    const owned = tensors.ownerOf(tensor);
    if (owned === undefined) throw new Error(`what takes "${name}" is no native tensor`);
    return { tensor, owned };
  }

  /** Shapes of outputs are not decided by those of inputs: none is written where one was before. */
  lendNone(): void {
    this.#canLend = false;
    this.#forget();
  }

  #forget(): void {
    for (const { owned } of this.#lent.values()) owned.release();
    this.#lent.clear();
  }

  /** Where the pointers of a run are put; the same memory as long as inputs and outputs have the same names. */
  #blockOf(inputs: readonly string[], outputs: readonly string[]): Block {
    const before = this.#block;
    const [model, options] = [this.#model.pointer, this.#options.pointer];
    if (before !== null && areSame(before.names[0], inputs) && areSame(before.names[1], outputs)) return before;
    const names = [...inputs, ...outputs];
    const [fed, fetched] = [inputs.length, outputs.length];
    /** Names of the inputs, and of the outputs; then their values. */
    const all = new BigUint64Array(new ArrayBuffer(16 * names.length));
    for (const [index, name] of names.entries()) all[index] = this.#text(name);
    const start = this.#native.api.address(all);
    const at = (index: number): bigint => start + BigInt(8 * index);
    const [values, made] = [names.length, names.length + fed];
    const args = [model, options, at(0), at(values), fed, at(fed), fetched, at(made)];
    this.#block = { names: [inputs, outputs], args, inputs: all.subarray(values, made), outputs: all.subarray(made) };
    return this.#block;
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
    const before = this.#fed.get(name);
    if (before !== undefined && before.tensor.type === tensor.type && sameDims(before.tensor.dims, tensor.dims)) {
      tensors.copyInto(before.tensor, tensor);
      return before.owned;
    }
    const made = this.#made(name, tensor);
    before?.owned.release();
    this.#fed.set(name, made);
    this.#changes++;
    tensors.copyInto(made.tensor, tensor);
    return made.owned;
  }

  release(): void {
    this.#forget();
    for (const { owned } of this.#fed.values()) owned.release();
    this.#options.release();
  }
}

/** Pointers of a run, in memory that does not move. */
interface Block {
  readonly names: readonly [inputs: readonly string[], outputs: readonly string[]];
  readonly args: Arguments;
  readonly inputs: BigUint64Array;
  readonly outputs: BigUint64Array;
}

function areSame(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false;
  return true;
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
