import type { Interval } from "../statistics/bootstrap.ts";
import { type PairedDifference, pairedDifference } from "../statistics/paired.ts";
import { type Summary, summarize } from "../statistics/summary.ts";
import { bestOf, COMPARED_METRICS, type ComparedMetric, isAsGood, METRIC_NAMES } from "./metrics.ts";
import type { Contrast } from "./options.ts";
import type { ComparedRun, Point } from "./run.ts";

/** Below that, an interval is too wide to say anything. */
const LEAST_PAIRS = 3;
/** Below that, an interval that holds zero does not say that there is nothing. */
const PAIRS_FOR_NOTHING = 5;

export type VerdictKind = "better" | "worse" | "no measurable difference" | "identical" | "inconclusive";

export interface Verdict {
  readonly kind: VerdictKind;
  readonly metric: ComparedMetric;
  /** In a sentence. */
  readonly text: string;
}

/** How long it took to get somewhere, in the runs that got there. */
export interface TimeToTarget {
  /** Null: what the arm that is compared with has at its end, seed by seed. */
  readonly target: number | null;
  /** How many runs got there. */
  readonly reached: { readonly arm: number; readonly against: number };
  /** Of the pairs of which both got there; null of none. */
  readonly steps: PairedDifference | null;
  readonly seconds: PairedDifference | null;
}

/** What one arm has more than another. */
export interface ContrastResult extends Contrast {
  /** Seeds of the pairs. */
  readonly seeds: readonly number[];
  /** Seeds of which a run of either arm went wrong. */
  readonly diverged: { readonly arm: readonly number[]; readonly against: readonly number[] };
  readonly final: Readonly<Partial<Record<ComparedMetric, PairedDifference>>>;
  /** Of the best evaluation of each run. */
  readonly best: Readonly<Partial<Record<ComparedMetric, PairedDifference>>>;
  /** Of whole trainings. */
  readonly seconds: PairedDifference | null;
  readonly toTarget: TimeToTarget;
  readonly verdict: Verdict;
}

export interface ArmSummary {
  readonly arm: string;
  readonly runs: number;
  readonly diverged: number;
  readonly final: Readonly<Partial<Record<ComparedMetric, Summary>>>;
  readonly best: Readonly<Partial<Record<ComparedMetric, Summary>>>;
  readonly seconds: Summary | null;
}

type Pair = readonly [arm: ComparedRun, against: ComparedRun];

const finalOf = ({ points }: ComparedRun, metric: ComparedMetric): number | undefined => points.at(-1)?.values[metric];

function bestValue({ points }: ComparedRun, metric: ComparedMetric): number | undefined {
  const values = points.flatMap(({ values: { [metric]: value } }) => (value === undefined ? [] : [value]));
  return values.length === 0 ? undefined : bestOf(metric, values);
}

/** What each metric comes to, of those that there are. */
function byMetric<T>(of: (metric: ComparedMetric) => T | null): Readonly<Partial<Record<ComparedMetric, T>>> {
  return Object.fromEntries(
    METRIC_NAMES.flatMap((metric) => {
      const result = of(metric);
      return result === null ? [] : [[metric, result]];
    }),
  );
}

const present = (values: readonly (number | undefined)[]): readonly number[] =>
  values.filter((value) => value !== undefined);

export function summarizeArm(arm: string, runs: readonly ComparedRun[]): ArmSummary {
  const own = runs.filter(({ identity }) => identity.arm === arm);
  const whole = own.filter(({ diverged }) => diverged === null);
  return {
    ...{ arm, runs: own.length, diverged: own.length - whole.length },
    final: byMetric((metric) => summarize(present(whole.map((run) => finalOf(run, metric))))),
    best: byMetric((metric) => summarize(present(whole.map((run) => bestValue(run, metric))))),
    seconds: summarize(whole.map(({ seconds }) => seconds)),
  };
}

export interface JudgeOptions {
  readonly metric: ComparedMetric;
  readonly target: number | null;
  readonly confidence: number;
}

export function judge(
  { arm, against }: Contrast,
  runs: readonly ComparedRun[],
  { metric, target, confidence }: JudgeOptions,
): ContrastResult {
  const of = (name: string): readonly ComparedRun[] => runs.filter(({ identity }) => identity.arm === name);
  const pairs = of(arm).flatMap((run): Pair[] => {
    const other = of(against).find(({ identity }) => identity.seed === run.identity.seed);
    return other === undefined || run.diverged !== null || other.diverged !== null ? [] : [[run, other]];
  });
  const wrong = (name: string): readonly number[] =>
    of(name).flatMap(({ diverged, identity }) => (diverged === null ? [] : [identity.seed]));
  const differences = (measure: (run: ComparedRun) => number | undefined): PairedDifference | null =>
    pairedDifference(
      pairs.flatMap(([run, other]) => {
        const [own, its] = [measure(run), measure(other)];
        return own === undefined || its === undefined ? [] : [own - its];
      }),
      { confidence },
    );
  const final = byMetric((each) => differences((run) => finalOf(run, each)));
  const diverged = { arm: wrong(arm), against: wrong(against) };
  return {
    ...{ arm, against, seeds: pairs.map(([run]) => run.identity.seed), diverged, final },
    best: byMetric((each) => differences((run) => bestValue(run, each))),
    seconds: differences(({ seconds }) => seconds),
    toTarget: timeToTarget(pairs, { metric, target, confidence }),
    verdict: verdictOf({ arm, against }, metric, final[metric] ?? null, {
      diverged,
      isSame: pairs.every(([run, other]) => run.losses === other.losses),
    }),
  };
}

function timeToTarget(pairs: readonly Pair[], { metric, target, confidence }: JudgeOptions): TimeToTarget {
  const times = pairs.map(([run, other]) => {
    const wanted = target ?? finalOf(other, metric);
    const first = ({ points }: ComparedRun): Point | undefined =>
      points.find(({ values: { [metric]: value } }) => {
        return wanted !== undefined && value !== undefined && isAsGood(metric, value, wanted);
      });
    return [first(run), first(other)] as const;
  });
  const both = (measure: (point: Point) => number): PairedDifference | null =>
    pairedDifference(
      times.flatMap(([own, its]) => (own === undefined || its === undefined ? [] : [measure(own) - measure(its)])),
      { confidence },
    );
  return {
    target,
    reached: {
      arm: times.filter(([own]) => own !== undefined).length,
      against: times.filter(([, its]) => its !== undefined).length,
    },
    steps: both(({ step }) => step),
    seconds: both(({ seconds }) => seconds),
  };
}

/**
 * What can be said of a difference. Where its interval holds zero, that is nothing.
 * @param isSame whether the losses of all steps were the same
 */
export function verdictOf(
  { arm, against }: Contrast,
  metric: ComparedMetric,
  difference: PairedDifference | null,
  { diverged, isSame }: Pick<ContrastResult, "diverged"> & { readonly isSame: boolean },
): Verdict {
  const kind = kindOf(metric, difference, isSame);
  const pairs = difference?.pairs ?? 0;
  const wrong = [
    ...(diverged.arm.length === 0 ? [] : [`${diverged.arm.length} runs of ${arm} diverged`]),
    ...(diverged.against.length === 0 ? [] : [`${diverged.against.length} runs of ${against} diverged`]),
  ];
  const numbers = [
    ...(difference === null ? [] : [`${metric} ${signed(difference.mean)}`]),
    ...(difference?.interval == null ? [] : [intervalText(difference.interval, difference.confidence)]),
    `${pairs} ${pairs === 1 ? "pair" : "pairs"}`,
    ...wrong,
  ].join(", ");
  const text = {
    better: `${arm} is better than ${against}: ${numbers}`,
    worse: `${arm} is worse than ${against}: ${numbers}`,
    identical: `${arm} and ${against} are the same training, loss by loss: ${numbers}`,
    "no measurable difference": `no measurable difference between ${arm} and ${against}: ${numbers}`,
    inconclusive: `inconclusive, there are too few pairs of ${arm} and ${against}: ${numbers}`,
  }[kind];
  return { kind, metric, text };
}

function kindOf(metric: ComparedMetric, difference: PairedDifference | null, isSame: boolean): VerdictKind {
  if (difference === null || difference.interval === null || difference.pairs < LEAST_PAIRS) return "inconclusive";
  if (isSame) return "identical";
  const [low, high] = difference.interval;
  if (low <= 0 && high >= 0) return difference.pairs < PAIRS_FOR_NOTHING ? "inconclusive" : "no measurable difference";
  return high < 0 === (COMPARED_METRICS[metric] === "less") ? "better" : "worse";
}

export const signed = (value: number): string => `${value < 0 ? "" : "+"}${Number(value.toPrecision(3))}`;

export function intervalText([low, high]: Interval, confidence: number): string {
  return `${Number((100 * confidence).toPrecision(4))} % interval ${signed(low)} to ${signed(high)}`;
}
