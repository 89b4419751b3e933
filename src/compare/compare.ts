import { requireArgument, withFields } from "../arguments.ts";
import { UsageError } from "../errors.ts";
import { A_MODEL, type Model } from "../graph/model.ts";
import { A_DATASET } from "../runtime/data/dataset.ts";
import { mean } from "../statistics/summary.ts";
import { type ArmSummary, type ContrastResult, judge, summarizeArm } from "./judge.ts";
import { keepRun, keptRun } from "./kept-runs.ts";
import { bestOf, type ComparedMetric, isAsGood } from "./metrics.ts";
import { type Arm, type CompareOptions, type CompletedOptions, completed } from "./options.ts";
import { type ComparedData, type ComparedRun, type Constant, constantOf, identityOf, runArm } from "./run.ts";

/** A run is done, or was found in the folder. */
export interface RunEvent {
  readonly type: "run";
  /** `sweep`: it helps to choose a learning rate and is not compared. */
  readonly purpose: "sweep" | "comparison";
  readonly run: ComparedRun;
  readonly wasKept: boolean;
  /** Counted from 1. */
  readonly number: number;
  readonly total: number;
}

/** What the learning rates of one arm came to. */
export interface SweepEvent {
  readonly type: "sweep";
  readonly arm: string;
  /** Means over the sweep's seeds; null where a run diverged. */
  readonly results: readonly { readonly rate: number; readonly value: number | null }[];
  /** The best. */
  readonly rate: number;
  /** The best is the least or the greatest that was tried: a better one may lie beyond. */
  readonly isAtEnd: boolean;
}

/** All runs are done. */
export interface ComparisonEvent {
  readonly type: "comparison";
  readonly metric: ComparedMetric;
  readonly seeds: readonly number[];
  readonly weights: CompletedOptions["weights"];
  readonly confidence: number;
  readonly hashes: Constant["hashes"];
  readonly versions: Constant["versions"];
  readonly sweeps: readonly SweepEvent[];
  readonly arms: readonly ArmSummary[];
  readonly contrasts: readonly ContrastResult[];
  readonly runs: readonly ComparedRun[];
}

export type CompareEvent = RunEvent | SweepEvent | ComparisonEvent;

export const COMPARED_DATA = withFields(
  { training: A_DATASET, validation: A_DATASET },
  "{ training, validation }, two datasets as readDataset and splitDataset give them",
);

/**
 * Trains a forward model with several option sets, each with the same seeds, and says whether they differ by more than chance: paired
 * differences, their intervals by Student's t and by the bootstrap, steps and seconds to a target, a verdict. Runs of one seed have the
 * same initial weights and the same order of samples in all arms. Ends without a comparison where `signal` interrupts it; what is done is in
 * `folder`, from where the same call goes on.
 * @returns an event per run, one per arm whose learning rate was chosen, and last the comparison
 * @throws UsageError `E_ARGUMENT`, `E_OPTION`; FormatError `E_RUN`; what building, training and evaluating throw. A run that diverges is
 *   a result and no error.
 */
export async function* compare(
  model: Model,
  data: ComparedData,
  options: CompareOptions,
): AsyncGenerator<CompareEvent, void, undefined> {
  requireArgument("model", model, A_MODEL);
  requireArgument("data", data, COMPARED_DATA);
  const all = completed(options);
  const constant = await constantOf(model, data, all);
  const runs: ComparedRun[] = [];
  const sweeps: SweepEvent[] = [];
  let [number, metric] = [0, all.metric];
  const total = countRuns(all);
  async function* one(
    arm: Arm,
    seed: number,
    purpose: RunEvent["purpose"],
  ): AsyncGenerator<RunEvent, ComparedRun | null> {
    const identity = identityOf(arm, seed, all, constant);
    const kept = all.folder === null ? null : await keptRun(all.folder, identity);
    const run = kept ?? (all.signal?.aborted ? null : await runArm(model, arm, identity, data, all));
    if (run === null) return null;
    if (kept === null && all.folder !== null) await keepRun(all.folder, run);
    yield { type: "run", purpose, run, wasKept: kept !== null, number: ++number, total };
    metric ??= metricOf([run]);
    return run;
  }
  const arms: Arm[] = [];
  for (const arm of all.arms) {
    if (all.rates.length === 0) {
      arms.push(arm);
      continue;
    }
    const tried: ComparedRun[] = [];
    const rated = all.rates.map((rate) => withRate(arm, rate));
    for (const seed of sweepSeedsOf(all))
      for (const candidate of rated) {
        const run = yield* one(candidate, seed, "sweep");
        if (run === null) return;
        tried.push(run);
      }
    const swept = chosenRate(arm, all.rates, tried, metric ?? metricOf(tried));
    sweeps.push(swept);
    yield swept;
    arms.push(withRate(arm, swept.rate));
  }
  for (const [index, seed] of all.seeds.entries()) {
    /** The order changes, so that what slows the machine down for a while does not meet one arm alone. */
    const first = index % arms.length;
    for (const arm of [...arms.slice(first), ...arms.slice(0, first)]) {
      const run = yield* one(arm, seed, "comparison");
      if (run === null) return;
      runs.push(run);
    }
  }
  const by = metric ?? metricOf(runs);
  const { seeds, weights, confidence, target } = all;
  yield {
    ...{ type: "comparison", metric: by, seeds, weights, confidence, ...constant, sweeps },
    arms: arms.map(({ name }) => summarizeArm(name, runs)),
    contrasts: all.contrasts.map((contrast) => judge(contrast, runs, { metric: by, target, confidence })),
    runs,
  };
}

/** How many runs a comparison has, the sweep's among them. */
export const countRuns = ({ arms, seeds, rates, sweepSeeds }: CompletedOptions): number =>
  arms.length * (seeds.length + rates.length * sweepSeeds);

/**
 * The least seeds, from the first compared one on, that are not compared: the runs that chose a rate are not among those that judge it,
 * and stay where seeds are added that leave them out.
 */
export function sweepSeedsOf({ seeds, sweepSeeds }: CompletedOptions): readonly number[] {
  const first = Math.min(...seeds);
  const candidates = Array.from({ length: seeds.length + sweepSeeds }, (_, index) => first + index);
  return candidates.filter((seed) => !seeds.includes(seed)).slice(0, sweepSeeds);
}

/** The arm under the same name with another learning rate; a schedule keeps its form. */
export function withRate(arm: Arm, rate: number): Arm {
  const { learningRate } = arm.session ?? {};
  const next = typeof learningRate === "object" ? { ...learningRate, rate } : rate;
  return { ...arm, session: { ...arm.session, learningRate: next } };
}

function metricOf(runs: readonly ComparedRun[]): ComparedMetric {
  return runs.some(({ points }) => points.some(({ values }) => values.accuracy !== undefined)) ? "accuracy" : "loss";
}

/** @throws UsageError `E_OPTION` where no rate trains, or the metric is none that there is */
function chosenRate(
  arm: Arm,
  rates: readonly number[],
  runs: readonly ComparedRun[],
  metric: ComparedMetric,
): SweepEvent {
  const results = rates.map((rate) => {
    const own = runs.filter(({ identity }) => rateOf(identity.session?.learningRate) === rate);
    const values = own.flatMap(({ diverged, points }) => {
      const value = points.at(-1)?.values[metric];
      return diverged !== null || value === undefined ? [] : [value];
    });
    return { rate, value: values.length < own.length || values.length === 0 ? null : mean(values) };
  });
  const whole = results.flatMap(({ rate, value }) => (value === null ? [] : [{ rate, value }]));
  if (whole.length === 0) {
    throw new UsageError("E_OPTION", `no learning rate of ${rates.join(", ")} gives ${arm.name} a finite ${metric}`, {
      field: "rates",
      hint: "Give lower rates.",
    });
  }
  const best = bestOf(
    metric,
    whole.map(({ value }) => value),
  );
  const { rate } = whole.find(({ value }) => isAsGood(metric, value, best)) ?? { rate: Number.NaN };
  const isAtEnd = rates.length > 1 && [Math.min(...rates), Math.max(...rates)].includes(rate);
  return { type: "sweep", arm: arm.name, results, rate, isAtEnd };
}

type Rate = NonNullable<Arm["session"]>["learningRate"];

const rateOf = (rate: Rate): number | undefined => (typeof rate === "object" ? rate.rate : rate);
