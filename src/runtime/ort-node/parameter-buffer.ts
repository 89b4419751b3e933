import { Tensor } from "onnxruntime-common";
import { BackendError, DataError } from "../../errors.ts";
import { floatsOf } from "../ort-tensor.ts";
import type { StateStore } from "./state-store.ts";

/** The elements of the parameters together. */
export function sizeOfAll(names: readonly string[], store: StateStore): number {
  return names.reduce((sum, name) => sum + store.get(name).size, 0);
}

/** The parameters one after the other in a float32 tensor of rank 1. */
export async function joinParameters(names: readonly string[], store: StateStore): Promise<Tensor> {
  requireFloats(names, store);
  const values = new Float32Array(sizeOfAll(names, store));
  const tensors = await store.read(names);
  let offset = 0;
  for (const tensor of tensors.values()) {
    values.set(floatsOf(tensor), offset);
    offset += tensor.size;
  }
  return new Tensor("float32", values, [values.length]);
}

/** Sets the parameters from the bytes of such a tensor. */
export function splitParameters(buffer: Uint8Array, names: readonly string[], store: StateStore): void {
  const size = 4 * sizeOfAll(names, store);
  if (buffer.byteLength !== size) {
    throw new DataError("E_PARAMETERS_SIZE", `${buffer.byteLength} bytes given, the parameters take ${size}`, {
      hint: "Use the bytes of getContiguousParameters with the same trainableOnly.",
    });
  }
  requireFloats(names, store);
  const values = new Float32Array(buffer.slice().buffer);
  let offset = 0;
  for (const name of names) {
    const { size: count, dims } = store.get(name);
    store.set(name, new Tensor("float32", values.slice(offset, offset + count), [...dims]));
    offset += count;
  }
}

function requireFloats(names: readonly string[], store: StateStore): void {
  const other = names.find((name) => store.get(name).type !== "float32");
  if (other === undefined) return;
  throw new BackendError(
    "E_CHECKPOINT",
    `parameter "${other}" is not float32, which a buffer of all parameters must be`,
    { field: other },
  );
}
