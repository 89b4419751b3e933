import { decodeSafetensors } from "../../artifacts/safetensors.ts";
import { DataError, namingFile } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { decodeNpy } from "./npy.ts";
import { unzip } from "./zip.ts";

const NPY = ".npy";

const FORMATS: readonly (readonly [suffix: string, decode: (bytes: Uint8Array) => readonly NamedTensor[]])[] = [
  [".safetensors", (bytes) => decodeSafetensors(bytes).tensors],
  [".npz", decodeNpz],
];

/**
 * Reads a data file: `.safetensors`, or `.npz` as NumPy's `savez` writes it.
 * @throws DataError `E_DATA_FORMAT`, `E_NPZ`, `E_NPY`; FormatError `E_SAFETENSORS`, `E_NO_FILE`
 */
export async function readDataFile(path: string): Promise<readonly NamedTensor[]> {
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

/** Names are names: none is ever used as a path. */
function decodeNpz(bytes: Uint8Array): readonly NamedTensor[] {
  return unzip(bytes, (name) => name.endsWith(NPY)).map(({ name: entry, bytes: content }) => {
    const name = entry.slice(0, -NPY.length);
    return { name, tensor: decodeNpy(content, name) };
  });
}
