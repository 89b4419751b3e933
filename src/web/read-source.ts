import { bytesOf, type Kind, optional } from "../arguments.ts";
import { FileSystemError } from "../errors.ts";

/** A file of a page: its address, a `File` that the user chose, or bytes. */
export type WebSource = string | URL | Blob | Uint8Array | ArrayBuffer;

export const ADDRESS: Kind = {
  what: "an address",
  holds: (given) => (typeof given === "string" && given !== "") || given instanceof URL,
};

export const SOURCE: Kind = {
  what: "an address, a File or bytes",
  holds: (given) =>
    ADDRESS.holds(given) || given instanceof Blob || given instanceof ArrayBuffer || given instanceof Uint8Array,
};

export const optionalSource: Kind = optional(SOURCE);

/** How an error names a source. */
export function nameOf(option: string, source: WebSource | undefined): string {
  if (typeof source === "string" || source instanceof URL) return String(source);
  return source instanceof File ? source.name : option;
}

/**
 * The bytes of a source.
 * @throws FileSystemError `E_FETCH` for an address that gives none, with what the server said; `E_FILE_SYSTEM` for a file that
 *   can no longer be read
 */
export async function readSource(name: string, source: WebSource): Promise<Uint8Array> {
  if (typeof source === "string" || source instanceof URL) return fetched(source);
  if (!(source instanceof Blob)) return bytesOf(name, source);
  try {
    return new Uint8Array(await source.arrayBuffer());
  } catch (cause) {
    throw new FileSystemError("E_FILE_SYSTEM", `${nameOf(name, source)} cannot be read`, {
      file: nameOf(name, source),
      hint: "Choose the file again: it was changed or moved since.",
      cause,
    });
  }
}

async function fetched(address: string | URL): Promise<Uint8Array> {
  const file = String(address);
  const answer = await fetch(address).catch((cause: unknown) => {
    throw new FileSystemError("E_FETCH", `${file} cannot be fetched`, {
      file,
      hint: "Is the server there, and does it allow this page to read (Access-Control-Allow-Origin)?",
      cause,
    });
  });
  if (!answer.ok) {
    throw new FileSystemError("E_FETCH", `${file} cannot be fetched: ${answer.status} ${answer.statusText}`.trimEnd(), {
      file,
    });
  }
  return new Uint8Array(await answer.arrayBuffer());
}
