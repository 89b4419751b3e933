import { describe, expect, it } from "vitest";
import { judge, summarizeArm } from "../../src/compare/judge.ts";
import type { ComparedRun } from "../../src/compare/run.ts";

/** A run whose accuracies are these, one every ten steps and every second. */
function run(arm: string, seed: number, accuracies: readonly number[], diverged: string | null = null): ComparedRun {
  return {
    identity: {
      ...{ arm, seed, weights: "given", build: { loss: { kind: "cross-entropy" } }, session: null, train: null },
      evaluateEvery: 10,
      hashes: { model: "", training: "", validation: "" },
      versions: {},
    },
    points: accuracies.map((accuracy, index) => ({
      ...{ step: 10 * (index + 1), seconds: index + 1, trainingLoss: 1 },
      values: { accuracy, loss: 1 - accuracy },
    })),
    ...{ steps: 10 * accuracies.length, seconds: accuracies.length, evaluationSeconds: 0 },
    ...{ losses: accuracies.join(), initialState: "", diverged },
  };
}

const pairsOf = (differences: readonly number[]): readonly ComparedRun[] =>
  differences.flatMap((difference, seed) => [
    run("off", seed, [0.2, 0.3 + seed / 100]),
    run("on", seed, [0.2, 0.3 + seed / 100 + difference]),
  ]);

const by = (metric: "accuracy" | "loss", target: number | null = null) => ({ metric, target, confidence: 0.95 });
const OFF_ON = { arm: "on", against: "off" };

describe("a verdict", () => {
  it.each([
    ["better", [0.02, 0.021, 0.019, 0.02, 0.022]],
    ["worse", [-0.02, -0.021, -0.019, -0.02, -0.022]],
    ["no measurable difference", [0.02, -0.021, 0.01, -0.02, 0.005]],
    ["inconclusive", [0.02, -0.021, 0.01, -0.02]],
    ["inconclusive", [0.02, 0.02]],
    ["inconclusive", [0.02]],
    ["inconclusive", []],
    ["better", [0.02, 0.0201, 0.0199]],
    ["identical", [0, 0, 0]],
  ])("is: %s, of differences %j", (kind, differences) => {
    expect(judge(OFF_ON, pairsOf(differences), by("accuracy")).verdict).toMatchObject({ kind, metric: "accuracy" });
  });

  it("is better where the loss is less", () => {
    const { verdict, final } = judge(OFF_ON, pairsOf([0.02, 0.021, 0.019, 0.02, 0.022]), by("loss"));
    expect(verdict.text).toMatch(/^on is better than off: loss -0\.0204, 95 % interval -0\.0218 to -0\.019, 5 pairs$/);
    expect(final.loss?.mean).toBeCloseTo(-0.0204, 12);
  });

  it("is not identical where the results are and the trainings are not", () => {
    const runs = [1, 2, 3, 4, 5].flatMap((seed) => [run("off", seed, [0.1, 0.5]), run("on", seed, [0.2, 0.5])]);
    expect(judge(OFF_ON, runs, by("accuracy")).verdict.kind).toBe("no measurable difference");
    expect(judge(OFF_ON, runs.slice(0, 6), by("accuracy")).verdict.kind).toBe("inconclusive");
  });

  it("leaves out pairs of which a run diverged, and says so", () => {
    const runs = [...pairsOf([0.02, 0.021, 0.019]), run("off", 7, [0.2, 0.3]), run("on", 7, [], "a NaN")];
    const { verdict, seeds, diverged } = judge(OFF_ON, runs, by("accuracy"));
    expect([seeds, diverged]).toEqual([[0, 1, 2], { arm: [7], against: [] }]);
    expect(verdict.text).toMatch(/3 pairs, 1 runs of on diverged$/);
    expect(summarizeArm("on", runs)).toMatchObject({ runs: 4, diverged: 1, final: { accuracy: { count: 3 } } });
  });
});

describe("the time to a target", () => {
  const runs = [
    ...[run("off", 1, [0.1, 0.2, 0.3, 0.4]), run("on", 1, [0.1, 0.4, 0.45, 0.5])],
    ...[run("off", 2, [0.1, 0.2, 0.3, 0.4]), run("on", 2, [0.1, 0.3, 0.4, 0.3])],
    ...[run("off", 3, [0.1, 0.2, 0.5, 0.6]), run("on", 3, [0.1, 0.3, 0.4, 0.5])],
  ];

  it("is, by default, that to where the other run of the pair ends", () => {
    const { toTarget } = judge(OFF_ON, runs, by("accuracy"));
    expect(toTarget).toMatchObject({
      ...{ target: null, reached: { arm: 2, against: 3 } },
      steps: { pairs: 2, mean: -15 },
      seconds: { mean: -1.5 },
    });
  });

  it("is that to the value that was given", () => {
    expect(judge(OFF_ON, runs, by("accuracy", 0.3)).toTarget).toMatchObject({
      ...{ target: 0.3, reached: { arm: 3, against: 3 } },
      steps: { pairs: 3, mean: -10 },
    });
    expect(judge(OFF_ON, runs, by("loss", 0.5)).toTarget.reached).toEqual({ arm: 2, against: 1 });
    expect(judge(OFF_ON, runs, by("accuracy", 0.99)).toTarget).toMatchObject({ steps: null, seconds: null });
  });

  it("goes with the best of each run beside its end", () => {
    const { best, final } = judge(OFF_ON, runs, by("accuracy"));
    expect(best.accuracy?.mean).toBeCloseTo((0.1 + 0 - 0.1) / 3, 12);
    expect(final.accuracy?.mean).toBeCloseTo((0.1 - 0.1 - 0.1) / 3, 12);
  });
});
