import type { ContrastResult } from "../src/index.ts";
import { judgedBy, type Metric, type Outcome, rateOf, signed } from "./outcome.ts";
import { samplesSection } from "./samples-table.ts";

type Difference = ContrastResult["final"]["loss"];
type Spread = Outcome["arms"][number]["final"]["loss"];

const HEADINGS = { accuracy: "accuracy, %", loss: "loss" } as const;
const DIFFERENCES = { accuracy: "accuracy, points", loss: "loss" } as const;

const metricsOf = ({ arms }: Outcome): readonly Metric[] =>
  arms.some(({ final }) => final.accuracy !== undefined) ? ["accuracy", "loss"] : ["loss"];

/** A share as a percentage; a loss as it is. */
const shown = (metric: Metric, value: number): string =>
  metric === "accuracy" ? (100 * value).toFixed(2) : value.toFixed(4);

function spreadText(metric: Metric, spread: Spread): string {
  if (spread === undefined) return "";
  const { mean, standardDeviation } = spread;
  return standardDeviation === null
    ? shown(metric, mean)
    : `${shown(metric, mean)} ± ${shown(metric, standardDeviation)}`;
}

/** A difference of accuracy in points; one of loss as it is. */
export const changeText = (metric: Metric, value: number): string =>
  metric === "accuracy" ? signed(100 * value, 2) : signed(value, 4);

function differenceText(metric: Metric, difference: Difference): string {
  if (difference === undefined) return "";
  const { mean, interval } = difference;
  const text = (value: number): string => changeText(metric, value);
  return interval === null ? text(mean) : `${text(mean)} (${text(interval[0])} to ${text(interval[1])})`;
}

const row = (cells: readonly (string | number | null)[]): string => `| ${cells.join(" | ")} |`;

function table(heads: readonly string[], rows: readonly (readonly (string | number | null)[])[]): readonly string[] {
  return [row(heads), `|${"---|".repeat(heads.length)}`, ...rows.map(row)];
}

function armsTable(outcome: Outcome): readonly string[] {
  const metrics = metricsOf(outcome);
  return table(
    ["options", "rate", "runs", ...metrics.map((metric) => HEADINGS[metric]), "seconds of the fastest"],
    outcome.arms.map(({ arm, final, seconds, runs, diverged }) => [
      arm,
      rateOf(outcome, arm),
      diverged === 0 ? runs : `${runs}, of which ${diverged} diverged`,
      ...metrics.map((metric) => spreadText(metric, final[metric])),
      seconds === null ? "" : seconds.least.toFixed(1),
    ]),
  );
}

function contrastsTable(outcome: Outcome): readonly string[] {
  const metrics = metricsOf(outcome);
  const judged = judgedBy(outcome);
  return table(
    [
      ...["options", "compared with"],
      ...metrics.map((metric) => `${DIFFERENCES[metric]} (95 %)`),
      ...[`best ${DIFFERENCES[judged]}`, "steps to where the other ends", "got there", `verdict by ${judged}`],
    ],
    outcome.contrasts.map(({ arm, against, final, best, toTarget: { steps, reached }, verdict }) => [
      ...[arm, against],
      ...metrics.map((metric) => differenceText(metric, final[metric])),
      differenceText(judged, best[judged]),
      steps === null ? "" : `${signed(steps.mean, 0)} in ${steps.pairs}`,
      `${reached.arm} of ${final[judged]?.pairs ?? 0}`,
      verdict.kind,
    ]),
  );
}

/** What each learning rate came to with the seed that is not compared. */
function sweepsTable(outcome: Outcome): readonly string[] {
  const { sweeps } = outcome;
  const [first] = sweeps;
  if (first === undefined) return ["The learning rate is the same for all."];
  const by = judgedBy(outcome);
  const atEnd = sweeps.filter(({ isAtEnd }) => isAtEnd).map(({ arm }) => arm);
  const where =
    atEnd.length === 0
      ? "The best lies within the list for all."
      : `The best is at an end of the list for ${atEnd.join(", ")}.`;
  return [
    `${by === "accuracy" ? "Accuracy, %," : "Loss"} by learning rate, with a seed that is not compared; the best is in bold. ${where}`,
    "",
    ...table(
      ["options", ...first.results.map(({ rate }) => String(rate))],
      sweeps.map(({ arm, results, rate: best }) => [
        arm,
        ...results.map(({ rate, value }) => {
          const text = value === null ? "diverged" : shown(by, value);
          return rate === best ? `**${text}**` : text;
        }),
      ]),
    ),
  ];
}

/** The part of the page about one experiment. */
export function sectionOf(name: string, title: string, outcome: Outcome): string {
  const { arms, seeds, versions, metric, commit } = outcome;
  const compared = arms.reduce((sum, { runs }) => sum + runs, 0);
  return [
    `## ${title}`,
    "",
    `\`npm run experiment -- ${name}\`: ${compared} runs of ${seeds.length} seeds are compared.`,
    "",
    ...sweepsTable(outcome),
    "",
    ...armsTable(outcome),
    "",
    ...contrastsTable(outcome),
    "",
    `![The ${metric} over the steps](${name}/curves.svg)`,
    "",
    ...(name === "ddpm" ? samplesSection() : []),
    `Run with the code of commit ${commit ?? "unknown"} and onnxruntime-node ${versions["onnxruntime-node"]}, on one thread of a machine that was busy with other work: even the fastest training could be faster, and only steps are to be compared.`,
  ].join("\n");
}
