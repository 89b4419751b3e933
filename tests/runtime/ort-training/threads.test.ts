import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../support/train-digits.ts", import.meta.url));

/** The number of threads holds for a process, so each runs in one of its own. */
function lossesWith(threads: number): number[] {
  const output = execFileSync(process.execPath, ["--import", "tsx", SCRIPT, String(threads)], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return JSON.parse(output) as number[];
}

describe("two threads of WebAssembly", () => {
  it("train to the same losses as one, and the process ends by itself", () => {
    const [one, two] = [lossesWith(1), lossesWith(2)];
    expect(one).toHaveLength(5);
    expect(one.at(-1)).toBeLessThan(one[0] ?? 0);
    for (const [index, loss] of two.entries()) expect(Math.abs(loss - (one[index] ?? 0))).toBeLessThan(2e-6);
  });
});
