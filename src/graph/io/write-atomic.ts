import { BYTES, bytesOf, type Kind, PATH, requireArgument } from "../../arguments.ts";
import { completeAround } from "./file-set.ts";
import { type Parts, putInPlace, writePending } from "./write-file.ts";

const PARTS: Kind = {
  what: "bytes, or a list of them",
  holds: (given) =>
    typeof given === "object" && given !== null && (Symbol.iterator in given || Symbol.asyncIterator in given),
};

/**
 * Writes `parts` so that a crash at any moment leaves the old file or the new one, never a part of it: temporary file in the
 * same folder, every byte written and synced, then renamed, then the folder synced. A symbolic link at `path` is followed,
 * also to a file that does not exist yet. A file that is replaced keeps its mode and owner; only regular files are replaced.
 * A set of files that an interrupted command has begun to put into the folder is completed first.
 * @throws FileSystemError `E_FILE_SYSTEM`, `E_NOT_REGULAR`; FormatError `E_JOURNAL`; nothing is left behind.
 */
export async function writeFileAtomic(path: string, parts: Parts | Uint8Array | ArrayBuffer): Promise<void> {
  requireArgument("path", path, PATH);
  const pieces = BYTES.holds(parts) ? [bytesOf("parts", parts)] : (parts as Parts);
  requireArgument("parts", pieces, PARTS);
  await completeAround(path);
  await putInPlace(await writePending(path, pieces));
}
