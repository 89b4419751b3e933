/** The elements of a tensor of ONNX Runtime as numbers. */
export function valuesOf(tensor: { readonly data: unknown } | undefined): number[] {
  if (tensor === undefined) throw new Error("there is no tensor");
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}
