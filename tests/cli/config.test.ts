import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { keysOf, valueIn } from "../../src/cli/config/keys.ts";
import { command } from "../support/command.ts";
import { errorOf } from "../support/errors.ts";
import { workplace } from "../support/workplace.ts";

interface Printed {
  readonly file: string | null;
  readonly options: readonly { readonly option: string; readonly value: unknown; readonly from: string }[];
}

async function printed(cwd: string, ...args: readonly string[]): Promise<Printed> {
  const { status, stdout, stderr } = await command([...args, "--print-config", "--json"], { cwd });
  expect([status, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as Printed;
}

async function valuesOf(cwd: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { options } = await printed(cwd, ...args);
  return Object.fromEntries(options.map(({ option, value, from }) => [option, [value, from]]));
}

const YAML = `
# what both have
build:
  arguments: net.onnx
  output: artifacts
  loss: cross-entropy
  agr: true
  betas: [0.9, 0.99]
  freeze: ["fc0.*"]
  dim: { batch: 8 }
  group: "*.bias:decay=0"
train:
  arguments: [artifacts]
  data: data.safetensors
  epochs: 2
  lr: 0.01
  shuffle: false
  checkpoints: run
`;

describe("a configuration file", () => {
  it("says what the flags say: the artifacts and the training are those of the flags", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": YAML });
    const build = await command(["build"], { cwd: folder });
    expect([build.status, build.stderr]).toEqual([
      0,
      expect.stringContaining("from onnx-agr.config.yaml: net.onnx, output, loss, agr, betas, freeze, dim, group"),
    ]);
    const flags = ["--loss", "cross-entropy", "--agr", "--betas", "0.9,0.99", "--freeze", "fc0.*", "--dim", "batch=8"];
    const own = ["build", "net.onnx", "-o", "own", ...flags, "--group", "*.bias:decay=0", "--no-config"];
    expect((await command(own, { cwd: folder })).status).toBe(0);
    for (const name of ["train_step.onnx", "state.safetensors"])
      expect(readFileSync(join(folder, "artifacts", name))).toEqual(readFileSync(join(folder, "own", name)));
    const { status, stdout } = await command(["train"], { cwd: folder });
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^16 of 16 steps.*run saved in run$/m)]);
  });

  it("gives way to the line, repeated options too", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": YAML });
    const train = await valuesOf(folder, "train", "--epochs", "5", "--drop-last");
    expect(train).toMatchObject({
      arguments: [["artifacts"], "onnx-agr.config.yaml"],
      epochs: [5, "flag"],
      lr: [0.01, "onnx-agr.config.yaml"],
      shuffle: [false, "onnx-agr.config.yaml"],
      "drop-last": [true, "flag"],
      seed: [0, "default"],
      resume: [null, "none"],
    });
    const build = await valuesOf(folder, "build", "other.onnx", "--freeze", "fc1.*", "--dim", "batch=2");
    expect(build).toMatchObject({
      arguments: [["other.onnx"], "line"],
      freeze: [["fc1.*"], "flag"],
      dim: [{ batch: 2 }, "flag"],
      betas: [[0.9, 0.99], "onnx-agr.config.yaml"],
      group: [[{ parameters: ["*.bias"], weightDecay: 0 }], "onnx-agr.config.yaml"],
    });
    expect((await command(["build", "--freeze", "fc1.*"], { cwd: folder })).stdout).toMatch(/ {2}fc0\.weight/);
  });

  it.each([
    [
      "json",
      `{ "$schema": "x", "train": { "epochs": 3, "allow-mismatch": ["seed", "data"], "label": false, "input": { "h": "constant:0" } } }`,
    ],
    ["yml", `train: { epochs: 3, allow-mismatch: "seed,data", label: false, input: [h=constant:0] }`],
    ["toml", `[train]\nepochs = 3\nallow-mismatch = ["seed", "data"]\nlabel = false\ninput.h = "constant:0"\n`],
  ])("may be %s, with the same values", async (ending, text) => {
    const folder = await workplace({ [`mine.${ending}`]: text });
    const file = `mine.${ending}`;
    expect(await valuesOf(folder, "train", "--config", file)).toMatchObject({
      ...{
        epochs: [3, file],
        "allow-mismatch": [["seed", "data"], file],
        input: [{ h: 0 }, file],
        label: [false, file],
      },
    });
  });

  it("may be the one that the docs have", async () => {
    const docs = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const [, block = ""] = /^ {4}# onnx-agr\.config\.yaml\n((?: {4}.*\n)+)/m.exec(docs) ?? [];
    const folder = await workplace({ "onnx-agr.config.yaml": block.replace(/^ {4}/gm, "") });
    const file = "onnx-agr.config.yaml";
    expect(await valuesOf(folder, "build")).toMatchObject({ betas: [[0.9, 0.99], file], agr: [true, file] });
    expect(await valuesOf(folder, "train", "--epochs", "10")).toMatchObject({
      ...{ arguments: [["artifacts"], file], epochs: [10, "flag"], shuffle: [false, file] },
    });
  });

  it("of option sets is a table", async () => {
    const text = `[compare]\nseeds = 3\nsweep-lr = [0.01, 0.1]\n[compare.vary]\nagr = ["off", "on"]\nbetas = ["0.9,0.99", "default"]\n`;
    const folder = await workplace({ "onnx-agr.config.toml": text });
    const { vary, seeds, "sweep-lr": rates } = await valuesOf(folder, "compare");
    expect([seeds, rates, vary]).toEqual([
      [[1, 2, 3], "onnx-agr.config.toml"],
      [[0.01, 0.1], "onnx-agr.config.toml"],
      [
        [
          { option: "agr", values: ["off", "on"] },
          { option: "betas", values: ["0.9,0.99", "default"] },
        ],
        "onnx-agr.config.toml",
      ],
    ]);
  });

  it("is told, and is not read for help or with --no-config", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": "train: { epochs: nonsense }" });
    expect((await command(["train", "--help"], { cwd: folder })).status).toBe(0);
    expect((await command(["inspect", "net.onnx"], { cwd: folder })).status).toBe(0);
    expect((await command(["train", "--no-config"], { cwd: folder })).stderr).toMatch(
      /missing required argument|required option/,
    );
    expect((await command(["train"], { cwd: folder })).stderr).toContain("E_CONFIG");
  });

  it("--print-config says where each comes from", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": YAML });
    const { status, stdout } = await command(["train", "--epochs", "9", "--print-config"], { cwd: folder });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^epochs +9 {2}\(flag\)$/m);
    expect(stdout).toMatch(/^lr +0\.01 {2}\(onnx-agr\.config\.yaml\)$/m);
    expect(stdout).toMatch(/^seed +0 {2}\(default\)$/m);
    expect(stdout).toMatch(/^resume +not given$/m);
    expect(existsSync(join(folder, "run"))).toBe(false);
    expect((await printed(folder, "build", "--no-config")).file).toBeNull();
  });

  it("goes before a mandatory option is missed, and not before a missing value", async () => {
    const folder = await workplace({ "onnx-agr.config.yaml": "gradcheck: { loss: cross-entropy }" });
    const { status, stdout } = await command(["gradcheck", "net.onnx"], { cwd: folder });
    expect([status, stdout]).toEqual([0, expect.stringContaining("fc0.weight")]);
    expect((await command(["gradcheck", "net.onnx", "--loss"], { cwd: folder })).status).toBe(2);
  });
});

describe("the keys of every command", () => {
  it.each(Object.entries(COMMANDS))(
    "%s: a repeated option keeps what came before, any other replaces it",
    async (_, { load }) => {
      for (const key of keysOf(await load(process))) {
        expect(key.description, key.name).not.toBe("");
        const says = /repeatable/.test(key.description);
        expect([key.name, key.kind === "repeated" || key.kind === "table"]).toEqual([
          key.name,
          says || key.option?.variadic === true,
        ]);
      }
    },
  );

  it("refuse what no option takes", async () => {
    const build = await COMMANDS["build"]?.load(process);
    if (build === undefined) throw new Error("there is no build");
    const key = keysOf(build).find(({ name }) => name === "dim");
    if (key === undefined) throw new Error("there is no --dim");
    expect(valueIn("f", "build.dim", key, { batch: 3 })).toEqual({ batch: 3 });
    expect(errorOf(() => valueIn("f", "build.dim", key, { batch: true })).code).toBe("E_CONFIG");
    expect(errorOf(() => valueIn("f", "build.dim", key, { batch: 0.5 })).message).toMatch(/Give a name and a size/);
  });
});
