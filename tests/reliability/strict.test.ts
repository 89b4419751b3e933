import { once } from "node:events";
import { cpSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { SET_MANIFEST } from "../../src/entries/training.ts";
import { readMessage } from "../../src/graph/proto/read.ts";
import { MODEL, type TensorProto } from "../../src/graph/proto/schema.ts";
import { lowerArtifacts, readArtifacts, readModel, writePortable } from "../../src/index.ts";
import { encodeProto } from "../graph/serde/full-model.ts";
import { cli, DIGITS } from "../support/cli.ts";
import { failureOf } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

type Entry = readonly [key: string, value: string];

const external = (name: string, ...entries: readonly Entry[]): TensorProto => ({
  name,
  ...{ dims: [2n], dataType: 1, dataLocation: 1 },
  externalData: entries.map(([key, value]) => ({ key, value })),
});
const range = (location: string, offset: number): readonly Entry[] => [
  ["location", location],
  ["offset", `${offset}`],
  ["length", "8"],
];

/** What ONNX allows about external data and a strict reading refuses. */
const ODDITIES: readonly (readonly [string, readonly TensorProto[], RegExp])[] = [
  ["row 40: a hard link", [external("w", ...range("linked.bin", 0))], /linked\.bin is a hard link/],
  ["row 42: an unknown key", [external("w", ...range("w.bin", 0), ["__proto__", "x"])], /not define.*"__proto__"/],
  ["row 42: a key that is there twice", [external("w", ...range("w.bin", 0), ["length", "4"])], /twice.*"length"/],
  [
    "row 46: ranges that overlap",
    [external("v", ...range("w.bin", 0)), external("w", ...range("w.bin", 4))],
    /"v" and "w" overlap/,
  ],
  [
    "row 46: ranges that overlap under two names of a file",
    [external("v", ...range("w.bin", 0)), external("w", ...range("./w.bin", 4))],
    /"v" and "w" overlap/,
  ],
];

function placed(initializer: readonly TensorProto[], folder = temporaryFolder()): string {
  writeFileSync(join(folder, "w.bin"), new Uint8Array(64));
  writeFileSync(join(folder, "linked.source"), new Uint8Array(64));
  linkSync(join(folder, "linked.source"), join(folder, "linked.bin"));
  const path = join(folder, "model.onnx");
  writeFileSync(
    path,
    encodeProto({
      irVersion: 8n,
      opsetImport: [{ version: 17n }],
      graph: { name: "g", initializer: [...initializer] },
    }),
  );
  return path;
}

describe("what is odd about external data", () => {
  it.each(ODDITIES)("%s is told, and refused by a strict reading", async (_, tensors, message) => {
    const path = placed(tensors);
    const warned = once(process, "warning");
    await readModel(path);
    expect(await warned).toMatchObject([{ code: "W_EXTERNAL_DATA", message: expect.stringMatching(message) }]);
    const error = await failureOf(["inspect", path, "--strict"]);
    expect([error.exitCode, error.message]).toEqual([3, expect.stringMatching(message)]);
  });

  it("row 40: ends the process with 3 under --strict alone", () => {
    const path = placed([external("w", ...range("linked.bin", 0))]);
    const plain = cli(["inspect", path]);
    expect([plain.status, plain.stderr]).toEqual([0, expect.stringMatching(/^warning: .*hard link\n$/)]);
    const strict = cli(["inspect", path, "--strict"]);
    expect([strict.status, strict.stdout]).toEqual([3, ""]);
    expect(strict.stderr).toMatch(/^error \[E_EXTERNAL_ODD\].*hard link.*without it, it is a warning\.\n$/);
  });
});

describe("row 40: --strict reaches the model that a command reads", () => {
  const [, tensors] = ODDITIES[0] ?? ["", []];
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
  const [own, portable, out] = ["own", "portable", "out"].map((name) => join(folder, name)) as [string, string, string];
  const model = placed(tensors, folder);
  afterAll(() => rmSync(folder, { recursive: true }));

  function spoiled(file: string): Uint8Array {
    const proto = readMessage(MODEL, readFileSync(file));
    return encodeProto({ ...proto, graph: { ...proto.graph, initializer: [...tensors] } });
  }

  beforeAll(async () => {
    cpSync(DIGITS, own, { recursive: true });
    placed(tensors, own);
    writeFileSync(join(own, "eval_model.onnx"), spoiled(join(own, "eval_model.onnx")));
    mkdirSync(portable);
    await writePortable(portable, await lowerArtifacts(await readArtifacts(DIGITS)));
    rmSync(join(portable, SET_MANIFEST));
    placed(tensors, portable);
    writeFileSync(join(portable, "apply.onnx"), spoiled(join(portable, "apply.onnx")));
  });

  const COMMAND_LINES: Readonly<Record<string, readonly string[]>> = {
    inspect: ["inspect", own],
    insert: ["insert", own, "-o", out],
    strip: ["strip", model, "-o", out],
    verify: ["verify", own],
    diff: ["diff", DIGITS, own],
    summary: ["summary", model],
    build: ["build", model, "--loss", "mse", "-o", out],
    gradcheck: ["gradcheck", model, "--loss", "mse"],
    lower: ["lower", own, "-o", out],
    transform: ["transform", model, "-o", out, "--passes", "inline-functions"],
    upgrade: ["upgrade", model, "-o", out],
    compare: ["compare", model, "--loss", "mse", "--data", "none", "--validation", "0.1", "-o", out],
    train: ["train", own, "--data", "none"],
    eval: ["eval", own, "--data", "none"],
    diagnose: ["diagnose", own, "--data", "none"],
    export: ["export", own, "-o", out],
  };

  it("is an option of every command that reads models", () => {
    expect([...Object.keys(COMMAND_LINES), "demo", "data", "average", "completion"].toSorted()).toEqual(
      Object.keys(COMMANDS).toSorted(),
    );
  });

  it.each(Object.entries(COMMAND_LINES))("%s", async (_, args) => {
    expect(await failureOf([...args, "--strict"])).toMatchObject({ code: "E_EXTERNAL_ODD", exitCode: 3 });
  });

  it("the models of a portable set too", async () => {
    for (const args of [
      ["inspect", portable],
      ["export", portable, "-o", out],
    ]) {
      expect(await failureOf([...args, "--strict"])).toMatchObject({ code: "E_EXTERNAL_ODD", exitCode: 3 });
    }
  });
});
