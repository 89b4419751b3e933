/** Domain of the `AGR` function node. */
export const AGR_DOMAIN = "onnx-agr";
