/** Only errors: ONNX Runtime's warnings go to the console past everything, and are about its own optimizations. */
export const ERRORS_ONLY = { logSeverityLevel: 3 };
