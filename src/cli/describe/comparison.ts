import { METRIC_NAMES, type PairedDifference, type Summary } from "../../entries/run.ts";
import type {
  ArmSummary,
  ComparedMetric,
  ComparisonEstimate,
  ComparisonEvent,
  ContrastResult,
  RunEvent,
  SweepEvent,
} from "../../index.ts";
import { tableLines } from "../table.ts";
import type { Document } from "./document.ts";

const SHARES: readonly ComparedMetric[] = ["accuracy", "top5"];

function valueText(metric: ComparedMetric, value: number): string {
  return SHARES.includes(metric) ? `${(100 * value).toFixed(2)} %` : value.toPrecision(4);
}

/** A difference in the units of `valueText`. */
function differenceText(metric: ComparedMetric, value: number): string {
  const sign = value < 0 ? "-" : "+";
  const size = Math.abs(value);
  return SHARES.includes(metric) ? `${sign}${(100 * size).toFixed(2)} points` : `${sign}${size.toPrecision(3)}`;
}

/** A line for a run that is done. */
export function describeRun({ purpose, run, wasKept, number, total }: RunEvent): string {
  const { identity, points, seconds, diverged } = run;
  const values = Object.entries(points.at(-1)?.values ?? {})
    .slice(0, 2)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  const rate = identity.session?.learningRate;
  return [
    `${number}/${total}  ${purpose === "sweep" ? `rate ${typeof rate === "object" ? rate.rate : rate}  ` : ""}${identity.arm}, seed ${identity.seed}`,
    ...(diverged === null ? values : [`diverged: ${diverged}`]),
    wasKept ? "kept from before" : `${seconds.toFixed(1)} s`,
  ].join("  ");
}

export function describeSweep({ arm, results, rate, isAtEnd }: SweepEvent): string {
  const list = results.map((each) => `${each.rate}: ${each.value?.toPrecision(4) ?? "diverged"}`).join(", ");
  return `${arm}: learning rate ${rate} of ${list}${isAtEnd ? "; it is at the end of the list: a better one may lie beyond" : ""}`;
}

export function describeEstimate({ runs, kept, arms, seconds }: ComparisonEstimate): Document {
  return {
    json: { runs, kept, seconds, arms },
    lines: [
      ...arms.map(
        (arm) =>
          `${arm.arm}: ${duration(arm.seconds)} a run: ${arm.steps} steps of ${milliseconds(arm.secondsPerStep)}, ` +
          `${arm.evaluations} evaluations of ${milliseconds(arm.secondsPerEvaluation)}`,
      ),
      `${runs - kept} runs of ${runs} are to be done: about ${duration(seconds)}`,
    ],
  };
}

const milliseconds = (seconds: number): string => `${Number((1000 * seconds).toPrecision(3))} ms`;

function duration(seconds: number): string {
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Everything but the points of the runs, which lie in their own files; the options once per arm. */
export function describeComparison(comparison: ComparisonEvent): Document {
  const { type: _, runs, ...json } = comparison;
  const options = Object.fromEntries(
    json.arms.map(({ arm }) => {
      const { build, train, evaluateEvery } = runs.find(({ identity }) => identity.arm === arm)?.identity ?? {};
      return [arm, { build, train, evaluateEvery }];
    }),
  );
  return { json: { ...json, options, runs: runs.map(shortRun) }, lines: linesOf(comparison) };
}

function shortRun({ points, ...run }: ComparisonEvent["runs"][number]): object {
  const { arm, seed, session } = run.identity;
  const { identity: __, ...rest } = run;
  return { arm, seed, learningRate: session?.learningRate ?? null, ...rest, final: points.at(-1)?.values ?? null };
}

function linesOf({ arms, contrasts, metric, seeds, weights, confidence, sweeps }: ComparisonEvent): readonly string[] {
  const percent = Number((100 * confidence).toPrecision(4));
  const many = contrasts.length > 1;
  return [
    `${seeds.length} seeds, ${weights} weights; mean and standard deviation at the end of the runs`,
    ...table(arms),
    ...sweeps.map(describeSweep),
    ...contrasts.flatMap((contrast) => ["", ...contrastLines(contrast, metric, percent)]),
    ...(many ? ["", `Of ${contrasts.length} comparisons at ${percent} %, some may find a difference by chance.`] : []),
  ];
}

function table(arms: readonly ArmSummary[]): readonly string[] {
  const metrics = METRIC_NAMES.filter((metric) => arms.some(({ final }) => final[metric] !== undefined));
  const rows = [
    ["", ...metrics, "seconds"],
    ...arms.map(({ arm, runs, diverged, final, seconds }) => [
      diverged === 0 ? arm : `${arm} (${diverged} of ${runs} diverged)`,
      ...metrics.map((metric) => spread(final[metric], (value) => valueText(metric, value))),
      spread(seconds, (value) => value.toFixed(1)),
    ]),
  ];
  return tableLines(rows);
}

function spread(summary: Summary | null | undefined, text: (value: number) => string): string {
  if (summary == null) return "-";
  const { mean, standardDeviation } = summary;
  return standardDeviation === null ? text(mean) : `${text(mean)} ± ${text(standardDeviation)}`;
}

function contrastLines(
  { arm, against, final, toTarget, seconds, verdict, diverged }: ContrastResult,
  metric: ComparedMetric,
  percent: number,
): readonly string[] {
  const { reached, steps, target } = toTarget;
  const to = target === null ? `where ${against} ends` : `${metric} ${valueText(metric, target)}`;
  const numbers: readonly (readonly [string, PairedDifference | null | undefined, (value: number) => string])[] = [
    ...METRIC_NAMES.map((name) => [name, final[name], (value: number) => differenceText(name, value)] as const),
    ["seconds", seconds, (value) => differenceText("loss", value)],
    [`steps to ${to}`, steps, (value) => differenceText("loss", value)],
    [`seconds to ${to}`, toTarget.seconds, (value) => differenceText("loss", value)],
  ];
  return [
    `${arm}, compared with ${against}: ${verdict.kind}, by ${verdict.metric}${divergedText(diverged)}`,
    ...numbers.flatMap(([name, difference, text]) =>
      difference == null ? [] : [`  ${name}: ${paired(difference, text, percent)}`],
    ),
    `  got ${to}: ${reached.arm} runs, and ${reached.against} of the other`,
  ];
}

function divergedText({ arm, against }: ContrastResult["diverged"]): string {
  const count = arm.length + against.length;
  return count === 0 ? "" : `; ${count} runs diverged: ${arm.length} and ${against.length} of the other`;
}

function paired(
  { mean, interval, bootstrap }: PairedDifference,
  text: (value: number) => string,
  percent: number,
): string {
  if (interval === null || bootstrap === null) return text(mean);
  const [low, high] = interval;
  const [least, most] = bootstrap;
  return `${text(mean)}, ${percent} % interval ${text(low)} to ${text(high)} (bootstrap ${text(least)} to ${text(most)})`;
}
