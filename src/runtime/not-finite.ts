import type { Tensor } from "onnxruntime-common";
import { realsOf } from "./ort-tensor.ts";

/** Names the first tensor with a NaN or an infinity, and says which and where. */
export function firstNotFinite(
  what: string,
  tensors: readonly (readonly [name: string, tensor: Tensor])[],
): string | null {
  for (const [name, tensor] of tensors) {
    if (tensor.type !== "float32" && tensor.type !== "float64") continue;
    const values = realsOf(tensor);
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) return `${what}"${name}" has ${values[at]} at element ${at}`;
  }
  return null;
}
