import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors, encodeState } from "../../src/entries/training.ts";
import {
  datasetFor,
  type FindLearningRateOptions,
  findLearningRate,
  type LearningRateChoice,
  type LearningRateTrial,
  TrainingSession,
} from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

async function find(
  session: TrainingSession,
  dataset: Parameters<typeof findLearningRate>[1],
  options: FindLearningRateOptions,
) {
  const trials: LearningRateTrial[] = [];
  const choices: LearningRateChoice[] = [];
  for await (const event of findLearningRate(session, dataset, options)) {
    if (event.type === "trial") trials.push(event);
    else choices.push(event);
  }
  const [choice] = choices;
  if (choice === undefined || choices.length > 1) throw new Error(`${choices.length} choices`);
  return { trials, choice };
}

describe("findLearningRate", () => {
  it("tries rates that grow evenly, chooses below where the loss is least, and leaves the session as it was", async () => {
    const session = await TrainingSession.create(DIGITS);
    const dataset = datasetFor(session.trainingInputs, drawDigits(320, 3));
    const before = encodeState(await session.getState());
    const { trials, choice } = await find(session, dataset, { batchSize: 16, seed: 2, steps: 60 });
    expect(Buffer.from(encodeState(await session.getState())).equals(Buffer.from(before))).toBe(true);
    await session.release();
    for (const [at, { step, learningRate }] of trials.entries()) {
      expect([step, learningRate / (1e-7 * 1e8 ** (at / 59))]).toEqual([at + 1, expect.closeTo(1, 9)]);
    }
    // AdamW of this net learns with rates of some thousandths to hundredths: that is what fixtures/digits/make.ts trains it with.
    expect(choice.learningRate).toBeGreaterThan(5e-4);
    expect(choice.learningRate).toBeLessThan(3e-2);
    const least = trials.reduce((best, each) => (each.smoothedLoss < best.smoothedLoss ? each : best));
    expect(choice.least).toBe(least.learningRate);
    expect(choice.learningRate).toBe(Number(Math.min(least.learningRate / 10, choice.steepest ?? 0).toPrecision(2)));
    expect(trials.length).toBeLessThan(60);
    expect(choice.diverged).not.toBeNull();
  });

  it("chooses none where the loss does not fall, and ends where it is no number", async () => {
    const parameters = [{ name: "w", shape: [2] }];
    const session = await TrainingSession.create(makeLinearArtifacts(parameters, { algorithm: "SGDOptimizerV2" }));
    const still = datasetFor(session.trainingInputs, [{ name: "x_w", tensor: GraphTensor.floats([4], [0, 0, 0, 0]) }]);
    const { trials, choice } = await find(session, still, { steps: 20 });
    expect([trials.length, choice.learningRate, choice.diverged]).toEqual([20, null, null]);
    expect(choice.reason).toMatch(/^The loss did not fall by more than 2 % with any rate/);
    // Two samples of 3e38: an update with a rate of 1 makes the parameters, and their loss, infinite.
    const huge = datasetFor(session.trainingInputs, [
      { name: "x_w", tensor: GraphTensor.floats([4], [3e38, 3e38, 3e38, 3e38]) },
    ]);
    const ended = await find(session, huge, { steps: 20, from: 1e-3, to: 1e6 });
    expect(ended.trials.length).toBeLessThan(20);
    expect(ended.choice.diverged).not.toBeNull();
    await session.release();
  });

  it.each([
    [{ from: 0 }, "from"],
    [{ from: 1, to: 1 }, "to"],
    [{ steps: 3 }, "steps"],
  ])("refuses %j", async (options, field) => {
    const session = await TrainingSession.create(DIGITS);
    const dataset = datasetFor(session.trainingInputs, drawDigits(20, 3));
    const error = await rejectionOf(findLearningRate(session, dataset, options).next());
    expect([error.code, error.field]).toEqual(["E_OPTION", field]);
    await session.release();
  });
});

describe("train --find-lr", () => {
  it("draws the curve within 80 columns, says what to type, and writes nothing", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "data.safetensors");
    writeFileSync(data, encodeSafetensors(drawDigits(320, 3)));
    const args = ["train", DIGITS, "--data", data, "--batch-size", "16", "--find-lr"];
    const { status, stdout, stderr } = await command(args, { cwd: folder });
    expect([status, stderr]).toEqual([0, expect.stringContaining("what they train is thrown away")]);
    const [, chosen = ""] = /\^ (\S+)\n/.exec(stdout) ?? [];
    expect(Number(chosen)).toBeGreaterThan(1e-4);
    expect(stdout).toMatch(/\nThe loss fell fastest with a rate of \S+ and was least with \S+\. /);
    expect(stdout).toContain(` --lr ${chosen}\n`);
    const drawn = stdout.split("\n").filter((line) => /^ +(\S+ \||\+|loss|\^)/.test(line));
    expect(drawn).toHaveLength(15);
    for (const line of drawn) expect(line.length).toBeLessThanOrEqual(80);
    expect(readdirSync(folder)).toEqual(["data.safetensors"]);
    const refused = await command([...args, "--lr", "0.1"], { cwd: folder });
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining("--find-lr and --lr")]);
  });
});
