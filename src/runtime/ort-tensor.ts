import { Tensor } from "onnxruntime-common";

/**
 * A tensor of any type: the constructor itself is declared for one type at a time.
 * @param TensorType the class to make it of; a runtime may take none but its own
 */
export function ortTensor(
  type: Tensor.Type,
  data: Tensor["data"],
  dims: readonly number[],
  TensorType: typeof Tensor = Tensor,
): Tensor {
  return new TensorType(type as "float32", data as Float32Array, [...dims]);
}

/** The same tensor with elements of its own. */
export function copyOfTensor({ type, data, dims }: Tensor): Tensor {
  return ortTensor(type, data.slice(), dims);
}
