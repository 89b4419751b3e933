import type { Tensor } from "onnxruntime-common";

/** Names the first tensor with a NaN or an infinity, and says which and where. */
export function firstNotFinite(
  what: string,
  tensors: readonly (readonly [name: string, tensor: Tensor])[],
): string | null {
  for (const [name, { type, data }] of tensors) {
    if (type !== "float32" && type !== "float64") continue;
    const values = data as Float32Array;
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) return `${what}"${name}" has ${values[at]} at element ${at}`;
  }
  return null;
}
