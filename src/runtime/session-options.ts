/** No log: ONNX Runtime's goes to the console past everything. What it has to say comes with the errors it throws. */
export const NO_LOG = { logSeverityLevel: 4 };
