import type { Skipped } from "../skipped.ts";
import { type Reading, readingsOf } from "./readings.ts";

/** Names that PyTorch's tracing exporter gives to what it computed ahead of time, by the operator that reads it. */
const FOLDED_CENTRE = /^onnx::Sub_\d+$/;
const FOLDED_SCALE = /^onnx::Mul_\d+$/;

/** Ends the sentence "it is not trained: it is ...". */
export const CENTRE = "the mean of a batch normalization that was written out for inference";

/**
 * Whether an initializer is the running mean of Keras' BatchNormalization on PyTorch, `(x - mean) * (scale / deviation)`: one number per
 * channel, subtracted from what is multiplied next by as many numbers that were computed ahead of time.
 */
export function isCentre({ node, index, value }: Reading): boolean {
  const dims = value.tensor?.dims ?? [];
  const isPerChannel = dims.length > 1 && dims.filter((size) => size !== 1).length === 1;
  const [difference] = node.outputs;
  if (index !== 1 || !isPerChannel || !difference || !FOLDED_CENTRE.test(value.name)) return false;
  const readers = readingsOf(difference);
  return (
    readers.length > 0 &&
    readers.every(({ node: next, index: at }) => {
      const factor = next.inputs[1 - at] ?? null;
      const sizes = factor?.tensor?.dims ?? [];
      const isScale = next.domain === "" && next.opType === "Mul" && factor !== null && FOLDED_SCALE.test(factor.name);
      return isScale && sizes.length === dims.length && sizes.every((size, axis) => size === dims[axis]);
    })
  );
}

/** How many names are told. */
const MOST_NAMED = 3;

/** What is said of means that are left as they are. @param skipped what is not trained */
export function notesOfCentres(skipped: readonly Skipped[]): readonly string[] {
  const names = skipped.filter(({ reason }) => reason.endsWith(CENTRE)).map(({ at }) => at);
  if (names.length === 0) return [];
  const [first = ""] = names;
  const rest = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  return [
    `${names.length} batch normalizations are written out for inference, as Keras does on PyTorch: they are trained with their running statistics, of which the mean stays ` +
      `(${names.slice(0, MOST_NAMED).join(", ")}${rest}) and the deviation is part of the scale. To train them with the statistics of each batch, load the model with ` +
      `KERAS_BACKEND=jax and export it from there. To train a mean: --params '*' --params '${first}'`,
  ];
}
