import { type Bytes, simd } from "./wasm.ts";

/**
 * Operators of ONNX that a kernel can have, as instructions on four numbers of float32 whose inputs lie on the stack. Each rounds as
 * IEEE 754 asks, which ONNX Runtime's do too, so the numbers are the same to the bit.
 */
export const KERNEL_OPERATORS: Readonly<Record<string, Bytes>> = {
  Identity: [],
  /** Elements lie in the same order in every shape. */
  Reshape: [],
  Abs: simd(0xe0),
  Neg: simd(0xe1),
  Sqrt: simd(0xe3),
  Add: simd(0xe4),
  Sub: simd(0xe5),
  Mul: simd(0xe6),
  Div: simd(0xe7),
};
