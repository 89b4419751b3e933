import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { decodeCheckpoint, encodeCheckpoint, encodeSafetensors } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

function data(count: number): string {
  const path = join(temporaryFolder(), "digits.safetensors");
  writeFileSync(path, encodeSafetensors(drawDigits(count, 5)));
  return path;
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("train", () => {
  it("writes steps and epochs to the log, the trained checkpoint, and says how it went", async () => {
    const folder = temporaryFolder();
    const [log, output] = [join(folder, "run.jsonl"), join(folder, "trained")];
    const { status, stdout, stderr } = await command([
      "train",
      DIGITS,
      "--data",
      data(100),
      "--epochs",
      "2",
      "--batch-size",
      "40",
      "--lr",
      "0.01",
      "--schedule",
      "cosine",
      "--threads",
      "1",
      "--log",
      log,
      "-o",
      output,
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^epoch {2}loss\n1 .* samples\/s .* s\n2 .*\n6 of 6 steps, last loss [\d.]+; checkpoint written to .*trained\nnext: onnx-agr export .* -o model.onnx\n$/,
    );
    expect(stderr.trim().split("\n")).toHaveLength(3);
    const events = lines(readFileSync(log, "utf8"));
    expect(events.map(({ type }) => type)).toEqual(["step", "step", "step", "epoch", "step", "step", "step", "epoch"]);
    expect(events[0]).toMatchObject({
      type: "step",
      step: 1,
      epoch: 0,
      learningRate: 0.01,
      loss: expect.any(Number),
      seconds: expect.any(Number),
    });
    const names = (bytes: Uint8Array): string[] => decodeCheckpoint(bytes).trainable.map(({ name }) => name);
    expect(names(readFileSync(output))).toEqual(names(readFileSync(join(DIGITS, "checkpoint"))));
    expect(readFileSync(output)).not.toEqual(readFileSync(join(DIGITS, "checkpoint")));
    expect(readdirSync(folder).sort()).toEqual(["run.jsonl", "trained"]);
  });

  it("--json gives one line per step, and the same losses for the same seed", async () => {
    const file = data(60);
    const run = async (): Promise<unknown[]> =>
      lines(
        (await command(["train", DIGITS, "--data", file, "--batch-size", "20", "--seed", "9", "--json"])).stdout,
      ).map(({ type, loss }) => [type, loss]);
    const first = await run();
    expect(first.map((each) => (each as unknown[])[0])).toEqual(["step", "step", "step", "epoch", "end"]);
    expect(await run()).toEqual(first);
  });

  it("refuses before it trains what it could not write afterwards", async () => {
    const output = join(temporaryFolder(), "exists");
    writeFileSync(output, "precious");
    const { status, stderr } = await command(["train", DIGITS, "--data", data(10), "-o", output]);
    expect([status, readFileSync(output, "utf8")]).toEqual([2, "precious"]);
    expect(stderr).toContain("--force");
  });

  it.each([
    ["data that are missing", ["--data", "missing.npz"], 3, /\[E_NO_FILE\]/],
    ["text without a tokenizer", ["--data", "x.txt"], 2, /\[E_OPTION\].*x\.txt is text/],
    ["no data", [], 2, /required option '--data <file>'/],
    ["a NaN rate", ["--data", "x.npz", "--lr", "NaN"], 2, /finite number/],
    ["a schedule without a rate", ["--data", "DATA", "--schedule", "linear"], 2, /need --lr/],
    [
      "an unknown runtime",
      ["--data", "DATA", "--runtime", "tensorflow"],
      2,
      /Allowed choices are ort-node, ort-training/,
    ],
  ])("refuses %s", async (_, args, status, message) => {
    const file = data(10);
    const outcome = await command(["train", DIGITS, ...args.map((each) => (each === "DATA" ? file : each))]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.status).toBe(status);
  });

  it("refuses folders it cannot train, and says what they lack", async () => {
    const folder = join(temporaryFolder(), "artifacts");
    cpSync(DIGITS, folder, { recursive: true });
    const checkpoint = decodeCheckpoint(readFileSync(join(DIGITS, "checkpoint")));
    writeFileSync(join(folder, "checkpoint"), encodeCheckpoint({ ...checkpoint, nominal: true }));
    const nominal = await command(["train", folder, "--data", data(10)]);
    expect([nominal.status, nominal.stderr]).toEqual([4, expect.stringMatching(/\[E_NOMINAL\]/)]);
    writeFileSync(
      join(folder, "checkpoint"),
      encodeCheckpoint({ ...checkpoint, trainable: checkpoint.trainable.slice(1) }),
    );
    const other = await command(["train", folder, "--data", data(10)]);
    expect([other.status, other.stderr]).toEqual([
      8,
      expect.stringMatching(/\[E_CHECKPOINT_MISMATCH\].*"conv1.weight" is missing/),
    ]);
    rmSync(join(folder, "checkpoint"));
    const none = await command(["train", folder, "--data", data(10)]);
    expect([none.status, none.stderr]).toEqual([2, expect.stringMatching(/\[E_ARTIFACT_MISSING\].*has no checkpoint/)]);
  });

  it("names the tensors that are missing", async () => {
    const path = join(temporaryFolder(), "wrong.safetensors");
    writeFileSync(path, encodeSafetensors(drawDigits(4, 1).slice(0, 1)));
    const { status, stderr } = await command(["train", DIGITS, "--data", path]);
    expect([status, stderr]).toEqual([5, expect.stringMatching(/\[E_DATA\] the data have no tensor "labels"/)]);
  });

  it("ends with 7 and the step where the loss is no number", async () => {
    const output = join(temporaryFolder(), "trained");
    const { status, stderr } = await command([
      "train",
      DIGITS,
      "--data",
      data(200),
      "--lr",
      "1e30",
      "--batch-size",
      "10",
      "--json",
      "-o",
      output,
    ]);
    expect(status).toBe(7);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: "E_NOT_FINITE", exit: 7 } });
    expect(existsSync(output)).toBe(false);
  });
});

describe("demo", () => {
  it("with --json is one document, and learns", async () => {
    const { status, stdout } = await command(["demo", "--epochs", "6", "--json"], { cwd: temporaryFolder() });
    const { results } = JSON.parse(stdout) as {
      results: { label: string; runtime: string; losses: number[]; testAccuracy: number }[];
    };
    expect([status, results.map(({ label, runtime }) => `${label}, ${runtime}`)]).toEqual([
      0,
      ["AdamW, ort-node", "AdamW with AGR, ort-node", "AdamW with AGR, ort-training"],
    ]);
    for (const { testAccuracy, losses } of results) {
      expect(testAccuracy).toBeGreaterThan(0.85);
      expect(losses).toHaveLength(378);
    }
    expect(results[0]?.losses).not.toEqual(results[1]?.losses);
    expect(results[0]?.losses[0]).toBe(results[1]?.losses[0]);
  });

  it("does not train where its picture cannot be written", async () => {
    const { status, stderr } = await command(["demo", "-o", join(temporaryFolder(), "missing", "picture.svg")]);
    expect([status, stderr]).toEqual([
      6,
      expect.stringMatching(/^error \[E_FILE_SYSTEM\] cannot write into .*missing/),
    ]);
  });
});
