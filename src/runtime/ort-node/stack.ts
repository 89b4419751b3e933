import { Tensor } from "onnxruntime-common";
import { DataError } from "../../errors.ts";
import type { NamedTensors } from "../session.ts";

type Elements = Float32Array;

/**
 * Batches of equal shapes, one above the other along a new first axis.
 * @throws DataError `E_FEED` where their shapes differ
 */
export function stacked(batches: readonly NamedTensors[]): NamedTensors {
  const [first = {}] = batches;
  return Object.fromEntries(
    Object.entries(first).map(([name, { type, dims, data }]) => {
      const ArrayType = data.constructor as new (length: number) => Elements;
      const all = new ArrayType(data.length * batches.length);
      for (const [index, batch] of batches.entries()) {
        const tensor = batch[name];
        if (tensor === undefined || tensor.dims.join() !== dims.join()) {
          throw new DataError("E_FEED", `"${name}" has other shapes in the batches of one call`, {
            field: name,
            hint: "Give batches of one size together, and a smaller last one by itself.",
          });
        }
        all.set(tensor.data as Elements, index * data.length);
      }
      return [name, new Tensor(type as "float32", all, [batches.length, ...dims])];
    }),
  );
}
