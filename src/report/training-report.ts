import { type Kind, requireArgument, TEXT, withFields } from "../arguments.ts";
import type { Evaluation } from "../runtime/evaluation/evaluate.ts";
import type { StatisticsEvent } from "../runtime/train.ts";
import { curvesOf, type Points, smoothed } from "./html/curves.ts";
import { ASSETS, type Assets, type Html, type Part, page, type Section } from "./html/page.ts";
import { confusionMatrix, facts, numbers, paragraph, pictures, sparkline, table } from "./html/parts.ts";
import type { Pictures } from "./pictures.ts";

/** What a report of a training is made of. */
export interface TrainingReport {
  readonly title: string;
  /** A sentence or two below the title. */
  readonly summary: string;
  readonly points: readonly { readonly step: number; readonly loss: number; readonly learningRate: number }[];
  readonly epochs: readonly {
    /** Counted from 0. */
    readonly epoch: number;
    /** The last step of the epoch. */
    readonly step: number;
    readonly loss: number;
    readonly seconds: number;
    readonly samplesPerSecond: number;
    /** Loss and metrics by name; null where nothing was evaluated. */
    readonly validation: Readonly<Record<string, number>> | null;
  }[];
  /** Each evaluation after a step, loss and metrics by name. Default: those of the epochs. */
  readonly evaluations?: readonly { readonly step: number; readonly values: Readonly<Record<string, number>> }[];
  readonly statistics: readonly StatisticsEvent[];
  /** AGR of the models in words; null where they have none. */
  readonly agr: string | null;
  /** Of the state at the end; null where there is no eval model. */
  readonly evaluation: (Evaluation & { readonly of: string; readonly pictures: Pictures | null }) | null;
  readonly classes: readonly string[];
  readonly configuration: readonly (readonly [name: string, value: string])[];
  readonly versions: readonly (readonly [name: string, value: string])[];
}

const A_LIST: Kind = { what: "a list", holds: Array.isArray };
const A_REPORT = withFields(
  { title: TEXT, points: A_LIST, epochs: A_LIST, statistics: A_LIST, configuration: A_LIST, versions: A_LIST },
  "what a training was: { title, summary, points, epochs, statistics, ... }",
);

/** Curves in one figure: more cannot be told apart. */
const MOST_CURVES = 16;
const MOST_ROWS = 400;

/** The report as one HTML file, which needs nothing else. */
export function trainingReport(report: TrainingReport, assets: Assets): string {
  requireArgument("report", report, A_REPORT);
  requireArgument("assets", assets, ASSETS);
  const sections: readonly (Section | null)[] = [
    { title: null, parts: [paragraph(report.summary, "quiet"), numbers(keyNumbers(report))] },
    { title: "Course", parts: courseOf(report) },
    gradientsOf(report),
    evaluationOf(report),
    { title: "Configuration", parts: [facts(report.configuration)] },
    { title: "Versions", parts: [facts(report.versions)] },
  ];
  return page(
    report.title,
    sections.filter((section) => section !== null),
    assets,
  );
}

const short = (value: number): string => {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
};
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

const evaluationsOf = ({ epochs, evaluations }: TrainingReport): NonNullable<TrainingReport["evaluations"]> =>
  evaluations ?? epochs.flatMap(({ step, validation }) => (validation === null ? [] : [{ step, values: validation }]));

function keyNumbers(report: TrainingReport): readonly (readonly [string, string])[] {
  const { points, epochs, evaluation } = report;
  const losses = evaluationsOf(report).flatMap(({ values }) => values["loss"] ?? []);
  const metrics = evaluation?.metrics ?? null;
  return [
    ["steps", String(points.at(-1)?.step ?? 0)],
    ["last training loss", short(epochs.at(-1)?.loss ?? points.at(-1)?.loss ?? Number.NaN)],
    ...(losses.length === 0 ? [] : [["least validation loss", short(Math.min(...losses))] as const]),
    ...(metrics?.task === "classification" ? [["accuracy at the end", percent(metrics.accuracy)] as const] : []),
    ...(metrics?.task === "regression" ? [["mean absolute error", short(metrics.meanAbsoluteError)] as const] : []),
    ["seconds", short(epochs.reduce((sum, { seconds }) => sum + seconds, 0))],
  ];
}

function courseOf(report: TrainingReport): readonly Part[] {
  const { points, epochs } = report;
  const evaluations = evaluationsOf(report);
  const losses: Points = points.map(({ step, loss }) => [step, loss]);
  const names = [...new Set(evaluations.flatMap(({ values }) => Object.keys(values)))];
  const ofValidation = (name: string): Points =>
    evaluations.flatMap(({ step, values }) => (values[name] === undefined ? [] : [[step, values[name]]]));
  const validationLoss = ofValidation("loss");
  const lossLines = [
    { label: "batch", points: losses, isFaint: true },
    { label: "batches, smoothed", points: smoothed(losses) },
    ...(validationLoss.length === 0
      ? []
      : [{ label: "validation", points: validationLoss, hasPoints: validationLoss.length < 100 }]),
  ];
  const metrics = names.filter((name) => name !== "loss");
  const rates: Points = points.map(({ step, learningRate }) => [step, learningRate]);
  return [
    { caption: "Loss", curves: curvesOf(lossLines, { xLabel: "step", yLabel: "loss" }) },
    ...metrics.map((name) => {
      const values = ofValidation(name);
      const line = { label: name, points: values, hasPoints: values.length < 100 };
      return {
        caption: `Validation: ${name}`,
        isSmall: true,
        curves: curvesOf([line], { xLabel: "step", yLabel: name }),
      };
    }),
    {
      caption: "Learning rate",
      isSmall: true,
      curves: curvesOf([{ label: "learning rate", points: rates }], { xLabel: "step", yLabel: "learning rate" }),
    },
    ...(epochs.length === 0 ? [] : [epochTable(epochs, names)]),
  ];
}

function epochTable(epochs: TrainingReport["epochs"], names: readonly string[]): Html {
  const shown = epochs.slice(-MOST_ROWS);
  return table(
    ["epoch", "loss", ...names.map((name) => `validation ${name}`), "samples per second", "seconds"],
    shown.map(({ epoch, loss, validation, samplesPerSecond, seconds }) => [
      String(epoch + 1),
      short(loss),
      ...names.map((name) => (validation?.[name] === undefined ? "–" : short(validation[name]))),
      String(Math.round(samplesPerSecond)),
      seconds.toFixed(1),
    ]),
  );
}

function gradientsOf({ statistics, agr }: TrainingReport): Section | null {
  const [first, last] = [statistics[0], statistics.at(-1)];
  if (first === undefined || last === undefined) return null;
  const of = (parameter: string, value: (each: StatisticsEvent["parameters"][number]) => number): Points =>
    statistics.flatMap(({ step, parameters }) => {
      const found = parameters.find((each) => each.parameter === parameter);
      return found === undefined ? [] : [[step, value(found)]];
    });
  const largest = last.parameters.toSorted((a, b) => b.norm - a.norm).slice(0, MOST_CURVES);
  const names = last.parameters.filter((each) => largest.includes(each)).map(({ parameter }) => parameter);
  const hasPoints = statistics.length < 50;
  const figure = (
    caption: string,
    yLabel: string,
    value: (each: StatisticsEvent["parameters"][number]) => number,
  ): Part => ({
    caption,
    curves: curvesOf(
      names.map((label) => ({ label, points: of(label, value), hasPoints })),
      { xLabel: "step", yLabel, isLog: true },
    ),
  });
  const left = last.parameters.length - names.length;
  const rows = last.parameters.slice(0, MOST_ROWS).map(({ parameter, shape, norm, largestAlpha, change, nonZero }) => [
    parameter,
    `[${shape.join(", ")}]`,
    short(first.parameters.find((each) => each.parameter === parameter)?.norm ?? norm),
    short(norm),
    sparkline(of(parameter, (each) => each.norm)),
    largestAlpha.toFixed(4),
    sparkline(of(parameter, (each) => each.largestAlpha)),
    percent(change),
    percent(
      1 -
        nonZero /
          Math.max(
            1,
            shape.reduce((size, dim) => size * dim, 1),
          ),
    ),
  ]);
  return {
    title: "Gradients and AGR",
    parts: [
      paragraph(
        `alpha is the share of an element in the sum of all magnitudes; AGR takes that share of it away. ${
          agr === null ? "AGR is not in these models: the numbers say what it would do by default." : `AGR: ${agr}.`
        } ${left === 0 ? "" : `The curves are those of the ${names.length} largest gradients of ${last.parameters.length}.`}`,
      ),
      figure("Norm of the gradient, by parameter", "norm", (each) => each.norm),
      figure("Largest alpha, by parameter", "largest alpha", (each) => each.largestAlpha),
      table(
        [
          ...["parameter", "shape", `norm, step ${first.step}`, `norm, step ${last.step}`, "norm over the steps"],
          ...["largest alpha", "over the steps", "AGR changes", "zeros"],
        ],
        rows,
      ),
      ...(last.parameters.length > rows.length
        ? [paragraph(`${last.parameters.length - rows.length} more parameters are left out.`)]
        : []),
    ],
  };
}

function evaluationOf({ evaluation, classes }: TrainingReport): Section | null {
  if (evaluation === null) return null;
  const { metrics, samples, loss, worst, of, pictures: shown } = evaluation;
  const nameOf = (label: number | null): string => (label === null ? "" : (classes[label] ?? String(label)));
  const isClasses = metrics?.task === "classification";
  const lines = worst.map(({ sample, label, predicted, by }) => ({
    pixels: shown?.of(sample) ?? null,
    lines: isClasses
      ? [`${nameOf(label)}, taken for ${nameOf(predicted)}`, `sample ${sample}, by ${short(by)}`]
      : [
          label === null ? `error ${short(by)}` : `${short(label)}, predicted ${short(predicted ?? Number.NaN)}`,
          `sample ${sample}`,
        ],
  }));
  const confusion = isClasses ? metrics.confusion : null;
  return {
    title: "Evaluation",
    parts: [
      paragraph(`The state after the last step, evaluated with ${of}: ${samples} samples, loss ${short(loss)}.`),
      ...(metrics === null ? [] : [facts(metricFacts(metrics))]),
      ...(confusion === null
        ? []
        : [paragraph("Samples by label (rows) and prediction (columns):"), confusionMatrix(confusion, classes)]),
      ...(lines.length === 0
        ? []
        : [
            paragraph(
              isClasses
                ? "The worst predictions: those whose score is furthest above the score of the label."
                : "The worst predictions: those with the largest errors.",
            ),
            pictures(lines),
          ]),
    ],
  };
}

function metricFacts(metrics: NonNullable<Evaluation["metrics"]>): readonly (readonly [string, string])[] {
  if (metrics.task === "regression") {
    const { meanAbsoluteError, rootMeanSquareError, r2, psnr } = metrics;
    return [
      ["mean absolute error", short(meanAbsoluteError)],
      ["root mean square error", short(rootMeanSquareError)],
      ...(r2 === null ? [] : [["R2", short(r2)] as const]),
      ...(psnr === null ? [] : [["PSNR", `${psnr.toFixed(2)} dB`] as const]),
    ];
  }
  const { accuracy, top5, macroF1 } = metrics;
  return [
    ["accuracy", percent(accuracy)],
    ...(top5 === null ? [] : [["top-5", percent(top5)] as const]),
    ...(macroF1 === null ? [] : [["macro F1", macroF1.toFixed(4)] as const]),
  ];
}
