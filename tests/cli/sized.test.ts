import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { encodeSafetensors } from "../../src/entries/training.ts";
import { writeModel } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { linear, weights } from "../support/forward-models.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** A linear layer that takes batches of any size, "N", and fifty samples for it. */
async function built(...more: string[]): Promise<readonly [set: string, data: string]> {
  const folder = temporaryFolder();
  const [forward, set, data] = [join(folder, "linear.onnx"), join(folder, "set"), join(folder, "data.safetensors")];
  await writeModel(forward, linear());
  const made = await command(["build", forward, "--loss", "mse", "-o", set, ...more]);
  expect(made.status).toBe(0);
  const samples = [
    { name: "x", tensor: weights([50, 4], 5) },
    { name: "target", tensor: weights([50, 3], 6) },
  ];
  writeFileSync(data, encodeSafetensors(samples));
  return [set, data];
}

const eventsOf = (stdout: string): readonly Record<string, unknown>[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const lossesOf = (stdout: string): readonly unknown[] =>
  eventsOf(stdout).flatMap(({ type, loss }) => (type === "step" ? [loss] : []));

describe("train with a model whose batch is left open", () => {
  it.each<readonly [string, readonly string[]]>([
    ["a portable set", ["--set", "portable"]],
    ["ONNX Runtime's artifacts", ["--set", "onnxruntime"]],
  ])("says once of which size most batches are, and goes on bit for bit: %s", async (_, more) => {
    const [set, data] = await built(...more);
    const train = (...given: string[]): ReturnType<typeof command> =>
      command(["train", set, "--data", data, "--batch-size", "16", "--lr", "0.01", "--json", ...given]);
    const whole = await train("--epochs", "2");
    expect(whole.status).toBe(0);
    expect(eventsOf(whole.stdout).at(-1)).toMatchObject({ type: "end", sizes: { N: 16 } });
    expect(lossesOf(whole.stdout)).toHaveLength(8);
    const runs = join(temporaryFolder(), "runs");
    const first = await train("--epochs", "1", "--checkpoints", runs);
    const other = join(temporaryFolder(), "other");
    const { stderr } = await command(["train", set, "--data", data, "--batch-size", "16", "--checkpoints", other]);
    expect(stderr.match(/models made for N 16; /g)).toHaveLength(1);
    const rest = await train("--epochs", "2", "--resume", runs, "--steps-per-call", "1");
    expect([...lossesOf(first.stdout), ...lossesOf(rest.stdout)]).toEqual(lossesOf(whole.stdout));
  });

  it("says nothing where the batch was fixed", async () => {
    const [set, data] = await built("--set", "portable", "--dim", "N=10");
    const train = ["train", set, "--data", data, "--checkpoints", join(temporaryFolder(), "runs")];
    const { status, stderr } = await command(train);
    expect([status, stderr]).toEqual([0, expect.not.stringContaining("models made for")]);
    expect(eventsOf((await command([...train, "--json"])).stdout).at(-1)).toMatchObject({ sizes: {} });
  });
});
