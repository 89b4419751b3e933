/** Domain of ONNX Runtime's own operators, the training build's among them. */
export const MICROSOFT = "com.microsoft";
