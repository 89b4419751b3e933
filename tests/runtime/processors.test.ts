import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { grantedProcessors } from "../../src/entries/run.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { coresOf, defaultThreads, timeOf } from "../../src/runtime/processors.ts";

const ARTIFACTS = fileURLToPath(new URL("../../fixtures/digits", import.meta.url));
const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const FOLDER = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
const DATA = join(FOLDER, "data.safetensors");

beforeAll(() => {
  const tensors = [
    { name: "input", tensor: GraphTensor.from(DataType.float, [8, 1, 16, 16], new Float32Array(8 * 256).fill(0.5)) },
    { name: "labels", tensor: GraphTensor.from(DataType.int64, [8], new BigInt64Array(8)) },
  ];
  writeFileSync(DATA, encodeSafetensors(tensors));
});
afterAll(() => rmSync(FOLDER, { recursive: true }));

const system = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? null;

describe("the number of cores", () => {
  const siblings = (index: number): string => `/sys/devices/system/cpu/cpu${index}/topology/thread_siblings_list`;

  it("counts processors that are one core once, side by side or apart", () => {
    const pairs = system({
      [siblings(0)]: "0-1\n",
      [siblings(1)]: "0-1\n",
      [siblings(2)]: "2-3\n",
      [siblings(3)]: "2-3\n",
    });
    expect(coresOf(4, pairs)).toBe(2);
    const apart = system({
      [siblings(0)]: "0,2\n",
      [siblings(1)]: "1,3\n",
      [siblings(2)]: "0,2\n",
      [siblings(3)]: "1,3\n",
    });
    expect(coresOf(4, apart)).toBe(2);
    expect(coresOf(2, system({ [siblings(0)]: "0\n", [siblings(1)]: "1\n" }))).toBe(2);
  });

  it("is that of the processors where the system does not say", () => {
    expect(coresOf(4, system({}))).toBe(4);
    expect(coresOf(2, system({ [siblings(0)]: "0\n" }))).toBe(2);
    expect(defaultThreads()).toBeGreaterThanOrEqual(1);
    expect(defaultThreads()).toBeLessThanOrEqual(cpus().length);
  });
});

describe("a share of the processors' time", () => {
  it("is read from control groups of version 2, the least of all above", () => {
    const files = {
      "/proc/self/cgroup": "0::/kubepods/pod7/container\n",
      "/sys/fs/cgroup/kubepods/pod7/container/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/kubepods/pod7/cpu.max": "150000 100000\n",
      "/sys/fs/cgroup/kubepods/cpu.max": "400000 100000\n",
    };
    expect(timeOf(system(files))).toBe(1.5);
  });

  it("is read inside a container, whose own group is the root that it sees", () => {
    expect(timeOf(system({ "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 100000\n" }))).toBe(0.5);
  });

  it("is read from control groups of version 1, where the path may be the host's", () => {
    const files = {
      "/proc/self/cgroup": "9:name=systemd:/docker/1\n4:cpu,cpuacct:/docker/1\n3:cpuset:/docker/1\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    };
    expect(timeOf(system(files))).toBe(2);
  });

  it("is without a limit where none is set, or nothing can be read", () => {
    const files = {
      "/proc/self/cgroup": "4:cpu:/\n0::/\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu.max": "max 100000\n",
    };
    expect(timeOf(system(files))).toBe(Number.POSITIVE_INFINITY);
    expect(timeOf(system({}))).toBe(Number.POSITIVE_INFINITY);
    expect(timeOf(system({ "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "nonsense\n" }))).toBe(
      Number.POSITIVE_INFINITY,
    );
  });
});

/** What a command says when it may use fewer processors than there are. */
const evaluated = (command: string, args: readonly string[]): string => {
  const run = spawnSync(command, [...args, process.execPath, MAIN, "eval", ARTIFACTS, "--data", DATA], {
    encoding: "utf8",
  });
  expect(run.stderr).not.toContain("E_");
  expect(run.status).toBe(0);
  return run.stderr;
};

const QUOTA = `/sys/fs/cgroup/cpu/onnx-agr-test-${process.pid}`;

function canLimitTime(): boolean {
  try {
    mkdirSync(QUOTA);
  } catch {
    return false;
  }
  try {
    writeFileSync(join(QUOTA, "cpu.cfs_quota_us"), "100000");
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(QUOTA);
  }
}

const hasTaskset = spawnSync("taskset", ["--version"]).status === 0;

describe.skipIf(cpus().length < 2)("a process that may not use all processors", () => {
  it.skipIf(!hasTaskset)("trains with as many threads as it is tied to, and says so", () => {
    const [first = "0"] = execFileSync("taskset", ["-pc", String(process.pid)], { encoding: "utf8" })
      .replace(/.*:\s*/, "")
      .split(/[,-]/);
    expect(evaluated("taskset", ["-c", first.trim()])).toContain(
      "1 thread: this process may not use all processors (--threads)",
    );
  });

  it.skipIf(!canLimitTime())("trains with as many threads as it has time for, and says so", () => {
    mkdirSync(QUOTA);
    try {
      writeFileSync(join(QUOTA, "cpu.cfs_quota_us"), "100000");
      const said = evaluated("sh", ["-c", `echo $$ > ${join(QUOTA, "cgroup.procs")} && exec "$@"`, "sh"]);
      expect(said).toContain("1 thread: this process may not use all processors (--threads)");
    } finally {
      rmdirSync(QUOTA);
    }
  });

  it("is one with a limit, and this one has none that is above the machine's", () => {
    expect(grantedProcessors() ?? cpus().length).toBeLessThanOrEqual(cpus().length);
  });
});
