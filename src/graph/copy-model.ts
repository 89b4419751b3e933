import type { Model } from "./model.ts";
import { decodeModel } from "./serde/decode.ts";
import { encodeModel } from "./serde/encode.ts";
import { Tensor } from "./tensor.ts";

/** Tensors up to this size are copied with the rest. */
const SMALL_BYTES = 4096;

/**
 * A model of its own that shares its large initializers with the original: tensors are immutable, so their bytes need not be
 * copied.
 */
export function copyModel(model: Model): Model {
  const large = model.graph.initializers.flatMap((value, index) => {
    const { tensor } = value;
    return tensor !== null && (tensor.byteLength ?? 0) > SMALL_BYTES ? [{ value, index, tensor }] : [];
  });
  try {
    for (const { value, tensor } of large) value.tensor = placeholder(tensor);
    const copy = decodeModel(encodeModel(model));
    for (const { value, index, tensor } of large) {
      const own = copy.graph.initializers[index];
      if (own === undefined) continue;
      own.tensor = tensor;
      own.type = value.type;
    }
    return copy;
  } finally {
    for (const { value, tensor } of large) value.tensor = tensor;
  }
}

const placeholder = ({ dtype }: Tensor): Tensor => new Tensor(dtype, [0], { kind: "raw", bytes: new Uint8Array() });
