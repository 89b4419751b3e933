import { Tensor } from "onnxruntime-common";
import type { NamedTensors } from "../session.ts";

type Elements = Float32Array;

/** Batches one above the other along a new first axis; null where their shapes differ. */
export function stacked(batches: readonly NamedTensors[]): NamedTensors | null {
  const [first = {}] = batches;
  const names = Object.keys(first);
  const shapes = batches.map((batch) => names.map((name) => batch[name]?.dims.join()).join(";"));
  if (shapes.some((shape) => shape !== shapes[0])) return null;
  return Object.fromEntries(
    Object.entries(first).map(([name, { type, dims, data }]) => {
      const ArrayType = data.constructor as new (length: number) => Elements;
      const all = new ArrayType(data.length * batches.length);
      for (const [index, batch] of batches.entries()) {
        all.set(batch[name]?.data as Elements, index * data.length);
      }
      return [name, new Tensor(type as "float32", all, [batches.length, ...dims])];
    }),
  );
}
