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

/** The elements of a float32 tensor. @throws TypeError for other types */
export function floatsOf({ type, data }: Tensor): Float32Array {
  if (type !== "float32") throw new TypeError(`the elements are ${type} where float32 is needed`);
  return data as Float32Array;
}

/** Those of a float32 or float64 tensor. @throws TypeError for other types */
export const realsOf = (tensor: Tensor): Float32Array | Float64Array =>
  tensor.type === "float64" ? (tensor.data as Float64Array) : floatsOf(tensor);

/** The elements of a tensor of numbers, as numbers. @throws TypeError for text */
export function numbersOf({ type, data }: Tensor): number[] {
  if (type === "string") throw new TypeError("the elements are text where numbers are needed");
  return type === "float32" ? Array.from(data as Float32Array) : Array.from(data as ArrayLike<number | bigint>, Number);
}

/** The memory of a tensor's elements, not copied. @throws TypeError for text */
export function bytesIn({ type, data }: Tensor): Uint8Array {
  if (type === "string") throw new TypeError("text has no bytes to share");
  const { buffer, byteOffset, byteLength } = data as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The same tensor with elements of its own. */
export function copyOfTensor({ type, data, dims }: Tensor): Tensor {
  return ortTensor(type, data.slice(), dims);
}

export function sameDims(some: readonly number[], others: readonly number[]): boolean {
  if (some.length !== others.length) return false;
  for (let axis = 0; axis < some.length; axis++) if (some[axis] !== others[axis]) return false;
  return true;
}
