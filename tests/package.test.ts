import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./support/temporary.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { scripts, private: isPrivate } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly scripts: Record<string, string>;
  readonly private?: boolean;
};

/** What a clone has before anything is built. What is built is installed and run by .ci/run. */
function unbuilt(): string {
  const folder = temporaryFolder();
  for (const name of ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "bin", "docs", "fixtures", "scripts"])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  return folder;
}

describe("the package", () => {
  it("row 88: needs no script that npm runs of itself", () => {
    const attached = Object.keys(scripts).filter((name) => scripts[name.replace(/^(pre|post)/, "")] !== undefined);
    const unasked = attached.filter((name) => /^(pre|post)/.test(name));
    for (const name of unasked)
      expect([name, scripts[name.slice(3)]]).toEqual(["prepack", expect.stringMatching(/^npm run build && /)]);
  });

  it("row 89: is not published from a clone, nor packed before it is built", () => {
    expect(isPrivate).toBe(true);
    const folder = unbuilt();
    const { status, stderr } = spawnSync(process.execPath, ["scripts/pack.mjs"], { cwd: folder, encoding: "utf8" });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/dist\/cli\/main\.js.* not built: use npm run pack/)]);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tgz"))).toEqual([]);
  });

  it("row 89: says of a copy without dist that it was never built", () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(unbuilt(), "bin", "onnx-agr.mjs"), "--version"],
      {
        encoding: "utf8",
      },
    );
    expect([status, stdout, stderr]).toEqual([
      1,
      "",
      expect.stringMatching(/^error \[E_NOT_BUILT\].*npm run pack.*\n$/),
    ]);
  });
});
