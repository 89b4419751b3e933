import { fileURLToPath } from "node:url";
import { Tensor, type TrainingSessionCreateOptions } from "../../src/index.ts";

const DIGITS = fileURLToPath(new URL("../../fixtures/digits/", import.meta.url));
/** The artifacts of the digits. */
export const DIGITS_FILES: TrainingSessionCreateOptions = {
  checkpointState: `${DIGITS}checkpoint`,
  trainModel: `${DIGITS}training_model.onnx`,
  evalModel: `${DIGITS}eval_model.onnx`,
  optimizerModel: `${DIGITS}optimizer_model.onnx`,
};
/** Two samples for them. */
export const digitFeeds = (labels: readonly number[] = [1, 2]): Record<string, Tensor> => ({
  input: new Tensor(
    "float32",
    Float32Array.from({ length: 512 }, (_, index) => Math.sin(index)),
    [2, 1, 16, 16],
  ),
  labels: new Tensor("int64", BigInt64Array.from(labels, BigInt), [labels.length]),
});
