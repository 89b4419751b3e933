import type { StatisticsEvent } from "../index.ts";
import { tableLines } from "./table.ts";

/** Parameters of a table: of more, those whose alpha is largest. */
const MOST_ROWS = 16;

/** The gradients of the last step that has statistics, beside those of the first. */
export function statisticsTable(events: readonly StatisticsEvent[]): readonly string[] {
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) return [];
  const norms = new Map(first.parameters.map(({ parameter, norm }) => [parameter, norm]));
  const isShown = new Set(last.parameters.toSorted((a, b) => b.largestAlpha - a.largestAlpha).slice(0, MOST_ROWS));
  const rows = last.parameters
    .filter((each) => isShown.has(each))
    .map(({ parameter, norm, largestAlpha, change }) => [
      parameter,
      (norms.get(parameter) ?? norm).toExponential(2),
      norm.toExponential(2),
      largestAlpha.toFixed(4),
      `${(100 * change).toFixed(2)} %`,
    ]);
  const left = last.parameters.length - rows.length;
  return [
    ...tableLines([
      ["gradient of", `norm, step ${first.step}`, `step ${last.step}`, "largest alpha", "AGR changes"],
      ...rows,
    ]),
    ...(left === 0 ? [] : [`(${left} parameters with a smaller largest alpha are left out)`]),
  ];
}
