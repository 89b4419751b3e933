import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mpi } from "./mpi.ts";

/** Two hosts on this machine: network namespaces with a cable between them. */
export interface TwoHosts {
  /** The same mpirun, started on the first host, which reaches the second by a remote shell of ours. */
  readonly on: (mpi: Mpi) => Mpi;
  /** Bytes that came over the cable to the second host so far. */
  readonly received: () => number;
  readonly remove: () => void;
}

const run = (command: string, ...args: readonly string[]): void => {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
};

/** Why there can be none; null where there can. */
export function whyNoHosts(): string | null {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs Linux and root";
  const name = `agr-try-${process.pid}`;
  try {
    run("ip", "netns", "add", name);
    run("ip", "netns", "exec", name, "unshare", "--uts", "true");
    return null;
  } catch (error) {
    return `needs network namespaces: ${error instanceof Error ? error.message.trim() : ""}`;
  } finally {
    spawnSync("ip", ["netns", "del", name]);
  }
}

/** How each mpirun is told of hosts and of the shell. */
const FLAGS: Readonly<Record<Mpi["name"], (hosts: readonly string[], shell: string) => readonly string[]>> = {
  "Open MPI": (hosts, shell) => [
    ...["--allow-run-as-root", "--mca", "plm_rsh_agent", shell],
    ...["--host", hosts.map((host) => `${host}:1`).join()],
  ],
  /** UCX sees by the kernel that both are one machine, and would share memory. */
  MPICH: (hosts, shell) => [
    ...["-launcher", "ssh", "-launcher-exec", shell, "-hosts", hosts.join()],
    ...["-genv", "UCX_TLS", "tcp,self"],
  ],
};

/** @param folder for the remote shell */
export function makeHosts(folder: string): TwoHosts {
  const names = ["a", "b"].map((each) => `agr-${process.pid}-${each}`);
  const [first = "", second = ""] = names;
  /** Of this test alone, should several run at once. */
  const net = `10.${100 + (process.pid % 100)}.${process.pid % 250}`;
  const hosts = [`${net}.1`, `${net}.2`];
  const remove = (): void => {
    for (const name of names) spawnSync("ip", ["netns", "del", name]);
  };
  try {
    for (const name of names) run("ip", "netns", "add", name);
    run("ip", "link", "add", "agr0", "netns", first, "type", "veth", "peer", "name", "agr0", "netns", second);
    for (const [index, name] of names.entries()) {
      run("ip", "-n", name, "addr", "add", `${hosts[index]}/24`, "dev", "agr0");
      for (const device of ["lo", "agr0"]) run("ip", "-n", name, "link", "set", device, "up");
    }
  } catch (error) {
    remove();
    throw error;
  }
  const enter = (name: string): readonly string[] => ["netns", "exec", name, "unshare", "--uts", "sh", "-c"];
  const shell = join(folder, "remote-shell.sh");
  writeFileSync(
    shell,
    `#!/bin/sh
while [ "\${1#-}" != "$1" ]; do shift; done
case $1 in ${hosts[0]}) name=${first} ;; *) name=${second} ;; esac
shift
exec ip netns exec $name unshare --uts sh -c "hostname $name; $*"
`,
  );
  chmodSync(shell, 0o755);
  return {
    on: (mpi) => ({
      name: mpi.name,
      command: "ip",
      flags: [
        ...[...enter(first), `hostname ${first}; exec "$0" "$@"`],
        ...[mpi.command, ...FLAGS[mpi.name](hosts, shell)],
      ],
    }),
    received: () => {
      const { stdout } = spawnSync("ip", ["netns", "exec", second, "cat", "/proc/net/dev"], { encoding: "utf8" });
      return Number(/agr0:\s*(\d+)/.exec(stdout)?.[1] ?? Number.NaN);
    },
    remove,
  };
}
