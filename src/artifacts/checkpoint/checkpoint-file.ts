import { stat } from "node:fs/promises";
import { join } from "node:path";
import { PATH, requireArgument } from "../../arguments.ts";
import { FormatError, OnnxAgrError } from "../../errors.ts";
import { completeAround } from "../../graph/io/file-set.ts";
import { listFolder, readRange, readRegularFile, withFile } from "../../graph/io/read-file.ts";
import { decodeCheckpoint, ODTC } from "./read-odtc.ts";
import { decodePbseqCheckpoint, isPbseqFile } from "./read-pbseq.ts";
import { encodeCheckpoint } from "./write-odtc.ts";

/**
 * Reads a checkpoint file, or a folder in the format before 1.16, which is converted.
 * @throws FormatError `E_CHECKPOINT`; PassError `E_CHECKPOINT_VERSION`
 */
export async function readCheckpointFile(path: string): Promise<Uint8Array> {
  requireArgument("path", path, PATH);
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  try {
    if (!isFolder) {
      await completeAround(path);
      const bytes = await readRegularFile(path);
      decodeCheckpoint(bytes);
      return bytes;
    }
    const files = (await listFolder(path)).filter(isPbseqFile);
    const contents = await Promise.all(
      files.map(async (name) => [name, await readRegularFile(join(path, name))] as const),
    );
    return encodeCheckpoint(decodePbseqCheckpoint(new Map(contents)));
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(path) : error;
  }
}

/** True for a folder that is a checkpoint of ONNX Runtime up to 1.15, and holds no models beside it. */
export async function isCheckpointFolder(folder: string): Promise<boolean> {
  requireArgument("folder", folder, PATH);
  const names = await listFolder(folder).catch(() => []);
  return names.some(isPbseqFile) && !names.some((name) => name.endsWith(".onnx"));
}

/** True for a file that begins as a checkpoint does. @throws FileSystemError `E_FILE_SYSTEM` where that cannot be told */
export async function isCheckpointFile(path: string): Promise<boolean> {
  requireArgument("path", path, PATH);
  const head = await withFile(path, (handle, size) => readRange(handle, path, 0, Math.min(size, 8))).catch(
    (error: unknown) => {
      if (error instanceof FormatError) return null;
      throw error;
    },
  );
  return head !== null && String.fromCharCode(...head.subarray(4, 8)) === ODTC;
}
