import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { GraphTensor, type NamedTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { splitDataset } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { errorOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Line {
  readonly type: string;
  readonly epoch?: number;
  readonly step?: number;
  readonly loss: number;
  readonly samples?: number;
  readonly isBest?: boolean;
  readonly ended?: string | null;
  readonly best?: { readonly epoch: number; readonly step: number; readonly loss: number };
}

const linesOf = (stdout: string): readonly Line[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

function place(name: string, tensors: readonly NamedTensor[]): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, encodeSafetensors(tensors));
  return path;
}

describe("train --validation", () => {
  it("evaluates a share of the samples after each epoch, as eval does with the best state that it kept", async () => {
    const data = place("digits.safetensors", drawDigits(120, 1));
    const folder = join(temporaryFolder(), "run");
    const args = [
      "train",
      DIGITS,
      "--data",
      data,
      "--validation",
      "0.25",
      "--batch-size",
      "30",
      "--lr",
      "0.01",
      "--seed",
      "3",
    ];
    const { status, stdout, stderr } = await command([...args, "--epochs", "4", "--checkpoints", folder, "--json"]);
    expect([status, stderr]).toEqual([0, ""]);
    const lines = linesOf(stdout);
    const validations = lines.filter(({ type }) => type === "validation");
    expect(lines.filter(({ type }) => type === "step")).toHaveLength(4 * 3);
    expect(validations.map(({ epoch, samples }) => [epoch, samples])).toEqual([0, 1, 2, 3].map((epoch) => [epoch, 30]));
    const best = validations.reduce((least, each) => (each.loss < least.loss ? each : least));
    expect(lines.at(-1)).toMatchObject({ ended: null, best: { epoch: best.epoch } });

    const tensors = drawDigits(120, 1);
    const { validation } = splitDataset({ tensors, size: 120 }, 0.25, 3);
    const apart = place("apart.safetensors", validation.tensors);
    const evaluated = await command(["eval", DIGITS, "--data", apart, "--checkpoint", join(folder, "best"), "--json"]);
    expect(linesOf(evaluated.stdout)[0]?.loss).toBeCloseTo(best.loss, 5);
    expect(readdirSync(join(folder, "best"))).toHaveLength(1);
  });

  it("--eval-every evaluates between the epochs: the losses are the same, and the best state goes on bit for bit", async () => {
    const data = place("digits.safetensors", drawDigits(100, 1));
    const other = place("other.safetensors", drawDigits(40, 2));
    const folder = join(temporaryFolder(), "run");
    const args = ["train", DIGITS, "--data", data, "--batch-size", "10", "--lr", "0.3", "--epochs", "2", "--json"];
    const plain = await command([...args, "--checkpoints", join(folder, "plain")]);
    const report = join(temporaryFolder(), "report.html");
    const looked = await command([
      ...args,
      ...["--checkpoints", join(folder, "looked"), "--validation", other, "--eval-every", "3", "--report", report],
    ]);
    expect([plain.status, looked.status, looked.stderr]).toEqual([0, 0, ""]);
    const lossesOf = (stdout: string): readonly number[] =>
      linesOf(stdout).flatMap(({ type, loss }) => (type === "step" ? [loss] : []));
    expect(lossesOf(looked.stdout)).toEqual(lossesOf(plain.stdout));
    const lines = linesOf(looked.stdout);
    const validations = lines.filter(({ type }) => type === "validation");
    expect(validations.map(({ step }) => step)).toEqual([3, 6, 9, 12, 15, 18, 20]);
    const best = validations.reduce((least, each) => (each.loss < least.loss ? each : least));
    expect(lines.at(-1)?.best).toMatchObject({ step: best.step, loss: best.loss });
    const kept = join(folder, "looked", "best");
    const evaluated = await command([
      "eval",
      DIGITS,
      "--data",
      other,
      "--checkpoint",
      kept,
      "--batch-size",
      "10",
      "--json",
    ]);
    expect(linesOf(evaluated.stdout)[0]?.loss).toBe(best.loss);
    expect(best.step).toBeLessThan(20);
    const on = await command([...args, "--resume", kept, "--checkpoints", join(folder, "on")]);
    expect([on.status, lossesOf(on.stdout)]).toEqual([0, lossesOf(plain.stdout).slice(best.step)]);
    expect(readFileSync(report, "utf8")).toContain("least validation loss");
  });

  it("--patience ends when the loss of other data does not become less, and what is saved goes on", async () => {
    const data = place("digits.safetensors", drawDigits(40, 1));
    // Labels that have nothing to do with their images: the better the training, the worse their loss.
    const [images, labels] = drawDigits(40, 2) as [NamedTensor, NamedTensor];
    const wrong = BigInt64Array.from([...labels.tensor.values()].map((label) => (BigInt(label) + 5n) % 10n));
    const other = place("other.safetensors", [
      images,
      { name: labels.name, tensor: GraphTensor.from(labels.tensor.dtype, [40], wrong) },
    ]);
    const folder = join(temporaryFolder(), "run");
    const args = [
      "train",
      DIGITS,
      "--data",
      data,
      "--batch-size",
      "10",
      "--lr",
      "0.01",
      "--epochs",
      "30",
      "--checkpoints",
      folder,
    ];
    const ended = await command([...args, "--validation", other, "--patience", "2", "--json"]);
    const lines = linesOf(ended.stdout);
    const epochs = lines.filter(({ type }) => type === "validation").length;
    expect([ended.status, lines.at(-1)?.ended]).toEqual([0, "no better validation loss in 2 epochs"]);
    expect(epochs).toBeLessThan(30);
    expect(lines.filter(({ type }) => type === "step")).toHaveLength(4 * epochs);
    const on = await command([...args, "--resume", folder, "--json"]);
    expect([on.status, linesOf(on.stdout).filter(({ type }) => type === "step").length]).toEqual([
      0,
      4 * (30 - epochs),
    ]);
  });

  it("--max-seconds ends and saves", async () => {
    const data = place("digits.safetensors", drawDigits(100, 1));
    const folder = join(temporaryFolder(), "run");
    const args = [
      "train",
      DIGITS,
      "--data",
      data,
      "--epochs",
      "100000",
      "--checkpoints",
      folder,
      "--max-seconds",
      "0.5",
    ];
    const { status, stdout } = await command(args);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/steps \(--max-seconds 0.5 are over\).*run saved in/)]);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it.each([
    [["--validation", "1.5"], 2, "A share lies between 0 and 1"],
    [["--patience", "2"], 2, "--patience needs --validation"],
    [["--eval-every", "2"], 2, "--eval-every needs --validation"],
    [["--validation", "nothing.npz"], 3, "nothing.npz"],
    [["--max-seconds", "0"], 2, "above 0"],
  ])("%j is refused before anything is trained", async (args, exit, message) => {
    const data = place("digits.safetensors", drawDigits(10, 1));
    const given = args.map((each) => (each === "DATA" ? data : each));
    const { status, stdout, stderr } = await command(["train", DIGITS, "--data", data, ...given]);
    expect([status, stdout, stderr]).toEqual([exit, "", expect.stringContaining(message)]);
  });
});

describe("splitDataset", () => {
  it("has every sample in one part, the same for the same seed, in the order of the data", () => {
    const tensors = [
      {
        name: "x",
        tensor: GraphTensor.floats(
          [10],
          Array.from({ length: 10 }, (_, index) => index),
        ),
      },
    ];
    const parts = (seed: number): readonly (readonly unknown[])[] => {
      const { training, validation } = splitDataset({ tensors, size: 10 }, 0.3, seed);
      return [training, validation].map((part) => [...(part.tensors[0]?.tensor.values() ?? [])]);
    };
    const [rest = [], apart = []] = parts(1) as [number[], number[]];
    expect([rest.length, apart.length]).toEqual([7, 3]);
    expect([...rest, ...apart].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([rest.toSorted((a, b) => a - b), apart.toSorted((a, b) => a - b)]).toEqual([rest, apart]);
    expect(parts(1)).toEqual([rest, apart]);
    expect(parts(2)).not.toEqual([rest, apart]);
    expect(errorOf(() => splitDataset({ tensors, size: 10 }, 0.99)).code).toBe("E_DATA");
  });
});
