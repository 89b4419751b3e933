import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataType } from "../../src/entries/graph.ts";
import type { InputSpec } from "../../src/entries/training.ts";
import { readData } from "../../src/index.ts";
import { temporaryFolder } from "./temporary.ts";

export function file(content: string | Uint8Array, name = "corpus.txt"): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

export const tokens = (name: string, more: Partial<InputSpec> = {}): InputSpec => ({
  ...{ name, dtype: DataType.int64, shape: ["batch", "length"] },
  ...more,
});
export const range = (of: string, ignored: number | null = null) => ({ least: 0, greatest: 999, ignored, of });
export const INPUTS = [tokens("ids", { range: range("rows") }), tokens("labels", { range: range("classes", -100) })];

export const numbersOf = (values: ArrayLike<number | bigint> | undefined): readonly number[] =>
  Array.from(values ?? [], Number);

/** The rows of a tensor of what was read. */
export async function rowsOf(
  path: string,
  text: Parameters<typeof readData>[1],
): Promise<Record<string, readonly number[][]>> {
  const { tensors } = await readData(path, text);
  return Object.fromEntries(
    tensors.map(({ name, tensor }) => {
      const [rows = 0, length = 0] = tensor.dims;
      const values = numbersOf(tensor.values());
      return [name, Array.from({ length: rows }, (_, row) => values.slice(row * length, (row + 1) * length))];
    }),
  );
}
