import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { isFull } from "./counts.ts";

/**
 * Gives each worker of vitest a core of its own, where the system can (Linux with `taskset`): sessions then take one thread, and no worker's
 * threads wait by spinning on the core of another's. That is a third of the suite's processor time. With CI's counts sessions take all cores.
 */
const allowed = isFull ? [] : allowedCores();
if (allowed.length > 1) {
  const core = allowed[(Number(process.env["VITEST_POOL_ID"]) - 1) % allowed.length];
  try {
    execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", String(core), String(process.pid)]);
  } catch {
    // Without `taskset` it is only slower.
  }
}

/** The cores that this process may run on, as Linux lists them: `0-3,8`. Empty elsewhere. */
function allowedCores(): readonly number[] {
  if (process.platform !== "linux") return [];
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
