import { DataError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { mistaken } from "../../graph/sniff.ts";
import { decodeNpy } from "./npy.ts";
import { unzip } from "./zip.ts";

const NPY = ".npy";

/**
 * Decodes an archive of arrays, as NumPy's `savez` writes it. Names are names: none is ever used as a path.
 * @throws DataError `E_NPZ`, `E_NPY`
 */
export function decodeNpz(bytes: Uint8Array): readonly NamedTensor[] {
  const other = mistaken(bytes);
  if (other !== null) throw new DataError("E_NPZ", `this is ${other.what}`, { hint: other.hint });
  return unzip(bytes, (name) => name.endsWith(NPY)).map(({ name: entry, bytes: content }) => {
    const name = entry.slice(0, -NPY.length);
    return { name, tensor: decodeNpy(content, name) };
  });
}
