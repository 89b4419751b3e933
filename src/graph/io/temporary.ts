import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isRunning, processTag, taggedProcess } from "./processes.ts";

/** Names of files and folders that are being written: `.<name>.<process>.<random>.tmp`. */
const TEMPORARY = /^\.(.+)\.(\d+)\.(\d+)\.([0-9a-f]{8})\.[0-9a-f]{12}\.tmp$/s;
/** What a process of another container or another machine has left counts as left when it is older than this. */
const STRANGERS_AGE = 60 * 60 * 1000;
/** File names have up to 255 bytes. */
const MAX_NAME = 180;

/** A name for something that is written beside `path` and not yet visible under its own name. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${shortened(basename(path))}.${processTag()}.${randomBytes(6).toString("hex")}.tmp`);
}

export const isTemporary = (name: string): boolean => TEMPORARY.test(name);

function shortened(name: string): string {
  let short = name;
  while (Buffer.byteLength(short) > MAX_NAME) short = [...short].slice(0, -1).join("");
  return short;
}

/**
 * Removes what processes that are gone have left in a folder. What cannot be removed stays for the next time.
 * @param names of the files that were being written. Default: any
 */
export async function sweep(folder: string, names?: readonly string[]): Promise<void> {
  const wanted = names?.map(shortened);
  for (const entry of await readdir(folder).catch((): string[] => [])) {
    const [, name = "", pid = "", start = "", place = ""] = TEMPORARY.exec(entry) ?? [];
    if (pid === "" || (wanted !== undefined && !wanted.includes(name))) continue;
    const path = join(folder, entry);
    if (await isLeft(path, pid, start, place)) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function isLeft(path: string, pid: string, start: string, place: string): Promise<boolean> {
  const writer = taggedProcess(pid, start, place);
  if (writer !== null) return !isRunning(writer);
  const age = await stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
  return age > STRANGERS_AGE;
}

const pending = new Set<string>();
let removesOnExit = false;

/** Remembers a temporary file, so that it goes away when the process is ended in the middle of writing it. */
export function removeOnExit(temporary: string): void {
  pending.add(temporary);
  if (removesOnExit) return;
  removesOnExit = true;
  process.once("exit", () => {
    for (const path of pending) rmSync(path, { recursive: true, force: true });
  });
}

/** @returns whether it was remembered */
export function keepOnExit(temporary: string): boolean {
  return pending.delete(temporary);
}
