import { FormatError } from "../errors.ts";

/** Lists the files of a set that was written as one. Folders of other exporters have none. */
export const SET_MANIFEST = "onnx-agr.manifest.json";

export const SCHEMA = 1;

export interface SetManifest {
  readonly schema: number;
  /** SHA-256 as hexadecimal, by the names of the files. */
  readonly files: Readonly<Record<string, string>>;
}

/** @throws FormatError `E_SET` */
export function decodeSetManifest(bytes: Uint8Array, file: string): SetManifest {
  let manifest: unknown;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  if (isManifest(manifest)) return manifest;
  throw new FormatError("E_SET", `${file} is damaged, or of a newer version: it does not list the files of the set`, {
    file,
    hint: "Write the set again.",
  });
}

function isManifest(value: unknown): value is SetManifest {
  const { schema, files } = (value ?? {}) as Partial<Record<keyof SetManifest, unknown>>;
  if (schema !== SCHEMA || typeof files !== "object" || files === null) return false;
  return Object.entries(files).every(([name, hash]) => !/[/\\]/.test(name) && /^[0-9a-f]{64}$/.test(String(hash)));
}
