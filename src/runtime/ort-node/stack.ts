import type { Tensor } from "onnxruntime-common";
import { setField } from "../fields.ts";
import { ortTensor, sameDims } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";

type Elements = Float32Array;

/** Of inputs of so many bytes the memory is kept for the batches that come. */
const KEPT_BYTES = 2 ** 20;

/** Puts batches one above the other, along a new first axis. */
export class Stack {
  /** What was stacked last, by input. */
  readonly #kept = new Map<string, Tensor>();

  /** As it is until the next call; null where shapes of the batches differ. */
  of(batches: readonly NamedTensors[]): NamedTensors | null {
    const [first = {}] = batches;
    const names = Object.keys(first);
    if (!batches.every((batch) => names.every((name) => isLike(batch[name], first[name])))) return null;
    const all: Record<string, Tensor> = {};
    for (const name of names) {
      const like = first[name];
      if (like !== undefined) setField(all, name, this.#stacked(name, like, batches));
    }
    return all;
  }

  #stacked(name: string, like: Tensor, batches: readonly NamedTensors[]): Tensor {
    const stack = this.#room(name, like, batches.length);
    const elements = stack.data as Elements;
    const { length } = like.data;
    for (let at = 0; at < batches.length; at++) elements.set(batches[at]?.[name]?.data as Elements, at * length);
    return stack;
  }

  #room(name: string, { type, dims, data }: Tensor, count: number): Tensor {
    const kept = this.#kept.get(name);
    const ArrayType = data.constructor as new (length: number) => Elements;
    const shape = [count, ...dims];
    if (kept?.type === type && kept.data.constructor === ArrayType && sameDims(kept.dims, shape)) return kept;
    const made = ortTensor(type, new ArrayType(data.length * count), shape);
    if ((made.data as Elements).byteLength <= KEPT_BYTES) this.#kept.set(name, made);
    else this.#kept.delete(name);
    return made;
  }
}

const isLike = (tensor: Tensor | undefined, like: Tensor | undefined): boolean =>
  tensor !== undefined && like !== undefined && sameDims(tensor.dims, like.dims);
