import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode, FormatError, fileSystemError } from "../errors.ts";
import { sha256 } from "../graph/io/digest.ts";
import { readRegularFile } from "../graph/io/read-file.ts";
import { writeFileAtomic } from "../graph/io/write-atomic.ts";
import type { ComparedRun, RunIdentity } from "./run.ts";

const FORMAT = "onnx-agr.run.1";

/** The same for the same identity, whatever the order of its keys. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

/** The file of a run: arm and seed for the eye, the hash for what else it is of. */
function pathOf(folder: string, identity: RunIdentity): string {
  const arm = identity.arm.replace(/[^\w.=-]+/g, "-").slice(0, 80);
  const hash = sha256(new TextEncoder().encode(textOf(identity))).slice(0, 16);
  return join(folder, "runs", `${arm}-seed${identity.seed}-${hash}.json`);
}

/**
 * The run of this identity that is in the folder; null where there is none.
 * @throws FormatError `E_RUN` for a file that is none
 */
export async function keptRun(folder: string, identity: RunIdentity): Promise<ComparedRun | null> {
  const path = pathOf(folder, identity);
  let bytes: Uint8Array;
  try {
    bytes = await readRegularFile(path);
  } catch (error) {
    if (error instanceof Error && errnoCode(error.cause) === "ENOENT") return null;
    throw error;
  }
  const read = parsed(bytes);
  if (read === null || textOf(read.identity) !== textOf(identity)) {
    throw new FormatError("E_RUN", `${path} is not the run that its name says`, {
      file: path,
      hint: "Remove it: the run will be made again.",
    });
  }
  return read;
}

/** What `keepRun` wrote and nobody changed. */
function parsed(bytes: Uint8Array): ComparedRun | null {
  try {
    const {
      format,
      sha256: hash,
      run,
    } = JSON.parse(new TextDecoder().decode(bytes)) as {
      readonly format?: unknown;
      readonly sha256?: unknown;
      readonly run: ComparedRun;
    };
    return format === FORMAT && hash === hashOf(run) ? run : null;
  } catch {
    return null;
  }
}

const hashOf = (run: ComparedRun): string => sha256(new TextEncoder().encode(JSON.stringify(run)));

/** Writes a run, whole. @throws FileSystemError `E_FILE_SYSTEM` */
export async function keepRun(folder: string, run: ComparedRun): Promise<void> {
  const path = pathOf(folder, run.identity);
  await mkdir(join(folder, "runs"), { recursive: true }).catch((cause: unknown) => {
    throw fileSystemError("make the folder", join(folder, "runs"), cause);
  });
  const text = JSON.stringify({ format: FORMAT, sha256: hashOf(run), run }, null, 1);
  await writeFileAtomic(path, [new TextEncoder().encode(`${text}\n`)]);
}
