import { unzipSync } from "fflate";
import { decodeSafetensors } from "../../artifacts/safetensors.ts";
import { DataError, OnnxAgrError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { decodeNpy } from "./npy.ts";

/** More than this many times the file's size, unpacked, is a bomb and not data. */
const MAX_EXPANSION = 200;

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
  try {
    return decode(bytes);
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(path) : error;
  }
}

function decodeNpz(bytes: Uint8Array): readonly NamedTensor[] {
  const fail = (reason: string, cause?: unknown): DataError =>
    new DataError("E_NPZ", `not a valid npz archive: ${reason}`, cause === undefined ? {} : { cause });
  const seen = new Set<string>();
  let total = 0;
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(bytes, {
      filter: ({ name, originalSize }) => {
        if (seen.has(name)) throw fail(`"${name}" is there twice`);
        seen.add(name);
        total += originalSize;
        if (total > bytes.length * MAX_EXPANSION) throw fail(`it unpacks to more than ${MAX_EXPANSION} times its size`);
        return name.endsWith(".npy");
      },
    });
  } catch (cause) {
    throw cause instanceof OnnxAgrError ? cause : fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
  return Object.entries(files).map(([file, content]) => {
    const name = file.slice(0, -".npy".length);
    return { name, tensor: decodeNpy(content, name) };
  });
}
