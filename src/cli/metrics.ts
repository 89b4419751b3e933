import type { Evaluation } from "../index.ts";

interface Described {
  readonly json: Readonly<Record<string, unknown>>;
  readonly parts: readonly string[];
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** The metrics of an evaluation as parts of a line, and as fields. */
export function describeMetrics({ metrics }: Evaluation): Described {
  if (metrics === null) return { json: { accuracy: null }, parts: [] };
  if (metrics.task === "regression") {
    const { meanAbsoluteError, rootMeanSquareError, r2, psnr } = metrics;
    return {
      json: { accuracy: null, meanAbsoluteError, rootMeanSquareError, r2, psnr },
      parts: [
        `mean absolute error ${meanAbsoluteError.toPrecision(4)}`,
        `root mean square error ${rootMeanSquareError.toPrecision(4)}`,
        ...(r2 === null ? [] : [`R2 ${r2.toFixed(4)}`]),
        ...(psnr === null ? [] : [`PSNR ${psnr.toFixed(2)} dB`]),
      ],
    };
  }
  const { accuracy, top5, macroF1, confusion, perplexity } = metrics;
  return {
    json: { accuracy, top5, macroF1, perplexity, confusion },
    parts: [
      `accuracy ${percent(accuracy)}`,
      ...(top5 === null ? [] : [`top-5 ${percent(top5)}`]),
      ...(macroF1 === null ? [] : [`macro F1 ${macroF1.toFixed(4)}`]),
      ...(perplexity === null ? [] : [`perplexity ${perplexity.toPrecision(4)}`]),
    ],
  };
}
