/** The rate ONNX Runtime's training API feeds where nothing sets another. */
export const DEFAULT_LEARNING_RATE = 0.001;
