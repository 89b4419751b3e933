import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeGpt } from "../fixtures/gpt.ts";
import { makeMlpArtifacts } from "../fixtures/mlp.ts";
import { drawDigits } from "../src/cli/demo/digits.ts";
import { encodeModel } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { readArtifacts, TrainingSession, verifyFinished } from "../src/index.ts";
import { cli, DIGITS } from "./support/cli.ts";
import { sentences, tokenizer } from "./support/sentences.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const FILES = readdirSync(EXAMPLES).filter((name) => name.endsWith(".mjs"));

/** What the examples are given; they import the package by its name, as it is built. */
let project = "";
const path = (name: string): string => join(project, name);

const example = (name: string, ...args: readonly string[]) =>
  spawnSync(process.execPath, [join(EXAMPLES, name), ...args], { cwd: project, encoding: "utf8", timeout: 60_000 });

/** Three kinds of flowers, told by the sizes of their leaves; 60 rows of each. */
function flowers(): string {
  const kinds = { aster: [5, 3.4, 1.5, 0.3], dahlia: [6, 2.8, 4.3, 1.3], rose: [6.6, 3, 5.6, 2.1] } as const;
  const rows = Object.entries(kinds).flatMap(([kind, means], which) =>
    Array.from({ length: 60 }, (_, row) => {
      const sizes = means.map((mean, column) => (mean + 0.4 * Math.sin(7 * row + 3 * column + which)).toFixed(2));
      return [...sizes, kind].join();
    }),
  );
  return ["sepal length,sepal width,petal length,petal width,species", ...rows].join("\n");
}

/** Scores of a model for one digit after another: how many it tells right. */
async function rightOf(model: string | Uint8Array): Promise<number> {
  const session = await InferenceSession.create(model as string);
  const [images, labels] = ["input", "labels"].map((name) =>
    Array.from(
      drawDigits(100, 9)
        .find((each) => each.name === name)
        ?.tensor.values() ?? [],
      Number,
    ),
  );
  let right = 0;
  for (let at = 0; at < 100; at++) {
    const pixels = Float32Array.from(images?.slice(256 * at, 256 * (at + 1)) ?? []);
    const results = await session.run({ input: new Tensor("float32", pixels, [1, 1, 16, 16]) });
    const scores = Array.from(Object.values(results)[0]?.data ?? [], Number);
    if (scores.indexOf(Math.max(...scores)) === labels?.[at]) right++;
  }
  return right;
}

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "onnx-agr-examples-"));
  cpSync(DIGITS, path("artifacts"), { recursive: true, filter: (from) => !from.endsWith(".ts") });
  writeFileSync(path("train.safetensors"), encodeSafetensors(drawDigits(640, 1)));
  writeFileSync(path("flowers.csv"), flowers());
  writeFileSync(path("corpus.txt"), sentences(600).join("\n"));
  const size = { layers: 1, width: 32, heads: 2, context: 16, vocabulary: 874 };
  writeFileSync(path("gpt.onnx"), encodeModel(makeGpt(size, 16)));
  expect(cli(["export", "artifacts", "-o", "model.onnx"], { cwd: project }).status).toBe(0);
  const session = await TrainingSession.create(makeMlpArtifacts([4, 16, 3]));
  writeFileSync(path("mlp.onnx"), await session.exportModel());
  await session.release();
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

describe("the examples", () => {
  it("are those that are tested here, and README lists them", () => {
    expect(FILES).toEqual(["pipeline.mjs", "server.mjs", "tabular.mjs", "text.mjs", "train.mjs"]);
    const text = readFileSync(join(EXAMPLES, "README.md"), "utf8");
    for (const name of FILES) expect(text).toContain(`](${name})`);
  });

  it("have no wrong types", () => {
    const flags = ["--checkJs", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--skipLibCheck"];
    const files = FILES.map((name) => join(EXAMPLES, name));
    execFileSync(
      join(ROOT, "node_modules", ".bin", "tsc"),
      ["--ignoreConfig", "--types", "node", ...flags, "--allowJs", ...files],
      { cwd: ROOT, encoding: "utf8" },
    );
  });

  it("train.mjs: a model that tells digits, where the one it began with does not", async () => {
    const { status, stdout, stderr } = example("train.mjs", "model.onnx", "train.safetensors", "trained.onnx");
    expect(status, stderr).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(8);
    expect(await rightOf(path("model.onnx"))).toBeLessThan(30);
    expect(await rightOf(path("trained.onnx"))).toBeGreaterThan(80);
  });

  it("tabular.mjs: a table of words and numbers", () => {
    const { status, stdout, stderr } = example("tabular.mjs", "mlp.onnx", "flowers.csv", "species");
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("mean and deviation of these data");
    const [, accuracy = "", word = ""] = /accuracy (\S+) of 45 rows\nthe first of them is (\w+)/.exec(stdout) ?? [];
    expect(Number(accuracy)).toBeGreaterThan(0.9);
    expect(["aster", "dahlia", "rose"]).toContain(word);
  });

  it("text.mjs: a model of text that is hardly surprised by text of the same grammar", () => {
    const { status, stdout, stderr } = example("text.mjs", "gpt.onnx", "corpus.txt", tokenizer("byte-level-bpe"));
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/corpus\.txt: \d+ tokens in \d+ samples of 16, packed; the next token is to be found/);
    const [, perplexity = "", tokens = ""] = /perplexity (\S+), accuracy \S+ of (\d+) tokens/.exec(stdout) ?? [];
    // One who knows how often each token occurs, and no more, has a perplexity of 20; the grammar leaves 3.
    expect(Number(perplexity)).toBeGreaterThan(2.8);
    expect(Number(perplexity)).toBeLessThan(10);
    expect(Number(tokens) % 16).toBe(0);
  });

  it("pipeline.mjs: artifacts with AGR and a proof; nothing is written where they cannot be edited", async () => {
    const { status, stdout, stderr } = example("pipeline.mjs", "artifacts", "artifacts-agr");
    expect(status, stderr).toBe(0);
    const told = JSON.parse(stdout) as { readonly changed: number; readonly checks: readonly unknown[] };
    expect(told.checks).toContainEqual(["formula", true]);
    const { optimizerModel } = await readArtifacts(path("artifacts-agr"));
    if (optimizerModel === null) throw new Error("no optimizer model was written");
    expect((await verifyFinished(optimizerModel)).passed).toBe(true);
    const again = example("pipeline.mjs", "no-artifacts", "other");
    expect(again.status).not.toBe(0);
    expect(again.stderr).toContain("E_NO_FILE");
    expect(readdirSync(project)).not.toContain("other");
  });

  it("server.mjs: answers while it trains, refuses a second training, and hands out the trained model", async () => {
    expect(
      cli(["build", "model.onnx", "--loss", "cross-entropy", "--agr", "-o", "built"], { cwd: project }).status,
    ).toBe(0);
    const args = [join(EXAMPLES, "server.mjs"), "built", "train.safetensors", "0"];
    const server = spawn(process.execPath, args, { cwd: project, stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise<number | null>((resolve) => server.once("exit", resolve));
    try {
      const url = await new Promise<string>((resolve) =>
        server.stdout.once("data", (text) => resolve(`${text}`.trim())),
      );
      const status = async (): Promise<{ readonly state: string; readonly step: number }> =>
        (await (await fetch(`${url}/status`)).json()) as { readonly state: string; readonly step: number };
      expect((await fetch(`${url}/model`)).status).toBe(409);
      expect((await fetch(`${url}/train?epochs=none`, { method: "POST" })).status).toBe(400);
      expect((await fetch(`${url}/train?epochs=12`, { method: "POST" })).status).toBe(202);
      expect((await fetch(`${url}/train`, { method: "POST" })).status).toBe(409);
      expect((await status()).state).toBe("training");
      while ((await status()).state === "training") await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await status()).toMatchObject({ state: "trained", step: 12 * 20 });
      const model = await fetch(`${url}/model`);
      expect(await rightOf(new Uint8Array(await model.arrayBuffer()))).toBeGreaterThan(80);
    } finally {
      server.kill("SIGTERM");
    }
    expect(await ended).toBe(0);
  });
});
