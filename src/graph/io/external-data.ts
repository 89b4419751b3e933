import { constants } from "node:fs";
import { type FileHandle, open, readlink, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { errnoCode, FormatError, fileSystemError } from "../../errors.ts";
import { mistaken } from "../sniff.ts";
import type { ExternalData, Tensor } from "../tensor.ts";
import { closeRead, readRange, statOf } from "./read-file.ts";

/**
 * Why a location may not be followed; null where it may. A model file comes from anywhere, so what it names must lie in its
 * own folder (CVE-2022-25882 and its successors), and ONNX Runtime's marker for addresses in memory must never reach it.
 */
export function locationProblem(location: string): string | null {
  if (location === "") return "it is empty";
  if (location.length > 4096) return "it is longer than 4096 characters";
  if (location.includes("\0")) return "it contains a NUL character";
  if (location.startsWith("*/")) return "it is ONNX Runtime's marker for an address in memory";
  if (location.includes("\\") || /^[A-Za-z]:/.test(location)) return "it is a Windows path";
  if (isAbsolute(location)) return "it is an absolute path";
  if (location.split("/").includes("..")) return "it leaves the model's folder";
  return null;
}

function unsafe(location: string, where: string, reason: string): FormatError {
  const shown = location.length > 80 ? `${location.slice(0, 80)}...` : location;
  return new FormatError(
    "E_EXTERNAL_PATH",
    `tensor "${where}": the external data path ${JSON.stringify(shown)} is refused: ${reason}`,
    { field: where, hint: "External data must be a file in the model's own folder." },
  );
}

/**
 * The real path of external data. It must lie in the folder of the model, or in the folder the model's own path really
 * leads to (as in the Hugging Face cache, where both files are links into one folder).
 */
export async function resolveExternal(modelPath: string, location: string, where: string): Promise<string> {
  const problem = locationProblem(location);
  if (problem !== null) throw unsafe(location, where, problem);
  const path = join(dirname(modelPath), location);
  let real: string;
  try {
    real = await realpath(path).catch(async () => realpath(join(dirname(await realpath(modelPath)), location)));
  } catch (cause) {
    if (!["ENOENT", "ENOTDIR"].includes(errnoCode(cause))) throw fileSystemError("read", path, cause);
    throw new FormatError("E_EXTERNAL_MISSING", `tensor "${where}": its data file ${path} cannot be found`, {
      file: path,
      field: where,
      hint: "Put the data file back beside the model.",
      cause,
    });
  }
  const roots = [await realpath(dirname(modelPath)), dirname(await realpath(modelPath))];
  if (!roots.some((root) => isInside(root, real))) throw unsafe(location, where, "it leads out of the model's folder");
  return real;
}

function isInside(root: string, path: string): boolean {
  const inner = relative(root, path);
  return inner !== "" && inner !== ".." && !inner.startsWith(`..${sep}`) && !isAbsolute(inner);
}

/** Enough to tell a file that was not fetched. */
const HEAD_BYTES = 64;

export interface OpenExternal {
  readonly handle: FileHandle;
  readonly size: number;
  /** How many names the file has. */
  readonly links: number;
}

const replaced = (real: string): FormatError =>
  new FormatError("E_FILE_CHANGED", `${real} was replaced while it was read`, { file: real });

/** A folder of the path may have become a link after the path was checked. Linux tells which file was opened. */
async function isElsewhere(handle: FileHandle, real: string): Promise<boolean> {
  return readlink(`/proc/self/fd/${handle.fd}`).then(
    (opened) => opened !== real,
    () => false,
  );
}

/** Opens a data file that `resolveExternal` accepted, and checks that it holds the range before anything is allocated. */
export async function openExternal(real: string): Promise<OpenExternal> {
  let handle: FileHandle;
  try {
    handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (["ELOOP", "ENOENT", "ENOTDIR"].includes(errnoCode(cause))) throw replaced(real);
    throw fileSystemError("read", real, cause);
  }
  if (await isElsewhere(handle, real)) {
    await closeRead(handle, real);
    throw replaced(real);
  }
  const stat = await statOf(handle, real);
  if (stat.isFile()) {
    const head = await readRange(handle, real, 0, Math.min(stat.size, HEAD_BYTES));
    const other = mistaken(head);
    if (other === null) return { handle, size: stat.size, links: stat.nlink };
    await closeRead(handle, real);
    throw new FormatError("E_EXTERNAL_MISSING", `${real} is ${other.what}`, { file: real, hint: other.hint });
  }
  await closeRead(handle, real);
  throw new FormatError("E_EXTERNAL_PATH", `${real} is not a regular file`, { file: real });
}

/** The bytes a tensor's external data take. @throws FormatError `E_EXTERNAL_RANGE` where the file is shorter. */
export function externalRange(
  tensor: Tensor,
  at: ExternalData,
  size: number,
  where: string,
): { offset: number; length: number } {
  const length = at.length ?? tensor.byteLength ?? 0;
  if (at.offset + length > size) {
    throw new FormatError(
      "E_EXTERNAL_RANGE",
      `tensor "${where}": bytes ${at.offset} to ${at.offset + length} are asked of "${at.location}", which has ${size}`,
      { field: where },
    );
  }
  return { offset: at.offset, length };
}

/** Reads one external tensor. */
export async function readExternal(
  modelPath: string,
  tensor: Tensor,
  at: ExternalData,
  where: string,
): Promise<Uint8Array> {
  const real = await resolveExternal(modelPath, at.location, where);
  const { handle, size } = await openExternal(real);
  try {
    const { offset, length } = externalRange(tensor, at, size, where);
    return await readRange(handle, real, offset, length);
  } finally {
    await closeRead(handle, real);
  }
}
