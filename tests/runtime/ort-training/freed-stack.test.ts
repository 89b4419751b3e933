import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const SCRIPT = fileURLToPath(new URL("../../support/free-of-stack.ts", import.meta.url));

/** Without the wrapped module the process never ends: the allocator follows what lies on the stack. */
it("memory of the stack that the build frees is left alone, and memory of the heap is freed", () => {
  const output = execFileSync(process.execPath, ["--import", "tsx", SCRIPT], { encoding: "utf8", timeout: 60_000 });
  expect(JSON.parse(output)).toEqual({ isTakenAgain: true });
});
