import { spawnSync } from "node:child_process";

/** What losses depend on, besides the experiment itself. */
const CODE = ["src", "package-lock.json"];

const git = (...args: readonly string[]): { readonly status: number | null; readonly stdout: string } =>
  spawnSync("git", args, { cwd: new URL("..", import.meta.url), encoding: "utf8" });

/** The commit whose code is running, with "+" where the code has changes; null where git does not know. */
export function commitOfCode(): string | null {
  const { status, stdout } = git("rev-parse", "HEAD");
  if (status !== 0) return null;
  return `${stdout.trim()}${git("status", "--porcelain", "--", ...CODE).stdout === "" ? "" : "+"}`;
}
