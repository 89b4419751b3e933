import type { Evaluation } from "../runtime/evaluation/evaluate.ts";

/** What may be compared, and which way is better. */
export const COMPARED_METRICS = {
  loss: "less",
  accuracy: "more",
  top5: "more",
  macroF1: "more",
  perplexity: "less",
  meanAbsoluteError: "less",
  rootMeanSquareError: "less",
  r2: "more",
  psnr: "more",
} as const;

export type ComparedMetric = keyof typeof COMPARED_METRICS;

export type MetricValues = Readonly<Partial<Record<ComparedMetric, number>>>;

export const METRIC_NAMES = Object.keys(COMPARED_METRICS).filter((name): name is ComparedMetric =>
  Object.hasOwn(COMPARED_METRICS, name),
);

/** The numbers of an evaluation that can be compared, those that are finite. */
export function metricValues(evaluation: Evaluation): MetricValues {
  return Object.fromEntries(Object.entries(allValues(evaluation)).filter(([, value]) => Number.isFinite(value)));
}

function allValues({ loss, metrics }: Evaluation): MetricValues {
  if (metrics === null) return { loss };
  if (metrics.task === "regression") {
    const { meanAbsoluteError, rootMeanSquareError, r2, psnr } = metrics;
    return {
      loss,
      meanAbsoluteError,
      rootMeanSquareError,
      ...(r2 === null ? {} : { r2 }),
      ...(psnr === null ? {} : { psnr }),
    };
  }
  const { accuracy, top5, macroF1, perplexity } = metrics;
  return {
    ...{ loss, accuracy },
    ...(top5 === null ? {} : { top5 }),
    ...(macroF1 === null ? {} : { macroF1 }),
    ...(perplexity === null ? {} : { perplexity }),
  };
}

export function isAsGood(metric: ComparedMetric, value: number, target: number): boolean {
  return COMPARED_METRICS[metric] === "less" ? value <= target : value >= target;
}

/** The better of several values. */
export function bestOf(metric: ComparedMetric, values: readonly number[]): number {
  return values.reduce((best, value) => (isAsGood(metric, best, value) ? best : value));
}
