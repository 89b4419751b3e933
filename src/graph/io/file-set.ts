import { linkSync, renameSync } from "node:fs";
import { lstat, realpath, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoCode, FileSystemError, FormatError, fileSystemError } from "../../errors.ts";
import { sha256 } from "./digest.ts";
import { readRegularFile } from "./read-file.ts";
import { isTemporary, keepOnExit } from "./temporary.ts";
import { type PendingFile, syncFolder, writePending } from "./write-file.ts";

/**
 * Several files of one folder are put in place as one: what is to be done is written into a journal first. The journal becomes
 * visible as a whole, and from then on the new set is what the folder holds: whoever finds a journal does what it says before
 * reading. Until then the old set is untouched. So a process may be killed at any moment.
 */
interface Journal {
  readonly schema: 1;
  readonly renames: readonly (readonly [temporary: string, name: string])[];
  /** Files of an older set. One that was replaced meanwhile is another file and stays. */
  readonly removals: readonly OldFile[];
}

interface OldFile {
  readonly name: string;
  readonly inode: number;
  readonly changed: number;
}

/** Seen from outside, a folder's set changes in the moment this file appears in it. */
export const SET_JOURNAL = ".onnx-agr.journal";

/** The journal of a file that has others beside it which belong to it. */
export const journalOf = (path: string): string => join(dirname(path), `.${basename(path).slice(0, 60)}.journal`);

/** File systems that have no hard links say so in one of these ways. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EACCES"]);
const ATTEMPTS = 5;
const MAX_JOURNAL_BYTES = 2 ** 24;

/**
 * Puts files in place of which one makes no sense without the others, and removes what belongs to an older set.
 * @param journal path of the set's journal, in the folder of the files
 * @param removals names in that folder
 * @throws FileSystemError `E_FILE_SYSTEM`. The folder then holds the old set, or the new one where the message says so.
 */
export async function publishSet(
  journal: string,
  files: readonly PendingFile[],
  removals: readonly string[] = [],
): Promise<void> {
  const discard = async (): Promise<void> => {
    for (const file of files) await file.discard();
  };
  const folder = dirname(journal);
  try {
    for (const { path, target } of files) if (dirname(target) !== folder) throw leadsAway(path);
    const old: OldFile[] = [];
    for (const name of removals) {
      const found = await lstat(join(folder, name));
      old.push({ name, inode: found.ino, changed: found.mtimeMs });
    }
    const renames = files.map(({ temporary, target }) => [basename(temporary), basename(target)] as const);
    await commit(journal, { schema: 1, renames, removals: old }, files);
  } catch (cause) {
    await discard();
    throw ours(cause, "write", folder);
  }
  try {
    await carryOut(journal);
  } catch (cause) {
    const completed = await carryOut(journal).then(
      () => "a second attempt put all files in place",
      () => "the next command that reads the folder puts the rest in place",
    );
    const error = fileSystemError("write", folder, cause);
    throw new FileSystemError(error.code, `${error.message}; ${completed}`, { file: folder, cause });
  }
}

const leadsAway = (path: string): FileSystemError =>
  new FileSystemError(
    "E_NOT_REGULAR",
    `${path} is a symbolic link, and files that are put in place as one cannot be links`,
    {
      file: path,
      hint: "Give another output, or put the file itself in the link's place.",
    },
  );

function ours(cause: unknown, action: string, path: string): Error {
  return cause instanceof Error && "exitCode" in cause ? cause : fileSystemError(action, path, cause);
}

/** Makes the journal visible, whole, where there is none: an older one is carried out first. */
async function commit(journal: string, content: Journal, files: readonly PendingFile[]): Promise<void> {
  const written = await writePending(journal, [encodeJournal(content)]);
  try {
    for (let attempt = 1; !tryCommit(written, files); attempt++) {
      if (attempt === ATTEMPTS) {
        throw new FileSystemError("E_LOCKED", `other processes are writing into ${dirname(journal)}`, {
          file: journal,
        });
      }
      await carryOut(journal);
    }
  } finally {
    await written.discard();
  }
}

/** In one go with forgetting the temporary files: they are the journal's from then on, and must outlive this process. */
function tryCommit({ temporary, target }: PendingFile, files: readonly PendingFile[]): boolean {
  try {
    linkSync(temporary, target);
  } catch (cause) {
    if (errnoCode(cause) === "EEXIST") return false;
    if (!NO_LINKS.has(errnoCode(cause))) throw cause;
    renameSync(temporary, target);
    keepOnExit(temporary);
  }
  for (const file of files) keepOnExit(file.temporary);
  return true;
}

/**
 * Completes what a process that was ended has begun to put in place. Does nothing where nothing was begun.
 * @throws FormatError `E_JOURNAL` for a journal that is damaged; FileSystemError `E_FILE_SYSTEM`
 */
export async function completeSet(journal: string): Promise<void> {
  try {
    await carryOut(journal);
  } catch (cause) {
    throw ours(cause, "complete the files that an interrupted command left in", dirname(journal));
  }
}

/**
 * `completeSet` for whatever a file may be a part of: what is read alone must not be of an older set than what lies beside it.
 * @throws as `completeSet`
 */
export async function completeAround(path: string): Promise<void> {
  const folder = await realpath(dirname(path)).catch(() => dirname(path));
  const real = await realpath(path).catch(() => join(folder, basename(path)));
  for (const each of new Set([folder, dirname(real)])) await completeSet(join(each, SET_JOURNAL));
  await completeSet(journalOf(real));
}

/** Every part of it may have been done already, by a process that was ended or by one that does the same now. */
async function carryOut(journal: string): Promise<void> {
  const found = await lstat(journal).catch((cause: unknown) => {
    if (errnoCode(cause) === "ENOENT" || errnoCode(cause) === "ENOTDIR") return null;
    throw cause;
  });
  if (found === null) return;
  const folder = dirname(journal);
  /** In a folder that many may write into, a stranger's journal must not decide over our files. */
  const owners = [process.getuid?.() ?? found.uid, (await lstat(folder)).uid];
  if (!owners.includes(found.uid)) throw untrusted(journal);
  const { renames, removals } = decodeJournal(await readRegularFile(journal, MAX_JOURNAL_BYTES), journal);
  await syncFolder(folder);
  for (const [temporary, name] of renames) {
    await ifThere(() => rename(join(folder, temporary), join(folder, name)));
  }
  for (const { name, inode, changed } of removals) {
    const path = join(folder, name);
    const now = await lstat(path).catch(() => null);
    if (now?.ino === inode && now.mtimeMs === changed) await ifThere(() => unlink(path));
  }
  await syncFolder(folder);
  const last = await lstat(journal).catch(() => null);
  if (last?.ino === found.ino) await ifThere(() => unlink(journal));
}

async function ifThere(act: () => Promise<void>): Promise<void> {
  await act().catch((cause: unknown) => {
    if (errnoCode(cause) !== "ENOENT") throw cause;
  });
}

/** One line of JSON, and its hash on the next. */
function encodeJournal(journal: Journal): Uint8Array {
  const text = JSON.stringify(journal);
  return new TextEncoder().encode(`${text}\n${sha256(new TextEncoder().encode(text))}\n`);
}

/** @throws FormatError `E_JOURNAL` */
export function decodeJournal(bytes: Uint8Array, file: string): Journal {
  const [text = "", hash = ""] = new TextDecoder().decode(bytes).split("\n");
  const isWhole = sha256(new TextEncoder().encode(text)) === hash;
  const journal = isWhole ? parsed(text) : null;
  if (isJournal(journal) && isSafe(journal)) return journal;
  throw new FormatError("E_JOURNAL", `${file} is damaged: it does not say which files an interrupted command left`, {
    file,
    hint: "Write the folder anew and remove this file.",
  });
}

const untrusted = (file: string): FormatError =>
  new FormatError("E_JOURNAL", `${file} belongs to another user, who may not decide what the files beside it are`, {
    file,
    hint: "Remove it.",
  });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A right hash says that the journal is whole, not that it is one. */
function isJournal(value: unknown): value is Journal {
  const { schema, renames, removals } = (value ?? {}) as Partial<Record<keyof Journal, unknown>>;
  const isRename = (each: unknown): boolean =>
    Array.isArray(each) && each.length === 2 && each.every((name) => typeof name === "string");
  const isOldFile = (each: unknown): boolean => {
    const { name, inode, changed } = (each ?? {}) as Partial<Record<keyof OldFile, unknown>>;
    return typeof name === "string" && typeof inode === "number" && typeof changed === "number";
  };
  const areLists = Array.isArray(renames) && Array.isArray(removals);
  return schema === 1 && areLists && renames.every(isRename) && removals.every(isOldFile);
}

/** A folder may come from anywhere: its journal must not reach outside it, nor any file that is not the set's. */
function isSafe({ renames, removals }: Journal): boolean {
  const isName = (name: string): boolean =>
    name === basename(name) && !name.startsWith(".") && name !== "" && !name.includes("\0");
  return (
    renames.every(([temporary, name]) => isTemporary(temporary) && isName(temporary.slice(1)) && isName(name)) &&
    removals.every(({ name }) => isName(name))
  );
}
