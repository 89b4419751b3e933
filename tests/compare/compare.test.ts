import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openArm } from "../../src/compare/run.ts";
import {
  type Arm,
  type ComparedData,
  type CompareEvent,
  type CompareOptions,
  type ComparisonEvent,
  compare,
  estimateComparison,
  readDataset,
  splitDataset,
} from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";
import { smallNet, writeData } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

const LOSS = { loss: { kind: "cross-entropy" } } as const;
const THREADS = { threads: 1 } as const;

const OFF: Arm = { name: "off", build: LOSS, session: THREADS, train: { epochs: 2 } };
const ON: Arm = { ...OFF, name: "on", build: { ...LOSS, agr: {} } };

async function data(folder: string): Promise<ComparedData> {
  const path = join(folder, "data.safetensors");
  writeData(path, 120);
  const { session } = await openArm(smallNet(), OFF, 0, "given");
  const all = await readDataset(session.trainingInputs, path);
  await session.release();
  return splitDataset(all, 0.2);
}

async function eventsOf(folder: string, options: CompareOptions): Promise<readonly CompareEvent[]> {
  const events: CompareEvent[] = [];
  for await (const event of compare(smallNet(), await data(folder), options)) events.push(event);
  return events;
}

function comparisonOf(events: readonly CompareEvent[]): ComparisonEvent {
  const last = events.at(-1);
  if (last?.type !== "comparison") throw new Error("there is no comparison");
  return last;
}

describe("compare", () => {
  it("runs every arm with every seed, by turns, and judges the pairs", async () => {
    const folder = temporaryFolder();
    const events = await eventsOf(folder, { arms: [OFF, ON], seeds: [3, 8, 9] });
    const order = events.flatMap((event) =>
      event.type === "run" ? [`${event.run.identity.arm} ${event.run.identity.seed}`] : [],
    );
    expect(order).toEqual(["off 3", "on 3", "on 8", "off 8", "off 9", "on 9"]);
    const { contrasts, arms, metric, runs } = comparisonOf(events);
    expect(metric).toBe("accuracy");
    expect(arms.map(({ arm, runs: count }) => [arm, count])).toEqual([
      ["off", 3],
      ["on", 3],
    ]);
    expect(contrasts).toMatchObject([{ arm: "on", against: "off", seeds: expect.arrayContaining([3, 8, 9]) }]);
    for (const { points, steps } of runs) expect([points.map(({ step }) => step), steps]).toEqual([[3, 6], 6]);
    const differences = [3, 8, 9].map((seed) => {
      const [off, on] = ["off", "on"].map((arm) =>
        runs.find(({ identity }) => identity.arm === arm && identity.seed === seed),
      );
      expect(on?.losses).not.toBe(off?.losses);
      expect(on?.initialState).toBe(off?.initialState);
      return (on?.points.at(-1)?.values.loss ?? 0) - (off?.points.at(-1)?.values.loss ?? 0);
    });
    const mean = differences.reduce((sum, each) => sum + each, 0) / 3;
    expect(contrasts[0]?.final.loss?.mean).toBeCloseTo(mean, 14);
  });

  it("gives the same losses again, and those of a folder without training", async () => {
    const folder = temporaryFolder();
    const options = { arms: [OFF, ON], seeds: [1, 2], folder: join(folder, "kept") };
    const first = await eventsOf(folder, options);
    const kept = readdirSync(join(folder, "kept", "runs"));
    expect(kept).toHaveLength(4);
    rmSync(join(folder, "kept", "runs", kept[0] ?? ""));
    const second = await eventsOf(folder, options);
    const wasKept = (events: readonly CompareEvent[]) =>
      events.flatMap((event) => (event.type === "run" ? [event.wasKept] : []));
    expect(wasKept(first)).toEqual([false, false, false, false]);
    expect(wasKept(second).filter((each) => !each)).toHaveLength(1);
    const lossesOf = (events: readonly CompareEvent[]) => comparisonOf(events).runs.map(({ losses }) => losses);
    expect(lossesOf(second)).toEqual(lossesOf(first));
    const other = await eventsOf(folder, { ...options, versions: { "onnx-agr": "another" } });
    expect(wasKept(other)).toEqual([false, false, false, false]);
  });

  it("refuses a run that somebody changed", async () => {
    const folder = temporaryFolder();
    const options = { arms: [OFF], seeds: [1], folder };
    await eventsOf(folder, options);
    const [name = ""] = readdirSync(join(folder, "runs"));
    const path = join(folder, "runs", name);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"accuracy": 0\.\d+/, '"accuracy": 0.99'));
    expect(await rejectionOf(eventsOf(folder, options))).toMatchObject({ code: "E_RUN", file: path, exitCode: 3 });
  });

  it("ends where it is interrupted, and goes on from there", async () => {
    const folder = temporaryFolder();
    const end = new AbortController();
    const options = { arms: [OFF, ON], seeds: [1, 2], folder };
    const events: CompareEvent[] = [];
    for await (const event of compare(smallNet(), await data(folder), { ...options, signal: end.signal })) {
      events.push(event);
      if (events.length === 2) end.abort();
    }
    expect(events.map(({ type }) => type)).toEqual(["run", "run"]);
    const rest = await eventsOf(folder, options);
    expect(rest.flatMap((event) => (event.type === "run" ? [event.wasKept] : []))).toEqual([true, true, false, false]);
    expect(comparisonOf(rest).runs).toHaveLength(4);
  });

  it("shuffles the weights by the seed: the same in both arms, the same numbers in another order", async () => {
    const begun = async (arm: Arm, seed: number) => {
      const { session } = await openArm(smallNet(), arm, seed, "shuffled");
      const { tensors } = await session.getState();
      await session.release();
      return [...(tensors.get("fc0.weight")?.values() ?? [])].map(Number);
    };
    const [off, on, other] = [await begun(OFF, 1), await begun(ON, 1), await begun(OFF, 2)];
    const given = [...(smallNet().graph.initializers[0]?.tensor?.values() ?? [])].map(Number);
    expect(given).toHaveLength(192);
    expect(on).toEqual(off);
    expect(other).not.toEqual(off);
    expect(off).not.toEqual(given);
    expect(off.toSorted()).toEqual(given.toSorted());
  });

  it("adds the seed to that of weights that begin anew", async () => {
    const arm = { ...OFF, build: { ...LOSS, initialize: [{ parameters: ["*weight"], kind: "he" as const }] } };
    const begun = async (seed: number): Promise<string> => {
      const { session, initialState } = await openArm(smallNet(), arm, seed, "given");
      await session.release();
      return initialState;
    };
    expect(await begun(1)).toBe(await begun(1));
    expect(await begun(1)).not.toBe(await begun(2));
  });

  it("keeps the runs of the sweep where seeds are added that leave its seeds out", async () => {
    const folder = temporaryFolder();
    const options = { arms: [OFF, ON], rates: [0.01, 0.05], sweepSeeds: 2, folder };
    await eventsOf(folder, { ...options, seeds: [2, 4] });
    const events = await eventsOf(folder, { ...options, seeds: [2, 4, 6] });
    const made = events.flatMap((event) => (event.type === "run" && !event.wasKept ? [event.run.identity.seed] : []));
    expect(made).toEqual([6, 6]);
    const swept = events.flatMap((event) => (event.type === "run" && event.purpose === "sweep" ? [event.run] : []));
    expect(new Set(swept.map(({ identity }) => identity.seed))).toEqual(new Set([3, 5]));
  });

  it("chooses for each arm the learning rate that is best for it, with seeds that are not compared", async () => {
    const folder = temporaryFolder();
    const events = await eventsOf(folder, { arms: [OFF, ON], seeds: [1, 2], rates: [1e-7, 0.05], sweepSeeds: 2 });
    const sweeps = events.filter((event) => event.type === "sweep");
    expect(sweeps).toMatchObject([
      { arm: "off", rate: 0.05, isAtEnd: true },
      { arm: "on", rate: 0.05, isAtEnd: true },
    ]);
    const runs = events.flatMap((event) => (event.type === "run" ? [event] : []));
    expect(runs.map(({ number }) => number)).toEqual(runs.map((_, index) => index + 1));
    expect(new Set(runs.map(({ total }) => total))).toEqual(new Set([12]));
    const sweepSeeds = runs.flatMap(({ purpose, run }) => (purpose === "sweep" ? [run.identity.seed] : []));
    expect(new Set(sweepSeeds)).toEqual(new Set([3, 4]));
    expect(comparisonOf(events).runs.map(({ identity }) => identity.session?.learningRate)).toEqual(
      Array.from({ length: 4 }, () => 0.05),
    );
  });

  it("takes a run that diverges for a result", async () => {
    const folder = temporaryFolder();
    const wild: Arm = { ...OFF, name: "wild", session: { ...THREADS, learningRate: 1e38 } };
    const { contrasts, arms } = comparisonOf(await eventsOf(folder, { arms: [OFF, wild], seeds: [1, 2, 3], folder }));
    expect(arms[1]).toMatchObject({ arm: "wild", runs: 3, diverged: 3, final: {} });
    expect(contrasts[0]).toMatchObject({ diverged: { arm: [1, 2, 3] }, verdict: { kind: "inconclusive" } });
    expect(await rejectionOf(eventsOf(folder, { arms: [OFF], seeds: [1], rates: [1e37, 1e38] }))).toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("no learning rate of"),
    });
  });

  it("refuses options that say nothing", async () => {
    const refused = async (options: Partial<CompareOptions>) =>
      (await rejectionOf(eventsOf(temporaryFolder(), { arms: [OFF, ON], ...options }))).message;
    expect(await refused({ arms: [] })).toMatch(/arms must be at least one/);
    expect(await refused({ arms: [OFF, OFF] })).toMatch(/different names/);
    expect(await refused({ seeds: [1, 1] })).toMatch(/seeds must be different/);
    expect(await refused({ seeds: [] })).toMatch(/seeds/);
    expect(await refused({ rates: [0] })).toMatch(/rates must be above 0/);
    expect(await refused({ confidence: 95 })).toMatch(/confidence/);
    expect(await refused({ contrasts: [{ arm: "on", against: "none" }] })).toMatch(/"none" is none/);
    expect(await refused({ evaluateEvery: 0 })).toMatch(/evaluateEvery/);
  });
});

describe("an estimate", () => {
  it("times steps and evaluations, and counts the runs that are left", async () => {
    const folder = temporaryFolder();
    const options = { arms: [OFF, ON], seeds: [1, 2, 3], folder };
    const before = await estimateComparison(smallNet(), await data(folder), options);
    expect(before).toMatchObject({ runs: 6, kept: 0 });
    for (const { steps, evaluations, seconds, secondsPerStep, secondsPerEvaluation, secondsBefore } of before.arms) {
      expect([steps, evaluations]).toEqual([6, 2]);
      expect(secondsPerStep).toBeGreaterThan(0);
      expect(seconds).toBeCloseTo(secondsBefore + 6 * secondsPerStep + 2 * secondsPerEvaluation, 10);
    }
    expect(before.seconds).toBeCloseTo(3 * before.arms.reduce((sum, { seconds }) => sum + seconds, 0), 10);
    await eventsOf(folder, { ...options, seeds: [1] });
    expect(await estimateComparison(smallNet(), await data(folder), options)).toMatchObject({ runs: 6, kept: 2 });
  });
});
