import { existsSync, readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import type { GraphTensor } from "../../src/entries/graph.ts";
import { decodeSafetensors } from "../../src/entries/training.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

/** What differs from the right numbers by more than this, relative to 1 or to the number where it is larger, is wrong. */
const TOLERANCE = 1e-5;

const TYPES: Readonly<Record<number, "float32" | "float16" | "int32" | "int64" | "bool">> = {
  1: "float32",
  10: "float16",
  6: "int32",
  7: "int64",
  9: "bool",
};

function tensorsOf(path: string): ReadonlyMap<string, GraphTensor> {
  const { tensors } = decodeSafetensors(readFileSync(path));
  return new Map(tensors.map(({ name, tensor }) => [name, tensor]));
}

/** Whether there are right numbers for a step. @param stem the path without its endings */
export const hasRightOutputs = (stem: string): boolean => existsSync(`${stem}.right-outputs.safetensors`);

/**
 * Runs an edited step on its inputs; the outputs that differ from the right ones, the worst first.
 * @param right which right ones: the name of their file between the stem and `-outputs.safetensors`
 */
export async function wrongOutputs(
  stem: string,
  edited: Uint8Array,
  right = "right",
): Promise<readonly { readonly output: string; readonly error: number }[]> {
  const session = await openSession(edited);
  const inputs = tensorsOf(`${stem}.inputs.safetensors`);
  const feeds = session.inputNames.map((name): [string, Tensor] => {
    const tensor = inputs.get(name);
    const type = TYPES[tensor?.dtype ?? 0];
    if (tensor === undefined || type === undefined) throw new Error(`${stem}: no input "${name}"`);
    return [name, new Tensor(type as "float32", tensor.values() as Float32Array, [...tensor.dims])];
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return [...tensorsOf(`${stem}.${right}-outputs.safetensors`)]
    .map(([output, tensor]) => {
      const actual = results[output] === undefined ? [] : valuesOf(results[output]);
      const expected = [...(tensor.values() as Iterable<number | bigint>)].map(Number);
      const errors = expected.map(
        (value, at) => Math.abs((actual[at] ?? Number.NaN) - value) / Math.max(1, Math.abs(value)),
      );
      return { output, error: errors.reduce((most, each) => (most >= each ? most : each), 0) };
    })
    .filter(({ error }) => !(error <= TOLERANCE))
    .toSorted((a, b) => b.error - a.error);
}
