import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeGpt } from "../../fixtures/gpt.ts";
import { encodeModel } from "../../src/entries/graph.ts";
import { command } from "../support/command.ts";
import { sentences, tokenizer } from "../support/sentences.ts";

const cwd = mkdtempSync(join(tmpdir(), "onnx-agr-text-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
const at = (name: string): string => join(cwd, name);
const SIZE = { layers: 1, width: 32, heads: 2, context: 16 };

/** Runs a command that must succeed. */
async function run(...args: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const outcome = await command(args, { cwd });
  expect(outcome.status, outcome.stderr).toBe(0);
  return outcome;
}

const lossesOf = (log: string): readonly number[] =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === "step" ? [loss] : []));

interface Evaluated {
  readonly accuracy: number;
  readonly perplexity: number;
  readonly loss: number;
}

const [BPE, WORDS] = [
  ["--tokenizer", tokenizer("byte-level-bpe")],
  ["--tokenizer", tokenizer("wordpiece"), "--text", "masked"],
];
const LOSS = ["--loss", "cross-entropy", "--class-axis", "-1"];

beforeAll(async () => {
  writeFileSync(at("train.txt"), `${sentences(600, 1).join("\n")}\n`);
  writeFileSync(at("test.txt"), `${sentences(150, 2).join("\n")}\n`);
  writeFileSync(at("causal.onnx"), encodeModel(makeGpt({ ...SIZE, vocabulary: 874 }, 16)));
  writeFileSync(at("both.onnx"), encodeModel(makeGpt({ ...SIZE, vocabulary: 657 }, 16, false)));
  await run("build", "causal.onnx", ...LOSS, "--agr", "-o", "causal");
  await run("build", "both.onnx", ...LOSS, "--ignore-index", "-100", "-o", "both");
});

describe("text as it comes", () => {
  it("trains a model of the next token, which comes near to what the grammar lets one know", async () => {
    const { stderr } = await run(
      ...["train", "causal", "--data", "train.txt", ...BPE, "--epochs", "8", "--batch-size", "16", "--lr", "0.01"],
      ...["--validation", "test.txt", "--checkpoints", "causal-run"],
    );
    expect(stderr).toMatch(/train\.txt: \d+ tokens in \d+ samples of 16, packed; the next token is to be found/);
    expect(stderr).toMatch(/validation: loss .*perplexity/);
    const { stdout } = await run(
      "eval",
      "causal",
      "--checkpoint",
      "causal-run",
      "--data",
      "test.txt",
      ...BPE,
      "--json",
    );
    const { accuracy, perplexity, loss } = JSON.parse(stdout) as Evaluated;
    // Of nine tokens of a sentence three are one of seven words, two are one of eight, and four are certain.
    const entropy = (3 * Math.log(7) + 2 * Math.log(8)) / 9;
    expect(perplexity).toBeGreaterThan(0.95 * Math.exp(entropy));
    // Half as much more after a few steps; what knows the words' frequencies alone has 20.
    expect(perplexity).toBeLessThan(1.5 * Math.exp(entropy));
    expect(Math.exp(loss)).toBeCloseTo(perplexity, 1);
    const best = (4 + 3 / 7 + 2 / 8) / 9;
    expect(accuracy).toBeGreaterThan(best - 0.06);
    expect(accuracy).toBeLessThan(best + 0.06);
  });

  it("trains a model of masked tokens, and goes on bit for bit", async () => {
    const train = (...more: readonly string[]) => [
      ...["train", "both", "--data", "train.txt", ...WORDS, "--line-by-line", "--batch-size", "16", "--lr", "0.01"],
      ...["--seed", "3", "--force", ...more],
    ];
    const { stderr } = await run(...train("--epochs", "6", "--checkpoints", "whole", "--log", "whole.jsonl"));
    expect(stderr).toMatch(/in 600 samples of 16, a line each; masked tokens are to be found/);
    expect(stderr).toContain("the model has no attention_mask: it sees the padding of short lines");
    await run(...train("--epochs", "2", "--checkpoints", "part", "--log", "part.jsonl"));
    await run(...train("--epochs", "6", "--checkpoints", "part", "--resume", "part", "--log", "rest.jsonl"));
    expect([...lossesOf("part.jsonl"), ...lossesOf("rest.jsonl")]).toEqual(lossesOf("whole.jsonl"));
    const other = await command(
      train("--epochs", "7", "--checkpoints", "part", "--resume", "part", "--mask-probability", "0.3"),
      { cwd },
    );
    expect([other.status, other.stderr]).toEqual([8, expect.stringContaining("maskProbability")]);
    const { stdout } = await run(
      ...["eval", "both", "--checkpoint", "whole", "--data", "test.txt", ...WORDS, "--line-by-line", "--json"],
    );
    // A tenth of the tokens stay as they are, and the others say nothing of one of the words.
    const entropy = (3 * Math.log(7) + 2 * Math.log(8)) / 8;
    const { perplexity } = JSON.parse(stdout) as Evaluated;
    expect(perplexity).toBeGreaterThan(0.75 * Math.exp(entropy));
    expect(perplexity).toBeLessThan(1.4 * Math.exp(entropy));
  });

  it("is compared with, under several seeds", async () => {
    const { stdout } = await run(
      ...[
        "compare",
        "causal.onnx",
        ...LOSS,
        "--data",
        "test.txt",
        "--validation",
        "0.2",
        ...BPE,
        "--vary",
        "agr=off,on",
      ],
      ...["--seeds", "2", "--epochs", "1", "--metric", "perplexity", "-o", "compared", "--json"],
    );
    expect(stdout).toContain('"metric":"perplexity"');
  });

  it("is described by data: tokens, unknown ones, a sample", async () => {
    const { stdout } = await run("data", "test.txt", ...BPE, "--length", "9");
    expect(stdout).toMatch(/^input_ids: int64 \[149,9\], /);
    expect(stdout).toMatch(/text: 150 lines, 1350 tokens, \d+ different ones of 874, 0 unknown\n/);
    expect(stdout).toContain(`first sample: ${JSON.stringify(`${sentences(1, 2)[0]}\n`)}`);
    writeFileSync(at("odd.txt"), "The cat sees a ☃.\n");
    const json = await run("data", "odd.txt", ...WORDS, "--line-by-line", "--length", "8", "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      tensors: [{ name: "input_ids", shape: [1, 8] }, { name: "attention_mask" }, { name: "labels" }],
      text: { lines: 1, tokens: 6, vocabulary: 657, unknown: 1, sample: expect.stringMatching(/^\[CLS\] .*\[SEP\]/) },
    });
  });

  it.each([
    [["eval", "causal", "--data", "train.txt"], 2, /train\.txt is text, .*--tokenizer tokenizer\.json/],
    [["eval", "causal", "--data", "train.txt", "--text", "masked"], 2, /--text needs --tokenizer/],
    [
      ["gradcheck", "causal.onnx", ...LOSS, "--data", "train.txt"],
      2,
      /train\.txt is text, and gradcheck takes numbers/,
    ],
    [["data", "train.txt", "--length", "8"], 2, /--length needs --tokenizer/],
    [["eval", "causal", "--data", "train.txt", ...WORDS], 5, /loss counts every label.*--ignore-index -100/],
    [
      ["eval", "both", "--data", "train.txt", ...BPE],
      5,
      /E_VOCABULARY.*up to 873, and "ids" of the model takes numbers up to 656/,
    ],
    [["eval", "causal", "--data", "train.txt", ...BPE, "--length", "8"], 2, /takes samples of 16 tokens, not 8/],
    [["eval", "causal", "--data", "train.txt", ...BPE, "--text", "previous"], 2, /next-token, masked/],
    [["data", "nothing.txt", ...BPE], 3, /E_NO_FILE.*nothing\.txt/],
    [["data", "train.txt", "--tokenizer", "nothing.json"], 3, /E_NO_FILE.*nothing\.json/],
  ])("%j ends with %i and says what to do", async (args, status, message) => {
    const outcome = await command(args, { cwd });
    expect([outcome.status, outcome.stderr]).toEqual([status, expect.stringMatching(message)]);
  });
});
