import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
const script = join(folder, "orders.mjs");

beforeAll(async () => {
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await build({
    ...{ entryPoints: [join(ROOT, "tests/support/sharded-orders.ts")], outfile: script },
    ...{ bundle: true, format: "esm", platform: "node", packages: "external", logLevel: "error" },
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Each order of calls: what it prints, and how the process ends. */
const ORDERS: readonly (readonly [name: string, said: string, ended: number | "SIGTERM"])[] = [
  ["exit in a run", "ran", 0],
  ["exit right after a call", "called", 0],
  ["an error nobody catches, in a run", "called", 1],
  ["killed in a run", "called", "SIGTERM"],
  ["never released", "steps 1", 0],
  ["in a thread that is ended in a run", "steps 1", 0],
];

describe("a batch in two parts does not crash:", () => {
  it.each(ORDERS)("%s", (name, said, ended) => {
    const run = spawnSync(process.execPath, [script, name], { encoding: "utf8", timeout: 55_000 });
    expect([run.stdout.trim(), run.signal ?? run.status], run.stderr).toEqual([said, ended]);
  });
});
