import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * A process that no other can be taken for. A number alone comes again: in a container that is started anew, the first
 * process is number 1 each time.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it began, in ticks since the machine started; null where the system does not tell. */
  readonly start: string | null;
  /** The machine's boot; null where the system does not tell. */
  readonly boot: string | null;
  /** The namespace that `pid` counts in; null where the system does not tell. */
  readonly namespace: string | null;
}

const attempt = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

/** The start of a process: field 22 of its `stat`, counted behind the name, which may hold anything. */
function startOf(process: string): { readonly pid: number; readonly start: string } | null {
  const text = attempt(() => readFileSync(`/proc/${process}/stat`, "utf8"));
  const start = text?.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  return text === null || start === undefined ? null : { pid: Number.parseInt(text, 10), start };
}

const namespaceOf = (process: string): string | null => attempt(() => readlinkSync(`/proc/${process}/ns/pid`));

let own: ProcessIdentity | null = null;

export function thisProcess(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    start: startOf("self")?.start ?? null,
    boot: attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    namespace: namespaceOf("self"),
  };
  return own;
}

/** Whether `isRunning` can tell that a process is gone: not one of another container or machine. */
export function isSeen({ boot, namespace }: ProcessIdentity): boolean {
  const self = thisProcess();
  return boot === self.boot && namespace === self.namespace;
}

/** Whether a process runs, ours or another user's, as far as it can be seen from here. */
export function isRunning({ pid, start, boot, namespace }: ProcessIdentity): boolean {
  const self = thisProcess();
  if (boot !== self.boot) return false;
  if (namespace !== self.namespace) return runsElsewhere(start, namespace);
  if (pid === self.pid) return start === self.start;
  if (!exists(pid)) return false;
  /** A /proc of another namespace counts otherwise. */
  const isOurProc = startOf("self")?.pid === self.pid;
  const now = isOurProc ? startOf(String(pid)) : null;
  return now === null || start === null || now.start === start;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Looks for a process of another namespace: its number is another one here, its start is the same. */
function runsElsewhere(start: string | null, namespace: string | null): boolean {
  const seen = attempt(() => readdirSync("/proc")) ?? [];
  return seen.some((name) => /^\d+$/.test(name) && startOf(name)?.start === start && namespaceOf(name) === namespace);
}

/** The process in a file's name. */
export function processTag({ pid, start }: ProcessIdentity = thisProcess()): string {
  return `${pid}.${start ?? "0"}.${placeTag()}`;
}

/** A process by its tag; null where it counts in another namespace or ran before the machine's last start. */
export function taggedProcess(pid: string, start: string, place: string): ProcessIdentity | null {
  if (place !== placeTag()) return null;
  return { ...thisProcess(), pid: Number(pid), start: start === "0" ? null : start };
}

function placeTag(): string {
  const { boot, namespace } = thisProcess();
  return createHash("sha256").update(`${boot}\n${namespace}`).digest("hex").slice(0, 8);
}
