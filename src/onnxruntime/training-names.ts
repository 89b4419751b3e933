/**
 * What ONNX Runtime's exporter calls the inputs and outputs of a training model, by which its training API finds them
 * (ORT-TRAINING 1.1).
 */

const BUFFER = "_grad.accumulation.buffer";

/** Names of gradients, of their buffers and of what says that they were accumulated. */
const GRADIENT = /_grad(\.accumulation\.(buffer|out))?$/;

/** The input that says whether the gradients take the place of the accumulated ones, bool [1]. */
export const RESET_FLAG = "lazy_reset_grad";

/** The gradient of a value. */
export const gradientName = (value: string): string => `${value}_grad`;

/** The input that holds the accumulated gradient of a parameter. */
export const bufferName = (parameter: string): string => parameter + BUFFER;

/** The output that says that the gradient of a parameter was accumulated, bool [1]. */
export const doneName = (parameter: string): string => `${parameter}_grad.accumulation.out`;

/** The parameter whose accumulated gradient an input holds; null where it is no such input by its name. */
export const parameterOfBuffer = (input: string): string | null =>
  input.endsWith(BUFFER) ? input.slice(0, -BUFFER.length) : null;

/** Whether the training API takes an input or output for one of its own, and not for the user's. */
export const isGradientName = (name: string): boolean => GRADIENT.test(name);
