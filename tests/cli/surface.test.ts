import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makePreviewStep } from "../../fixtures/tensor-optimizers.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeModel } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { DIGITS, MAIN, type Outcome } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const HOSTILE = "\u001b[2J\u001b]0;pwned\u0007\r\nwritten to /etc/shadow\u009b31m\u202egnp\u2066\u200f\u061c\u007f";
const ESCAPED =
  "\\u001b[2J\\u001b]0;pwned\\u0007\\r\\nwritten to /etc/shadow\\u009b31m\\u202egnp\\u2066\\u200f\\u061c\\u007f";

/** What a terminal obeys, line feeds apart. */
const OBEYED = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

/** A train step whose every name a terminal would obey. */
function hostileModel(): Uint8Array {
  const model = makePreviewStep("Adam");
  const { graph } = model;
  for (const node of graph.nodes) {
    node.name += HOSTILE;
    for (const output of node.outputs) if (output !== null) output.name += HOSTILE;
  }
  for (const value of graph.inputs) {
    value.name += HOSTILE;
    if (value.type?.kind === "tensor") value.type = { ...value.type, shape: [`n${HOSTILE}`] };
  }
  model.producerName = HOSTILE;
  model.metadata.set(HOSTILE, HOSTILE);
  return encodeModel(model);
}

const isClean = ({ stdout, stderr }: Outcome): boolean => !OBEYED.test(stdout) && !OBEYED.test(stderr);
const forged = ({ stdout, stderr }: Outcome): string[] =>
  `${stdout}\n${stderr}`.split("\n").filter((line) => line.startsWith("written to /etc"));

describe("row 98: names that a terminal would obey are escaped", () => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
  const path = join(folder, `model${HOSTILE.replaceAll("/", "")}.onnx`);
  writeFileSync(path, hostileModel());
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ["inspect", ["inspect", path]],
    ["inspect --text", ["inspect", path, "--text"]],
    ["inspect --explain", ["inspect", path, "--explain"]],
    ["insert", ["insert", path, "--dry-run"]],
    ["diff", ["diff", path, join(DIGITS, "eval_model.onnx")]],
  ])("in the result of %s", async (_, args) => {
    const plain = await command(args);
    expect([plain.status, plain.stdout.includes(ESCAPED), isClean(plain), forged(plain)]).toEqual([0, true, true, []]);
    const json = await command([...args, "--json"]);
    expect([json.status, isClean(json), json.stdout.split("\n").length]).toEqual([0, true, 2]);
    expect(JSON.stringify(JSON.parse(json.stdout))).toContain(JSON.stringify(HOSTILE).slice(1, -1));
  });

  it("in narration and in errors, with their stacks", async () => {
    const refused = await command(["strip", path, "--dry-run", "--debug"]);
    expect([refused.status, isClean(refused), forged(refused)]).toEqual([4, true, []]);
    const file = `missing${HOSTILE.replaceAll("/", "")}`;
    for (const args of [
      [file],
      ["inspect", file],
      ["inspect", DIGITS, `--x${HOSTILE}`],
      ["train", DIGITS, "--data", file],
    ]) {
      const plain = await command([...args, "--debug"]);
      expect([plain.status === 0, isClean(plain), plain.stderr.includes("\\u001b[2J")]).toEqual([false, true, true]);
      const json = await command([...args, "--json"]);
      expect([isClean(json), JSON.parse(json.stderr)]).toEqual([true, { schemaVersion: 1, error: expect.any(Object) }]);
    }
  });
});

describe("the commands", () => {
  it.each([
    ["nothing", [], /^Usage: onnx-agr /],
    ["options alone", ["--quiet"], /^Usage: onnx-agr /],
    ["nothing but --json", ["--json"], /"code":"E_USAGE".*there is no command/],
    ["a file", ["model.onnx"], /\[E_USAGE\] model\.onnx is no command.*onnx-agr inspect model\.onnx/],
    ["a folder that exists", [DIGITS], /is no command.*onnx-agr inspect /],
    ["a name nearly right", ["insrt", DIGITS], /unknown command 'insrt' \(Did you mean insert\?\)/],
    [
      "help of a name nearly right",
      ["help", "insrt"],
      /^error \[E_USAGE\] unknown command 'insrt' \(Did you mean insert\?\)[^\n]*\n$/,
    ],
    ["a name of every object", ["constructor"], /unknown command 'constructor'/],
    ["a command alone", ["export"], /required option '-o, --output <file>' not specified. See onnx-agr export --help/],
    ["a command without its argument", ["inspect"], /missing required argument 'input'. See onnx-agr inspect --help/],
    [
      "a mandatory option mistyped",
      ["train", DIGITS, "--dta=x.npz"],
      /option '--data <file>' not specified, and there is no option '--dta'/,
    ],
  ])("row 77: given %s say what is missing and end with 2", async (_, args, message) => {
    const { status, stdout, stderr } = await command(args);
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringMatching(message)]);
  });

  it("have a help that lists them all, and one of each", async () => {
    const { status, stdout } = await command(["--help"]);
    const names = [...stdout.matchAll(/^ {2}([a-z]+) .*$/gm)].map(([, name = ""]) => name);
    expect([status, names]).toEqual([
      0,
      expect.arrayContaining(["inspect", "insert", "build", "train", "export", "demo"]),
    ]);
    expect((await command(["help", "train"])).stdout).toBe((await command(["train", "--help"])).stdout);
  });

  it("row 77: refuse numbers that are none, and options that exclude each other", async () => {
    const output = join(temporaryFolder(), "out");
    const data = join(temporaryFolder(), "digits.safetensors");
    writeFileSync(data, encodeSafetensors(drawDigits(10, 1)));
    const train = ["train", DIGITS, "--data", data, "-o", output];
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[...train, "--lr", "NaN"], /'--lr <rate>' argument 'NaN' is invalid. It must be a finite number from 0 on/],
      [[...train, "--lr=-0.1"], /'--lr <rate>' argument '-0.1' is invalid/],
      [[...train, "--lr", "1e999"], /'--lr <rate>' argument '1e999' is invalid/],
      [[...train, "--epochs", "0"], /'--epochs <n>' argument '0' is invalid. It must be a whole number from 1 on/],
      [[...train, "--epochs", "1.5"], /'--epochs <n>' argument '1.5' is invalid/],
      [[...train, "--batch-size", "0x10"], /'--batch-size <n>' argument '0x10' is invalid/],
      [[...train, "--seed", ""], /'--seed <n>' argument '' is invalid/],
      [[...train, "--epoch", "3"], /unknown option '--epoch' \(Did you mean --epochs\?\)/],
      [[...train, "--resume", "run", "--init-from", "run"], /--resume and --init-from cannot be given together/],
      [["insert", DIGITS, "-o", output, "--in-place"], /--output and --in-place exclude each other/],
    ];
    for (const [args, message] of cases) {
      const { status, stdout, stderr } = await command(args);
      expect([status, stdout, stderr]).toEqual([2, "", expect.stringMatching(message)]);
    }
    expect(existsSync(output)).toBe(false);
  });
});

/** Runs the command on a terminal of 80 columns and gives what it wrote there. */
function onTerminal(args: readonly string[]): string {
  const command = ["stty cols 80", [process.execPath, MAIN, ...args].map((each) => `'${each}'`).join(" ")].join("; ");
  const { stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    timeout: 60_000,
    cwd: temporaryFolder(),
    env: { ...process.env, CI: undefined, NO_COLOR: "1" },
  });
  return stdout;
}

describe.skipIf(spawnSync("script", ["--version"]).status !== 0)("on a terminal", () => {
  it("progress fits 80 columns and tells the time left; a line per epoch stays", () => {
    const data = join(temporaryFolder(), "digits.safetensors");
    writeFileSync(data, encodeSafetensors(drawDigits(640, 1)));
    const written = onTerminal(["train", DIGITS, "--data", data, "--epochs", "3"]);
    const drawn = written.replaceAll("\r\u001b[2K", "\n").split(/\r?\n/);
    const live = drawn.filter((line) => line.startsWith("["));
    expect(live.length).toBeGreaterThan(2);
    for (const line of live)
      expect(line).toMatch(/^\[[#-]{10}\] +\d+ % {2}\d+:\d\d left {2}loss [\d.]+ {2}epoch \d\/3/);
    expect(Math.max(...drawn.slice(0, -2).map((line) => line.length))).toBeLessThan(80);
    const kept = drawn.filter((line) => /^epoch \d\/3 {2}loss [\d.]+ {2}\d+ samples\/s {2}[\d.]+ s$/.test(line));
    expect(kept.map((line) => line.slice(0, 9))).toEqual(["epoch 1/3", "epoch 2/3", "epoch 3/3"]);
  });

  it("row 74: a model does not go there", () => {
    const input = join(DIGITS, "optimizer_model.onnx");
    expect(onTerminal(["insert", input, "-o", "-"])).toMatch(/\[E_TERMINAL\] a model is not for the terminal/);
    expect(onTerminal(["inspect", "-"])).toMatch(/\[E_TERMINAL\] a model cannot be typed in/);
  });
});
