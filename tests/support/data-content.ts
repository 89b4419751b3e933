import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DataContent } from "../../src/entries/run.ts";
import { temporaryFolder } from "./temporary.ts";

/** Writes a file of data. @returns where */
export function place(name: string, bytes: Uint8Array | string, folder = temporaryFolder()): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Sizes and numbers of each tensor, by name. */
export const shown = ({ tensors }: DataContent) =>
  Object.fromEntries(tensors.map(({ name, tensor }) => [name, [tensor.dims, [...tensor.values()].map(Number)]]));
