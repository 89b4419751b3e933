import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";

/**
 * How many processors this process may use, where that is less than the machine has; null where it may use all. A process may be tied to
 * some of them (`taskset`, `--cpuset-cpus`, Slurm), and a container may have a share of their time (`--cpus`, a Kubernetes limit). ONNX
 * Runtime sees neither: its threads for the others' processors wait for their turn while the rest spin, and a step takes several times
 * as long.
 */
export function grantedProcessors(): number | null {
  const granted = Math.min(availableParallelism(), processorTime());
  return granted < cpus().length ? Math.max(1, Math.floor(granted)) : null;
}

/** The option of an ONNX Runtime session for that; nothing where ONNX Runtime's own number, one per core, is right. */
export function grantedThreads(): { readonly intraOpNumThreads?: number } {
  const granted = grantedProcessors();
  return granted === null ? {} : { intraOpNumThreads: granted };
}

/** Processors' worth of time that this process has at most: the share of its container, for one; infinite without a limit. */
export const processorTime = (): number => timeOf(textAt);

/**
 * What the control groups of a process allow, from its own up to the root.
 * @param read gives a file's text, null where there is none
 */
export function timeOf(read: (path: string) => string | null): number {
  const groups = (read("/proc/self/cgroup") ?? "").split("\n").map((line) => line.split(":"));
  const shares = groups.flatMap(([, controllers = "", path = ""]) => {
    if (controllers === "")
      return upwards("/sys/fs/cgroup", path).flatMap((folder) => shareOf(read(`${folder}/cpu.max`)));
    if (!controllers.split(",").includes("cpu")) return [];
    return ["cpu", controllers].flatMap((mount) =>
      upwards(join("/sys/fs/cgroup", mount), path).flatMap((folder) => {
        const [quota, period] = [read(`${folder}/cpu.cfs_quota_us`), read(`${folder}/cpu.cfs_period_us`)];
        return shareOf(quota === null || period === null ? null : `${quota} ${period}`);
      }),
    );
  });
  return Math.min(Number.POSITIVE_INFINITY, ...shares);
}

/**
 * How many threads ONNX Runtime takes where it is told no number: one per core, which on many machines is two processors. One per
 * processor where the system does not say which ones are one core: only Linux does.
 */
export const defaultThreads = (): number => coresOf(cpus().length, textAt);

/** @param read gives a file's text, null where there is none */
export function coresOf(processors: number, read: (path: string) => string | null): number {
  const topology = Array.from({ length: processors }, (_, index) =>
    read(`/sys/devices/system/cpu/cpu${index}/topology/thread_siblings_list`),
  );
  return topology.includes(null) ? processors : new Set(topology).size;
}

/** A quota and its period in microseconds; the quota of no limit is `max`, or -1. */
function shareOf(text: string | null): number[] {
  const [quota = Number.NaN, period = Number.NaN] = (text ?? "").trim().split(/\s+/).map(Number);
  return quota > 0 && period > 0 ? [quota / period] : [];
}

/** A group's folder and those above it. In a container the path may be the host's, of which only the root is there. */
function upwards(root: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return Array.from({ length: parts.length + 1 }, (_, index) => join(root, ...parts.slice(0, parts.length - index)));
}

function textAt(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
