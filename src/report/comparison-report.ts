import { requireArgument, TEXT, withFields } from "../arguments.ts";
import type { ComparisonEvent } from "../compare/compare.ts";
import type { ContrastResult } from "../compare/judge.ts";
import { type ComparedMetric, METRIC_NAMES } from "../compare/metrics.ts";
import type { ComparedRun, Point } from "../compare/run.ts";
import type { PairedDifference } from "../statistics/paired.ts";
import type { Summary } from "../statistics/summary.ts";
import { type CurveOptions, curvesOf, type Line, type Points } from "./html/curves.ts";
import { ASSETS, type Assets, type Figure, type Html, page } from "./html/page.ts";
import { facts, paragraph, table } from "./html/parts.ts";

const A_COMPARISON = withFields(
  Object.fromEntries(["arms", "contrasts", "runs"].map((name) => [name, { what: "a list", holds: Array.isArray }])),
  "what compare yields at its end: an event of type comparison",
);

/** Runs whose own curves are drawn beside the means of their option sets. */
const MOST_RUNS = 60;
const MOST_ROWS = 400;

/** The report of a comparison as one HTML file, which needs nothing else. @param title what was compared */
export function comparisonReport(title: string, comparison: ComparisonEvent, assets: Assets): string {
  requireArgument("title", title, TEXT);
  requireArgument("comparison", comparison, A_COMPARISON);
  requireArgument("assets", assets, ASSETS);
  const { seeds, weights, contrasts, metric, confidence, hashes, versions, sweeps } = comparison;
  const sections = [
    {
      title: null,
      parts: [
        paragraph(
          `${seeds.length} seeds (${seeds.join(", ")}), ${weights} weights; compared by ${metric}. Runs of one seed see the samples in the same order and begin with the same weights.`,
          "quiet",
        ),
        ...contrasts.map(({ verdict }) => paragraph(verdict.text, "verdict")),
      ],
    },
    {
      title: "Course",
      parts: [
        figure(comparison, `${metric} of the evaluations`, metric, ({ values }) => values[metric]),
        figure(
          comparison,
          "Training loss between the evaluations",
          "training loss",
          ({ trainingLoss }) => trainingLoss,
        ),
      ],
    },
    {
      title: "Option sets",
      parts: [
        paragraph("Mean and standard deviation at the end of the runs."),
        armTable(comparison),
        ...sweeps.map(({ arm, results, rate, isAtEnd }) => {
          const list = results.map((each) => `${each.rate}: ${each.value === null ? "diverged" : short(each.value)}`);
          const end = isAtEnd ? " It stands at the end of the list: a better one may lie beyond." : "";
          return paragraph(`${arm}: learning rate ${rate}, of ${list.join(", ")}.${end}`);
        }),
      ],
    },
    ...contrasts.map((contrast) => ({
      title: `${contrast.arm}, compared with ${contrast.against}`,
      parts: [differenceTable(contrast, confidence), pairTable(contrast, comparison)],
    })),
    { title: "Runs", parts: runTable(comparison) },
    {
      title: "Data and versions",
      parts: [
        facts([
          ...Object.entries(hashes).map(([name, hash]) => [`SHA-256 of ${name}`, String(hash)] as const),
          ...Object.entries(versions).map(([name, version]) => [name, String(version)] as const),
        ]),
      ],
    },
  ];
  return page(title, sections, assets);
}

const short = (value: number): string => {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
};
const signed = (value: number): string => (value > 0 ? `+${short(value)}` : short(value));
const spread = (summary: Summary | null | undefined): string => {
  if (summary == null) return "–";
  const { mean, standardDeviation } = summary;
  return standardDeviation === null ? short(mean) : `${short(mean)} ± ${short(standardDeviation)}`;
};

/** The mean of each option set over its seeds, and thin lines of the runs. */
function figure(
  { arms, runs }: ComparisonEvent,
  caption: string,
  yLabel: string,
  value: (point: Point) => number | undefined,
): Figure {
  const options: CurveOptions = { xLabel: "step", yLabel };
  const pointsOf = (run: ComparedRun): Points =>
    run.points.flatMap((point) => {
      const y = value(point);
      return y === undefined ? [] : [[point.step, y]];
    });
  const means = arms.map(({ arm }, colour): Line => {
    const own = runs.filter(({ identity, diverged }) => identity.arm === arm && diverged === null).map(pointsOf);
    const steps = [...new Set(own.flatMap((points) => points.map(([x]) => x)))].sort((a, b) => a - b);
    const points = steps.flatMap((step): [number, number][] => {
      const values = own.flatMap((each) => each.filter(([x]) => x === step).map(([, y]) => y));
      return values.length < own.length ? [] : [[step, values.reduce((sum, y) => sum + y, 0) / values.length]];
    });
    return { label: arm, points, colour, hasPoints: points.length < 50 };
  });
  const each =
    runs.length > MOST_RUNS
      ? []
      : runs.map((run): Line => {
          const colour = arms.findIndex(({ arm }) => arm === run.identity.arm);
          return { label: `seed ${run.identity.seed}`, points: pointsOf(run), isFaint: true, colour };
        });
  return { caption, curves: curvesOf([...means, ...each], options) };
}

function armTable({ arms }: ComparisonEvent): Html {
  const metrics = METRIC_NAMES.filter((name) => arms.some(({ final }) => final[name] !== undefined));
  return table(
    ["option set", "runs", "diverged", ...metrics, "seconds"],
    arms.map(({ arm, runs, diverged, final, seconds }) => [
      ...[arm, String(runs), String(diverged), ...metrics.map((name) => spread(final[name])), spread(seconds)],
    ]),
  );
}

function differenceTable({ final, best, seconds, toTarget }: ContrastResult, confidence: number): Html {
  const percent = Number((100 * confidence).toPrecision(4));
  const rows: readonly (readonly [string, PairedDifference | null | undefined])[] = [
    ...METRIC_NAMES.map((name) => [name, final[name]] as const),
    ...METRIC_NAMES.map((name) => [`best ${name}`, best[name]] as const),
    ["seconds", seconds],
    ["steps to the target", toTarget.steps],
    ["seconds to the target", toTarget.seconds],
  ];
  const interval = (range: readonly [number, number] | null): string =>
    range === null ? "–" : `${signed(range[0])} to ${signed(range[1])}`;
  return table(
    ["difference", "pairs", "mean", `${percent} % interval (t)`, "bootstrap", "p"],
    rows.flatMap(([name, found]) =>
      found == null
        ? []
        : [
            [
              ...[name, String(found.pairs), signed(found.mean), interval(found.interval), interval(found.bootstrap)],
              found.p === null ? "–" : short(found.p),
            ],
          ],
    ),
  );
}

function pairTable({ arm, against }: ContrastResult, { runs, seeds, metric }: ComparisonEvent): Html {
  const finalOf = (name: string, seed: number): number | undefined =>
    runs
      .find(({ identity, diverged }) => identity.arm === name && identity.seed === seed && diverged === null)
      ?.points.at(-1)?.values[metric];
  return table(
    [`seed`, arm, against, "difference"],
    seeds.slice(0, MOST_ROWS).map((seed) => {
      const [one, other] = [finalOf(arm, seed), finalOf(against, seed)];
      const text = (value: number | undefined): string => (value === undefined ? "–" : short(value));
      const difference = one === undefined || other === undefined ? "–" : signed(one - other);
      return [String(seed), text(one), text(other), difference];
    }),
  );
}

function runTable({ runs, metric }: ComparisonEvent): readonly Html[] {
  const finalText = (run: ComparedRun, name: ComparedMetric): string => {
    const value = run.points.at(-1)?.values[name];
    return value === undefined ? "–" : short(value);
  };
  const shown = runs.slice(0, MOST_ROWS);
  return [
    table(
      ["option set", "seed", "steps", "seconds", metric, ""],
      shown.map((run) => [
        ...[run.identity.arm, String(run.identity.seed), String(run.steps), run.seconds.toFixed(1)],
        ...[finalText(run, metric), run.diverged ?? ""],
      ]),
    ),
    ...(runs.length > shown.length ? [paragraph(`${runs.length - shown.length} more runs are left out.`)] : []),
  ];
}
