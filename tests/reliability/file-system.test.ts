import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { failureOf } from "../support/command.ts";
import { hasFaults, withFault } from "../support/faults.ts";
import { temporaryFolder } from "../support/temporary.ts";

const BIN = fileURLToPath(new URL("../../bin/onnx-agr.mjs", import.meta.url));
const bash = (script: string, ...args: readonly string[]) =>
  spawnSync("bash", ["-c", script, process.execPath, ...args], { encoding: "utf8", timeout: 60_000 });

describe("row 72: too many open files", () => {
  const starved = (limit: number, ...args: readonly string[]) => bash(`ulimit -n ${limit}; "$0" "$@"`, ...args);

  it("while the command is loaded: exit code 6, the file, and what to do", () => {
    const { status, stdout, stderr } = starved(28, MAIN, "inspect", DIGITS);
    expect([status, stdout]).toEqual([6, ""]);
    expect(stderr).toMatch(/^error \[E_FILE_SYSTEM\] cannot open .*\.js: too many open files.*ulimit -n 1024\.\n$/);
  });

  it("before the first line of it runs", () => {
    const { status, stderr } = starved(21, BIN, "inspect", DIGITS, "--json");
    const error = { code: "E_FILE_SYSTEM", exit: 6, hint: expect.stringContaining("ulimit -n") };
    expect([status, JSON.parse(stderr)]).toEqual([6, { schemaVersion: 1, error: expect.objectContaining(error) }]);
  });

  it.skipIf(!hasFaults)("while a model is read (needs a C compiler)", async () => {
    const folder = temporaryFolder();
    copyFileSync(join(DIGITS, "eval_model.onnx"), join(folder, "model.onnx"));
    const args = [MAIN, "inspect", join(folder, "model.onnx")];
    const { status, output, injected } = await withFault(args, folder, { call: "open", nth: 1, how: "EMFILE" });
    expect([injected, status]).toEqual([true, 6]);
    expect(output).toMatch(/cannot read .*model\.onnx: too many open files.*ulimit -n/);
  });
});

const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
/** Root may read and write anything, so what is forbidden is tried by somebody else. */
const asNobody = process.getuid?.() === 0 ? nobody : [];
const isOther =
  asNobody.length === 0 || spawnSync("setpriv", [...nobody.slice(1), process.execPath, MAIN, "--version"]).status === 0;

describe.skipIf(!isOther)("row 72: what may not be read or written (needs setpriv where root runs it)", () => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
  afterAll(() => {
    chmodSync(join(folder, "closed"), 0o700);
    rmSync(folder, { recursive: true });
  });
  beforeAll(() => {
    chmodSync(folder, 0o755);
    for (const name of ["closed", "read-only"]) cpSync(DIGITS, join(folder, name), { recursive: true });
    copyFileSync(join(DIGITS, "eval_model.onnx"), join(folder, "secret.onnx"));
    chmodSync(join(folder, "secret.onnx"), 0);
    chmodSync(join(folder, "closed"), 0);
    chmodSync(join(folder, "read-only"), 0o555);
  });

  it.each([
    ["a model", ["inspect", "secret.onnx"], "read secret.onnx"],
    ["a folder", ["inspect", "closed"], "read closed"],
    ["an output", ["export", DIGITS, "-o", "read-only/model.onnx"], "write into .*read-only"],
    ["a set, in place", ["insert", "read-only", "--in-place"], "write .*read-only"],
  ])("%s ends with 6, path and cause", (_, args, message) => {
    const [program = process.execPath, ...before] = [...asNobody, process.execPath];
    const { status, stdout, stderr } = spawnSync(program, [...before, MAIN, ...args], {
      cwd: folder,
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([6, ""]);
    expect(stderr).toMatch(new RegExp(`\\[E_FILE_SYSTEM\\] cannot ${message}[^:]*: permission denied`));
    if (args.includes("read-only")) expect(readdirSync(join(folder, "read-only"))).toEqual(readdirSync(DIGITS));
  });
});

describe("row 72: names and file systems", () => {
  const hasMounts = bash("unshare -m mount -t tmpfs none /mnt").status === 0;

  it.skipIf(!hasMounts)("a file system that is read-only is named (unshare -m)", () => {
    const inner = join(temporaryFolder(), "disk");
    mkdirSync(inner);
    const script = `unshare -m bash -c 'mount -t tmpfs -o ro none "$2" && "$0" "$1" export "$3" -o "$2/model.onnx"' "$0" "$@"`;
    const { status, stderr } = bash(script, MAIN, inner, DIGITS);
    expect([status, stderr]).toEqual([
      6,
      expect.stringMatching(/cannot write into .*disk: the file system is read-only/),
    ]);
  });

  it("a path that is too long is named, whatever it is for", async () => {
    const long = "x".repeat(300);
    for (const args of [
      ["inspect", long],
      ["train", long, "--data", "none"],
      ["lower", DIGITS, "-o", join(temporaryFolder(), long)],
      ["upgrade", join(DIGITS, "eval_model.onnx"), "-o", join(temporaryFolder(), long)],
    ]) {
      const error = await failureOf(args);
      expect([error.exitCode, error.message]).toEqual([6, expect.stringMatching(/x{300}.*: the path is too long/)]);
    }
  });

  it("a name with a line feed and an emoji is a name like any other", async () => {
    const folder = temporaryFolder();
    const name = join(folder, "a\n\u{1f642}.onnx");
    expect(await failureOf(["inspect", name])).toMatchObject({ exitCode: 3, file: name });
    writeFileSync(name, "");
    expect(await failureOf(["inspect", name])).toMatchObject({ exitCode: 3, code: "E_NOT_ONNX", file: name });
    const { status, stderr } = cli(["inspect", name]);
    expect([status, stderr]).toEqual([
      3,
      expect.stringMatching(/^error \[E_NOT_ONNX\] [^\n]*a\\n\u{1f642}\.onnx[^\n]*\n$/u),
    ]);
  });
});
