import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cli } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { workplace } from "../support/workplace.ts";

const bomb = (): string => {
  const line = (name: string, of: string): string =>
    `${name}: &${name} [${Array.from({ length: 9 }, () => of).join(", ")}]`;
  return [line("a", "x"), line("b", "*a"), line("c", "*b"), line("d", "*c"), "train: { epochs: *d }"].join("\n");
};

describe("row 78: a configuration file is refused that", () => {
  it.each<readonly [string, string, string | Uint8Array, RegExp]>([
    ["has an unknown option", "yaml", "train:\n  epoch: 3\n", /train\.epoch is no option.*train --help/],
    ["has an unknown command", "toml", "[tarin]\nepochs = 3\n", /tarin is no command.*The commands: .*train/],
    ["has a wrong type", "json", '{ "train": { "epochs": "3" } }', /train\.epochs must be a number; it is "3"/],
    ["has text for a switch", "yaml", "build: { agr: yes }", /build\.agr must be true or false; it is "yes"/],
    ["has true for a value", "json", '{ "train": { "data": true } }', /train\.data must be text; it is true/],
    ["has nothing for a value", "yaml", "train:\n  lr:\n", /train\.lr must be a number; it is nothing/],
    ["has a list for a number", "toml", "[train]\nepochs = [1]\n", /train\.epochs must be a number; it is a list/],
    [
      "has a number out of range",
      "yaml",
      "train: { epochs: 0 }",
      /train\.epochs is 0: It must be a whole number from 1/,
    ],
    ["has infinity", "toml", "[train]\nlr = inf\n", /train\.lr must be a number; it is Infinity/],
    [
      "has a choice that there is not",
      "yaml",
      "build: { optimizer: adamx }",
      /build\.optimizer is "adamx": Allowed choices/,
    ],
    ["has a TOML date", "toml", "[train]\nlog = 1979-05-27\n", /train\.log must be text; it is the date 1979-05-27/],
    ["has a key twice, JSON", "json", '{ "train": { "epochs": 3,\n\t"epochs": 4 } }', /keys must be unique at line 2/],
    ["has a key twice, escaped", "json", '{ "train": {}, "tr\\u0061in": {} }', /keys must be unique/],
    ["has a key twice, YAML", "yaml", "train:\n  epochs: 3\n  epochs: 4\n", /keys must be unique at line 3/],
    ["has a key twice, TOML", "toml", "[train]\nepochs = 3\nepochs = 4\n", /Invalid TOML document/],
    ["has a tag of code", "yaml", "train: { log: !!js/function 'function () { process.exit(99) }' }", /Unresolved tag/],
    ["has a tag of an object", "yaml", "train: !!python/object/apply:os.system ['true']", /Unresolved tag/],
    ["has an alias bomb", "yaml", bomb(), /alias count/],
    ["has two documents", "yaml", "train: {}\n---\nbuild: {}\n", /multiple documents/],
    ["nests too deeply, JSON", "json", `{"a":`.repeat(30_000), /nested deeper/],
    ["nests too deeply, YAML", "yaml", "[".repeat(30_000), /nested deeper/],
    ["nests too deeply, in a line of YAML", "yaml", `train: \n ${"- ".repeat(30_000)}`, /nested deeper/],
    [
      "nests too deeply, by indentation",
      "yaml",
      Array.from({ length: 600 }, (_, at) => `${" ".repeat(at)}a:`).join("\n"),
      /nested deeper/,
    ],
    ["nests too deeply, TOML", "toml", `a = ${"[".repeat(30_000)}`, /nested deeper/],
    ["is too long", "yaml", `# ${"x".repeat(2 ** 20)}`, /has 1048578 bytes/],
    ["is no text", "yaml", Uint8Array.of(0xff, 0xfe, 0x00), /not valid UTF-8/],
    ["is empty", "yaml", "", /must have commands with their options/],
    ["is a list", "json", "[1]", /must have commands with their options/],
    ["breaks off", "json", '{ "train": ', /JSON/],
    ["has a prototype", "json", '{ "__proto__": { "epochs": 3 }, "train": {} }', /__proto__ is no command/],
    ["has a prototype as an option", "yaml", "train: { __proto__: { epochs: 3 } }", /train\.__proto__ is no option/],
    ["has what a function is called", "yaml", "train: { constructor: 3 }", /train\.constructor is no option/],
    ["has no options", "yaml", "train: 5\n", /train must have options/],
    ["has what flags alone say", "yaml", "train: { json: true }", /train\.json is no option/],
  ])("%s", async (_, ending, text, message) => {
    const file = `onnx-agr.config.${ending}`;
    const folder = await workplace({ [file]: text });
    const { status, stdout, stderr } = await command(["train", "artifacts"], { cwd: folder });
    const other = await command(["build", "net.onnx"], { cwd: folder });
    const told = stderr.includes("E_CONFIG") ? { status, stdout, stderr } : other;
    expect([told.status, told.stdout, told.stderr]).toEqual([2, "", expect.stringMatching(message)]);
    expect(told.stderr).toMatch(new RegExp(`^error \\[E_CONFIG\\] ${file.replaceAll(".", "\\.")}: .*\\n$`));
  });

  it("names where it is in JSON", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": "train: { epochs: many }" });
    const { stderr } = await command(["train", "artifacts", "--json"], { cwd: folder });
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: "E_CONFIG", exit: 2, file: "onnx-agr.config.yaml", field: "train.epochs" },
    });
  });

  it("is one of two, is not there, is a folder, or has another ending", async () => {
    const folder = await workplace({
      "onnx-agr.config.yaml": "{}",
      "onnx-agr.config.toml": "",
      "x.js": "process.exit(99)",
    });
    const told = async (...args: readonly string[]) => command(["train", "x", ...args], { cwd: folder });
    expect(await told()).toMatchObject({ status: 2, stderr: expect.stringMatching(/E_CONFIG.*there is .* too/) });
    mkdirSync(join(folder, "folder.yaml"));
    expect(await told("--config", "none.yaml")).toMatchObject({
      status: 6,
      stderr: expect.stringContaining("none.yaml"),
    });
    expect(await told("--config", "folder.yaml")).toMatchObject({ status: 6 });
    expect(await told("--config", "x.js")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/none of \.json/),
    });
  });

  it("ends a process in the same way", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": "[".repeat(30_000) });
    expect(cli(["train", "x"], { cwd: folder })).toMatchObject({ status: 2, stdout: "" });
  });
});
