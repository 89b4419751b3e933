import type { Checkpoint } from "./checkpoint.ts";

/** FlatBuffers' offsets are of 31 bits, and ONNX Runtime's reader takes no larger file. */
export const MOST_CHECKPOINT_BYTES = 2 ** 31 - 1;

/** Of a table with what refers to it, without the texts and the elements in it. */
const TABLE_BYTES = 256;
const BYTES_PER_CHARACTER = 3;

/** A bound of the bytes that a checkpoint takes. */
export function checkpointSpace({ trainable, frozen, optimizerGroups, properties }: Checkpoint): number {
  const states = optimizerGroups.flatMap((group) => group.states);
  const tensors = [...trainable, ...frozen, ...states.flatMap(({ moments }) => moments)];
  const texts = [
    ...tensors.map(({ name }) => name),
    ...optimizerGroups.map(({ name }) => name),
    ...states.map(({ parameter }) => parameter),
    ...[...properties].flatMap(([name, { value }]) => [name, String(value)]),
  ];
  const around = texts.reduce((sum, text) => sum + TABLE_BYTES + BYTES_PER_CHARACTER * text.length, 4 * TABLE_BYTES);
  return tensors.reduce((sum, { tensor: { dims, data } }) => {
    return sum + 8 * dims.length + (data.kind === "raw" ? data.bytes.length : 0);
  }, around);
}
