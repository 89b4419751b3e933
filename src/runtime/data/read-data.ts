import { PATH, requireArgument } from "../../arguments.ts";
import { decodeSafetensors } from "../../artifacts/safetensors.ts";
import { DataError, namingFile } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { decodeNpz } from "./npz.ts";

const FORMATS: readonly (readonly [suffix: string, decode: (bytes: Uint8Array) => readonly NamedTensor[]])[] = [
  [".safetensors", (bytes) => decodeSafetensors(bytes).tensors],
  [".npz", decodeNpz],
];

/**
 * Reads a data file: `.safetensors`, or `.npz` as NumPy's `savez` writes it.
 * @throws DataError `E_DATA_FORMAT`, `E_NPZ`, `E_NPY`; FormatError `E_SAFETENSORS`, `E_NO_FILE`
 */
export async function readDataFile(path: string): Promise<readonly NamedTensor[]> {
  requireArgument("path", path, PATH);
  const decode = FORMATS.find(([suffix]) => path.toLowerCase().endsWith(suffix))?.[1];
  if (decode === undefined) {
    throw new DataError(
      "E_DATA_FORMAT",
      `${path}: data files end in ${FORMATS.map(([suffix]) => suffix).join(" or ")}`,
      { file: path },
    );
  }
  const bytes = await readRegularFile(path);
  return namingFile(path, () => decode(bytes));
}
