import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { SET_MANIFEST } from "../../src/entries/training.ts";
import { cliBytes, DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const FILES = ["checkpoint", "eval_model.onnx", "optimizer_model.onnx", "training_model.onnx"];
const withManifest = (names: readonly string[]): string[] => [...names, SET_MANIFEST].sort();
const same = (a: string, b: string): boolean => Buffer.compare(readFileSync(a), readFileSync(b)) === 0;

describe("insert and strip", () => {
  it("of a folder: AGR in, the other files as they were, and out again byte for byte", async () => {
    const [out, back] = [join(temporaryFolder(), "agr"), join(temporaryFolder(), "back")];
    const inserted = await command(["insert", DIGITS, "-o", out]);
    expect([inserted.status, inserted.stderr]).toEqual([0, ""]);
    expect(inserted.stdout).toContain("one AGR node per gradient, scope tensor, strength 1");
    expect(inserted.stdout).toContain(
      "regularized: conv1.weight, conv1.bias, conv2.weight, conv2.bias, fc.weight, fc.bias",
    );
    expect(readdirSync(out).sort()).toEqual(withManifest(FILES));
    for (const name of FILES)
      expect(same(join(out, name), join(DIGITS, name)), name).toBe(name !== "optimizer_model.onnx");
    const stripped = await command(["strip", out, "-o", back]);
    expect([stripped.status, stripped.stderr]).toEqual([0, ""]);
    for (const name of FILES) expect(same(join(back, name), join(DIGITS, name)), name).toBe(true);
  });

  it("of a file alone: one SequenceMap", async () => {
    const out = join(temporaryFolder(), "agr.onnx");
    const { status, stdout } = await command([
      "insert",
      join(DIGITS, "optimizer_model.onnx"),
      "-o",
      out,
      "--json",
      "--min-rank",
      "2",
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      schemaVersion: 1,
      command: "insert",
      output: out,
      changed: 1,
      structure: "map",
      dialect: "ort-sequence",
      edges: [{ from: "gradients", to: "onnx-agr/gradients/SequenceMap:out" }],
      options: { minRank: 2 },
    });
    expect(decodeModel(readFileSync(out)).graph.nodes.filter(({ opType }) => opType === "SequenceMap")).toHaveLength(1);
  });

  it("from stdin to stdout", () => {
    const original = encodeModel(makeOptimizer());
    const inserted = cliBytes(["insert", "-", "-o", "-", "--count", "3"], original);
    expect(inserted.status).toBe(0);
    expect(decodeModel(inserted.stdout).graph.nodes.filter(({ opType }) => opType === "AGR")).toHaveLength(3);
    expect(Buffer.compare(cliBytes(["strip", "-", "-o", "-"], inserted.stdout).stdout, original)).toBe(0);
  });

  it("row 26: in place, twice: the second changes nothing and says so", async () => {
    const folder = join(temporaryFolder(), "artifacts");
    cpSync(DIGITS, folder, { recursive: true });
    expect((await command(["insert", folder, "--in-place"])).status).toBe(0);
    const bytes = readFileSync(join(folder, "optimizer_model.onnx"));
    const again = await command(["insert", folder, "--in-place"]);
    expect([again.status, again.stderr]).toEqual([0, "AGR was already there with these options; nothing changed\n"]);
    expect(Buffer.compare(readFileSync(join(folder, "optimizer_model.onnx")), bytes)).toBe(0);
    const strict = await command(["insert", folder, "--in-place", "--fail-if-present"]);
    expect([strict.status, strict.stderr]).toEqual([4, expect.stringMatching(/^error \[E_AGR_PRESENT\]/)]);
    expect((await command(["strip", folder, "--in-place"])).status).toBe(0);
    expect((await command(["strip", folder, "--in-place"])).status).toBe(4);
  });

  it("with names that JavaScript, shells and terminals take for something else", async () => {
    const folder = temporaryFolder();
    const name = join(folder, "__proto__ $(x)\n ünïcode.onnx");
    writeFileSync(name, encodeModel(makeOptimizer()));
    const out = join(folder, "out dir");
    mkdirSync(out);
    expect((await command(["insert", name, "-o", join(out, "a b.onnx")])).status).toBe(0);
    const missing = await command(["insert", `${name}x`, "-o", join(out, "c")]);
    expect(missing.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("--verify runs what was inserted, and says what it found", async () => {
    const folder = temporaryFolder();
    const artifacts = await command(["insert", DIGITS, "-o", join(folder, "agr"), "--verify"]);
    expect(artifacts.status).toBe(0);
    expect(artifacts.stderr).toMatch(
      /gradients: 1 edges, what the optimizer reads is the formula to within \d\.\de-\d+ of the largest entry\n {2}whole graph: not run: its input "params" is seq\(float\)/,
    );
    writeFileSync(join(folder, "step.onnx"), encodeModel(makePlainStep({ update: "adan" })));
    const step = await command([
      "insert",
      join(folder, "step.onnx"),
      "-o",
      join(folder, "out.onnx"),
      "--verify",
      "--json",
    ]);
    expect([step.status, step.stderr]).toEqual([0, ""]);
    expect(JSON.parse(step.stdout)).toMatchObject({
      verification: { seed: 0, identicalAtStrengthZero: true, edges: [{ gradient: expect.any(String) }, {}] },
    });
  });

  it("--dry-run tells and writes nothing", async () => {
    const folder = temporaryFolder();
    const { status, stdout } = await command(["insert", DIGITS, "--dry-run"], { cwd: folder });
    expect([status, stdout.includes("nothing written (--dry-run)")]).toEqual([0, true]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("errors: exit code, one line, nothing written", () => {
  const input = join(DIGITS, "optimizer_model.onnx");
  const cases: readonly (readonly [string, (folder: string) => readonly string[], number, RegExp])[] = [
    [
      "row 1: a missing file",
      (to) => ["insert", "missing.onnx", "-o", join(to, "o")],
      3,
      /\[E_NO_FILE\] missing\.onnx: no such file/,
    ],
    ["no output", () => ["insert", input], 2, /\[E_OPTION\] there is no output\. Give -o/],
    ["the input as output", () => ["insert", input, "-o", input], 2, /\[E_OUTPUT_IS_INPUT\].*--in-place/],
    ["both outputs", () => ["insert", input, "-o", "x", "--in-place"], 2, /exclude each other/],
    [
      "a folder that does not exist",
      (to) => ["insert", input, "-o", join(to, "no", "o")],
      6,
      /\[E_FILE_SYSTEM\] cannot write into .*: no such file or folder/,
    ],
    [
      "row 25: a model without optimizer",
      (to) => ["insert", join(DIGITS, "eval_model.onnx"), "-o", join(to, "o")],
      4,
      /\[E_NO_OPTIMIZER\] no optimizer was found; nearest: the graph: .*looked for .*com\.microsoft AdamWOptimizer/,
    ],
    [
      "a checkpoint for a model",
      (to) => ["insert", join(DIGITS, "checkpoint"), "-o", join(to, "o")],
      3,
      /\[E_NOT_ONNX\].*checkpoint: this is an ONNX Runtime training checkpoint/,
    ],
    [
      "a folder without artifacts",
      (to) => ["insert", to, "-o", join(to, "o")],
      3,
      /\[E_NO_ARTIFACTS\].*training_model\.onnx/,
    ],
    [
      "an unknown option",
      (to) => ["insert", input, "-o", join(to, "o"), "--strenght", "1"],
      2,
      /\[E_USAGE\] unknown option '--strenght' \(Did you mean --strength\?\)/,
    ],
    ["an unknown command", () => ["insret"], 2, /unknown command 'insret' \(Did you mean insert\?\)/],
    [
      "a wrong number",
      (to) => ["insert", input, "-o", join(to, "o"), "--strength", "much"],
      2,
      /'--strength <number>' argument 'much' is invalid/,
    ],
    ["a negative number", (to) => ["insert", input, "-o", join(to, "o"), "--strength=-1"], 2, /from 0 on/],
    [
      "a wrong choice",
      (to) => ["insert", input, "-o", join(to, "o"), "--scope", "layer"],
      2,
      /Allowed choices are tensor, channel, global/,
    ],
    [
      "names for a lone file",
      (to) => ["insert", input, "-o", join(to, "o"), "--include", "*.weight"],
      4,
      /\[E_SELECTION\].*artifacts folder/,
    ],
    ["nothing to strip", (to) => ["strip", input, "-o", join(to, "o")], 4, /\[E_NO_AGR\]/],
  ];

  it.each(cases)("%s", async (_, args, status, message) => {
    const folder = temporaryFolder();
    const plain = await command(args(folder));
    expect(plain.stderr).toMatch(message);
    expect([plain.status, plain.stdout, plain.stderr.trimEnd().split("\n").length]).toEqual([status, "", 1]);
    const json = await command([...args(folder), "--json"]);
    const { error } = JSON.parse(json.stderr) as { error: { code: string; exit: number; message: string } };
    expect([json.status, json.stdout, error.exit]).toEqual([status, "", status]);
    expect(plain.stderr).toContain(`[${error.code}]`);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("an output that exists is left as it was, without --force", async () => {
    const out = join(temporaryFolder(), "out.onnx");
    writeFileSync(out, "precious");
    const refused = await command(["insert", input, "-o", out]);
    expect([refused.status, readFileSync(out, "utf8")]).toEqual([2, "precious"]);
    expect(refused.stderr).toMatch(/\[E_OUTPUT_EXISTS\].*--force/);
    expect((await command(["insert", input, "-o", out, "--force"])).status).toBe(0);
    expect(decodeModel(readFileSync(out)).metadata.has("onnx-agr")).toBe(true);
  });

  it("an input that is a link to the output counts as the output", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "model.onnx"), encodeModel(makeOptimizer()));
    symlinkSync("model.onnx", join(folder, "link.onnx"));
    expect(
      (await command(["insert", join(folder, "link.onnx"), "-o", join(folder, "model.onnx"), "--force"])).status,
    ).toBe(2);
  });

  it("a folder that could not be filled is not left behind", async () => {
    const broken = join(temporaryFolder(), "broken");
    cpSync(DIGITS, broken, { recursive: true });
    writeFileSync(join(broken, "eval_model.onnx"), "<html>");
    const out = join(temporaryFolder(), "out");
    const { status, stderr } = await command(["insert", broken, "-o", out]);
    expect([status, existsSync(out)]).toEqual([3, false]);
    expect(stderr).toMatch(/eval_model\.onnx: this is an HTML page/);
  });

  it("--debug adds the stack", async () => {
    expect((await command(["insert", "missing.onnx", "-o", "o", "--debug"])).stderr).toMatch(/\n\s+at /);
  });
});
