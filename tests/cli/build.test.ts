import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors, PORTABLE_FILES, SET_MANIFEST } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

function data(count: number, seed = 5): string {
  const path = join(temporaryFolder(), "digits.safetensors");
  writeFileSync(path, encodeSafetensors(drawDigits(count, seed)));
  return path;
}

const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const lines = (text: string): Record<string, unknown>[] => text.trim().split("\n").map(parse);
const lossesOf = (text: string): unknown[] =>
  lines(text).flatMap(({ type, step, loss }) => (type === "step" ? [[step, loss]] : []));

describe("build and gradcheck", () => {
  /** The digits net as an inference model: what someone without artifacts has. */
  async function forwardModel(): Promise<string> {
    const path = join(temporaryFolder(), "forward.onnx");
    expect((await command(["export", DIGITS, "-o", path])).status).toBe(0);
    return path;
  }

  it("make artifacts from a forward model, which train in both runtimes", async () => {
    const folder = join(temporaryFolder(), "built");
    const args = [
      "build",
      await forwardModel(),
      "--loss",
      "cross-entropy",
      "--agr",
      "--weight-decay",
      "0",
      "-o",
      folder,
    ];
    const built = await command([...args, "--json"]);
    expect([built.status, parse(built.stdout)]).toEqual([
      0,
      expect.objectContaining({ command: "build", targets: ["onnxruntime", "portable"] }),
    ]);
    const { files } = parse(built.stdout) as { files: string[] };
    expect(readdirSync(folder).sort()).toEqual([...files].sort());
    expect((await command(args)).status).toBe(2);
    const train = async (runtime: string): Promise<unknown[]> =>
      lossesOf(
        (await command(["train", folder, "--data", data(96), "--lr", "0.01", "--runtime", runtime, "--json"])).stdout,
      );
    const [node, training] = [await train("ort-node"), await train("ort-training")] as [number[][], number[][]];
    expect(node).toHaveLength(3);
    for (const [index, [, loss = 0]] of node.entries()) {
      expect(Math.abs(loss / (training[index]?.[1] ?? 0) - 1)).toBeLessThan(2e-5);
    }
  });

  it("take an optimizer of the portable set, groups and a frozen part", async () => {
    const folder = join(temporaryFolder(), "built");
    const { status, stdout, stderr } = await command([
      ...["build", await forwardModel(), "--loss", "cross-entropy", "--optimizer", "adan", "--betas", "0.9,0.9,0.99"],
      ...["--freeze", "conv1.*", "--group", "*.bias:decay=0", "--clip-norm", "1", "-o", folder],
    ]);
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(/portable; 4 parameters of 3738 numbers are trained, 2 tensors/),
    ]);
    expect(stderr).toContain("the training API has no adan");
    expect(readdirSync(folder).sort()).toEqual([...Object.values(PORTABLE_FILES), SET_MANIFEST].sort());
  });

  it("take a list of transforms with AGR in it, and cautious updates", async () => {
    const folder = join(temporaryFolder(), "built");
    const { status, stderr } = await command([
      ...["build", await forwardModel(), "--loss", "cross-entropy", "--optimizer", "lion", "--cautious"],
      ...["--transform", "clip-norm:1,centralize,agc:0.01,agr", "--strength", "0.5", "-o", folder],
    ]);
    expect([status, stderr]).toEqual([0, expect.stringContaining("no files for ONNX Runtime's training API")]);
    const inspected = await command(["inspect", join(folder, "train_step.onnx")]);
    expect(inspected.stdout).toMatch(/optimizer\/Where:out" of conv1.weight, with AGR/);
    const trained = await command(["train", folder, "--data", data(32), "--lr", "0.001", "--json"]);
    expect(lossesOf(trained.stdout)).toHaveLength(1);
  });

  it("take Schedule-Free AdamW with AGR: what was saved goes on bit for bit, and what was edited is proven", async () => {
    const folder = join(temporaryFolder(), "built");
    const built = await command([
      ...["build", await forwardModel(), "--loss", "cross-entropy", "--optimizer", "schedule-free-adamw", "--agr"],
      ...["-o", folder],
    ]);
    expect([built.status, built.stderr]).toEqual([0, expect.stringContaining("has no schedule-free-adamw")]);
    const verified = await command(["verify", folder]);
    expect([verified.status, verified.stderr]).toEqual([0, ""]);
    const [samples, runs] = [data(64), join(temporaryFolder(), "runs")];
    const train = (...more: string[]): ReturnType<typeof command> =>
      command(["train", folder, "--data", samples, "--lr", "0.01", "--warmup-steps", "2", "--json", ...more]);
    const whole = await train("--epochs", "2", "-o", join(temporaryFolder(), "trained"));
    expect(lossesOf(whole.stdout)).toHaveLength(4);
    const first = await train("--epochs", "1", "--checkpoints", runs);
    const resumed = await train("--epochs", "2", "--resume", runs, "--checkpoints", runs);
    expect([...lossesOf(first.stdout), ...lossesOf(resumed.stdout)]).toEqual(lossesOf(whole.stdout));
    expect((await command(["eval", folder, "--data", samples, "--checkpoint", runs])).status).toBe(0);
  });

  it.each([
    ["no loss", [], 2, /--loss/],
    ["a transform that there is not", ["--loss", "mse", "--transform", "agr,clip:1"], 2, /"clip:1" is no transform/],
    ["an unknown loss", ["--loss", "hinge"], 2, /Allowed choices are cross-entropy/],
    [
      "an option of another optimizer",
      ["--loss", "mse", "--optimizer", "sgd", "--eps", "1"],
      2,
      /sgd does not take epsilon/,
    ],
    ["a name that is no parameter's", ["--loss", "mse", "--freeze", "head.*"], 4, /E_NO_PARAMETERS.*head/],
    ["a target that cannot be made", ["--loss", "mse", "--optimizer", "lion", "--set", "onnxruntime"], 4, /E_TARGET/],
  ])("refuse %s, and write nothing", async (_, args, status, message) => {
    const output = join(temporaryFolder(), "out");
    const result = await command(["build", await forwardModel(), "-o", output, ...args]);
    expect([result.status, result.stderr]).toEqual([status, expect.stringMatching(message)]);
    expect(existsSync(output)).toBe(false);
  });

  it("compare gradients with finite differences", async () => {
    const { status, stdout } = await command([
      "gradcheck",
      await forwardModel(),
      "--loss",
      "cross-entropy",
      "--data",
      data(4),
      "--json",
    ]);
    expect(status).toBe(0);
    const check = parse(stdout) as { isRight: boolean; precision: string; parameters: { parameter: string }[] };
    expect([check.isRight, check.precision]).toEqual([true, "float64"]);
    expect(check.parameters.map(({ parameter }) => parameter).sort()).toHaveLength(6);
  });
});
