import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeModel } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { smallNet, writeData, writeTask } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

async function net(): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = temporaryFolder();
  const path = join(folder, "net.onnx");
  await writeModel(path, smallNet());
  return { folder, path };
}

async function task(): Promise<Readonly<Record<"set" | "data" | "output", string>>> {
  const folder = temporaryFolder();
  await writeTask(folder, smallNet(), {}, 40);
  const [set, data, output] = [join(folder, "artifacts"), join(folder, "data.safetensors"), join(folder, "trained")];
  return { set, data, output };
}

describe("an option that would change nothing", () => {
  it.each<[string, readonly string[], string, readonly string[]]>([
    ["build", ["--strength", "0.5"], "--agr", ["--agr"]],
    ["build", ["--scope", "channel"], "--agr", ["--transform", "agr"]],
    ["build", ["--min-elements", "1"], "--agr", ["--agr"]],
    ["build", ["--target", "w*"], "--lora <rank>", ["--lora", "2"]],
    ["build", ["--lora-alpha", "2"], "--lora <rank>", ["--lora", "2", "--target", "*"]],
    ["build", ["--init-seed", "3"], "--head or --init", ["--init", "*=zeros"]],
    ["build", ["--threshold", "2"], "--loss smooth-l1 or huber", ["--loss", "huber"]],
    ["build", ["--positive-weight", "2"], "--loss bce-with-logits", ["--loss", "bce-with-logits"]],
    ["gradcheck", ["--threshold", "2"], "--loss smooth-l1 or huber", ["--loss", "huber"]],
  ])("is refused: %s %j without %s", async (name, options, missing, remedy) => {
    const { folder, path } = await net();
    const args = [name, path, "--loss", "cross-entropy", ...options];
    const output = name === "build" ? ["-o", join(folder, "set")] : [];
    const { status, stderr } = await command([...args, ...output]);
    const message = `error [E_OPTION] ${options[0]} changes nothing without ${missing}. Give ${missing}, or leave it out.\n`;
    expect([status, stderr, existsSync(join(folder, "set"))]).toEqual([2, message, false]);
    const taken = await command([...args, ...output, ...remedy]);
    expect(taken.stderr).not.toContain("changes nothing");
  });

  it.each([
    ["--ignore-index", "0"],
    ["--class-axis", "-1"],
    ["--label-smoothing", "0.1"],
    ["--class-weights", "1,2"],
  ])("is refused where the loss has no classes: %s", async (...option) => {
    const { path } = await net();
    const { status, stderr } = await command(["gradcheck", path, "--loss", "mse", ...option]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("changes nothing without --loss cross-entropy")]);
  });

  it("is refused where the model computes the loss itself: --reduction", async () => {
    const { path } = await net();
    const { status, stderr } = await command(["gradcheck", path, "--loss", "output", "--reduction", "sum"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("--reduction changes nothing without --loss cross")]);
  });

  it.each<[readonly string[], string]>([
    [["--save-every", "5"], "--checkpoints <folder>"],
    [["--keep", "5"], "--checkpoints <folder>"],
    [["--allow-mismatch", "lr"], "--resume <folder>"],
    [["--no-average-moments"], "--local-steps <n>"],
    [["--runtime", "ort-training", "--steps-per-call", "4"], "--runtime ort-node"],
    [["--runtime", "ort-training", "--isolate"], "--runtime ort-node"],
    [["--runtime", "ort-training", "--ep=webgpu"], "--runtime ort-node"],
  ])("is refused before anything is trained: %j", async (options, missing) => {
    const { set, data, output } = await task();
    const { status, stderr } = await command(["train", set, "--data", data, "-o", output, ...options]);
    const message = `error [E_OPTION] ${options.findLast((each) => each.startsWith("--"))?.replace(/=.*/, "")} changes nothing without ${missing}. Give ${missing}, or leave it out.\n`;
    expect([status, stderr, existsSync(output)]).toEqual([2, message, false]);
  });

  it("is said where it is of ranks, and there is one", async () => {
    const { set, data, output } = await task();
    const args = ["train", set, "--data", data, "-o", output, "--local-steps", "2", "--mpi", "libmpi.so"];
    const { status, stderr } = await command(args);
    expect([status, stderr]).toEqual([0, expect.stringContaining("--local-steps changes nothing on one rank\n")]);
    const ofMpi = "--mpi changes nothing on one rank: no mpirun or srun started this\n";
    expect(stderr).toContain(ofMpi);
    const evaluated = await command(["eval", set, "--data", data, "--mpi", "libmpi.so"]);
    expect([evaluated.status, evaluated.stderr]).toEqual([0, expect.stringContaining(ofMpi)]);
  });

  it("is refused in a comparison where no option set takes it, and said where it is varied too", async () => {
    const { folder, path } = await net();
    writeData(join(folder, "data.safetensors"), 40);
    const given = ["compare", path, "--loss", "cross-entropy", "--data", join(folder, "data.safetensors")];
    const args = [...given, "--validation", "0.2", "--dry-run", "--seeds", "1", "-o", join(folder, "out")];
    const idle = await command([...args, "--vary", "strength=1,0.5"]);
    expect([idle.status, idle.stderr]).toEqual([
      2,
      expect.stringContaining("--strength changes nothing without --agr"),
    ]);
    const taken = await command([...args, "--vary", "agr=off,on", "--strength", "0.5", "--agr"]);
    expect([taken.status, taken.stderr]).toEqual([
      0,
      expect.stringMatching(/^what --vary agr says stands in the place of --agr$/m),
    ]);
    const varied = await command([...args, "--vary", "no-winograd=off,on", "--vary", "lr=0.1,0.01"]);
    expect(varied.stderr).not.toContain("stands in the place");
  });

  it("is said where the model has nothing that it is about", async () => {
    const { folder, path } = await net();
    const args = ["build", path, "--loss", "cross-entropy", "--batch-norm", "running", "--qat"];
    const { status, stderr } = await command([...args, "-o", join(folder, "set")]);
    expect([status, stderr]).toEqual([
      0,
      "--batch-norm running (batchNorm) changes nothing: the model has no BatchNormalization\n" +
        "--qat (quantizationAware) changes nothing: the model has no QuantizeLinear or DequantizeLinear\n",
    ]);
    const frozen = await command([
      "build",
      path,
      "--loss",
      "cross-entropy",
      "--freeze",
      "*",
      "-o",
      join(folder, "two"),
    ]);
    expect([frozen.status, frozen.stderr]).toEqual([4, expect.stringContaining("All of them are frozen.")]);
  });
});
