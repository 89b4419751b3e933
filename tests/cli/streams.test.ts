import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

const OPTIMIZER = join(DIGITS, "optimizer_model.onnx");

/** Runs a pipeline in which `agr` is the command line. Its exit code is that of `agr`. */
function shell(pipeline: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const cwd = temporaryFolder();
  writeFileSync(join(cwd, "data.safetensors"), encodeSafetensors(drawDigits(400, 5)));
  const script = `agr() { "$NODE" "$MAIN" "$@"; }; ${pipeline}; exit "\${PIPESTATUS[0]}"`;
  const env = { ...process.env, NO_COLOR: "1", NODE: process.execPath, MAIN, DIGITS, OPTIMIZER };
  return spawnSync("bash", ["-c", script], { cwd, env, encoding: "utf8", timeout: 60_000 });
}

describe.skipIf(process.platform === "win32")("row 74:", () => {
  it.each([
    ["a result", `agr inspect "$OPTIMIZER" --text | head -c 1`],
    ["nobody", `agr inspect "$OPTIMIZER" --text | true`],
    ["a model", `agr insert "$OPTIMIZER" -o - | head -c 1 > head`],
    ["steps", `agr train "$DIGITS" --data data.safetensors --epochs 100000 --json | head -n 1`],
  ])("a reader of %s that has enough ends the command without a word", (_, pipeline) => {
    const { status, stderr } = shell(pipeline);
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("a reader of errors that is gone changes no exit code", () => {
    expect(shell(`agr insert nowhere.onnx -o out 2>&1 >/dev/null | true`).status).toBe(3);
    expect(shell(`agr inspect "$OPTIMIZER" 2>&-`).status).toBe(0);
  });

  it.each([
    ["closed", "<&-"],
    ["empty", "</dev/null"],
    ["cut short", `< <(head -c 100 "$OPTIMIZER")`],
  ])("a model from a stdin that is %s is malformed", (_, redirect) => {
    const { status, stdout, stderr } = shell(`agr insert - -o - ${redirect}`);
    expect([status, stdout, stderr.trim().split("\n")]).toEqual([3, "", [expect.stringMatching(/^error \[E_\w+\] /)]]);
  });

  it("all that was written arrives, however late it is read", () => {
    const steps = 'agr train "$DIGITS" --data data.safetensors --batch-size 10 --epochs 25 --json';
    const { status, stdout } = shell(`${steps} | (sleep 3; cat)`);
    expect([status, stdout.length > 2 ** 16]).toEqual([0, true]);
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({ type: "end", steps: 1000 });
  });
});

describe("row 73: an output that", () => {
  it("is the input, or its link, is refused and stays as it is", () => {
    const folder = temporaryFolder();
    const [model, link] = [join(folder, "model.onnx"), join(folder, "link.onnx")];
    const before = readFileSync(OPTIMIZER);
    writeFileSync(model, before);
    symlinkSync("model.onnx", link);
    for (const output of [model, link, join(folder, ".", "model.onnx")]) {
      const { status, stderr } = cli(["insert", model, "-o", output]);
      expect([status, stderr]).toEqual([2, expect.stringMatching(/\[E_\w+\].*--(in-place|force)/)]);
      expect(readFileSync(model).equals(before)).toBe(true);
    }
    expect(readdirSync(folder).sort()).toEqual(["link.onnx", "model.onnx"]);
  });

  it("exists is refused without --force, and replaced with it", () => {
    const folder = temporaryFolder();
    const output = join(folder, "out.onnx");
    writeFileSync(output, "mine");
    const args = ["insert", OPTIMIZER, "-o", output];
    const { status, stderr } = cli(args);
    expect([status, stderr, readFileSync(output, "utf8")]).toEqual([2, expect.stringMatching(/--force/), "mine"]);
    expect(cli([...args, "--force"]).status).toBe(0);
    expect(existsSync(output) && readFileSync(output).length > 1000).toBe(true);
  });
});
