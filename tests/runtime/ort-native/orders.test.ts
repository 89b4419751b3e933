import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../support/native-orders.mjs", import.meta.url));

/** Each order of calls: what it prints, and how the process ends. */
const ORDERS: readonly (readonly [name: string, said: string, ended: number | "SIGTERM"])[] = [
  ["exit in a run", "ran", 0],
  ["exit right after a call", "called", 0],
  ["exit while a model loads", "called", 0],
  ["an error nobody catches, in a run", "called", 1],
  ["killed in a run", "called", "SIGTERM"],
  ["never released", "steps 1", 0],
  ["released in a run", "losses 64", 0],
  ["released at once, and twice", "released", 0],
  ["used after it was released", "E_RELEASED", 0],
  ["a session that cannot be made, and another", "E_EXECUTION_PROVIDER\nsteps 1", 0],
  ["several sessions at once", "equal true", 0],
  ["forgotten, and collected", "collected", 0],
  ["in a thread that is ended in a run", "steps 1", 0],
];

describe("the C API does not crash:", () => {
  it.each(ORDERS)("%s", (name, said, ended) => {
    const run = spawnSync(process.execPath, ["--expose-gc", SCRIPT, name], { encoding: "utf8", timeout: 55_000 });
    expect([run.stdout.trim(), run.signal ?? run.status], run.stderr).toEqual([said, ended]);
  });
});
