import { type Summary, summarize } from "../../entries/run.ts";
import type { ComparedMetric, ComparisonEvent } from "../../index.ts";

/** One arm at one step: mean and deviation over the seeds. */
interface At {
  readonly step: number;
  readonly summary: Summary;
}

interface Curve {
  readonly arm: string;
  readonly points: readonly At[];
}

const FRAME = { width: 720, height: 420, left: 64, right: 20, top: 40 } as const;
const BOTTOM = 330;
const LINE = 18;

/** Of Okabe and Ito: told apart by those who do not see all colours. Arms beyond them are dashed. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] as const;

/** The metric over the steps, per arm: mean over the seeds, and a band of one standard deviation. A picture in SVG. */
export function curvesSvg({ runs, arms, metric, seeds }: ComparisonEvent): string {
  const curves = arms.map(({ arm }) => curveOf(arm, runs, metric)).filter(({ points }) => points.length > 0);
  const spread = curves.flatMap(({ points }) => points.flatMap(({ summary }) => ends(summary)));
  const steps = curves.flatMap(({ points }) => points.map(({ step }) => step));
  const [low, high] = widened(Math.min(...spread), Math.max(...spread));
  const [first, last] = widened(Math.min(...steps), Math.max(...steps));
  const { width, height, left, right, top } = FRAME;
  const x = (step: number): number => left + ((step - first) / (last - first)) * (width - left - right);
  const y = (value: number): number => top + ((high - value) / (high - low)) * (BOTTOM - top);
  const at = (step: number, value: number): string => `${x(step).toFixed(1)},${y(value).toFixed(1)}`;
  const drawn = curves.flatMap(({ points }, index) => {
    const color = COLORS[index % COLORS.length];
    const dash = index < COLORS.length ? "" : ' stroke-dasharray="6 3"';
    const upper = points.map(({ step, summary }) => at(step, ends(summary)[1]));
    const lower = points.map(({ step, summary }) => at(step, ends(summary)[0])).reverse();
    const line = points.map(({ step, summary }) => at(step, summary.mean)).join(" ");
    return [
      `<polygon points="${[...upper, ...lower].join(" ")}" fill="${color}" fill-opacity="0.12"/>`,
      `<polyline points="${line}" fill="none" stroke="${color}" stroke-width="${widthOf(index, curves.length)}"${dash}/>`,
      `<path d="M${left} ${BOTTOM + 44 + LINE * index - 4}h24" stroke="${color}" stroke-width="3"${dash}/>`,
      text(curves[index]?.arm ?? "", left + 32, BOTTOM + 44 + LINE * index, "start"),
    ];
  });
  const ticks = Array.from({ length: 5 }, (_, index) => low + (index * (high - low)) / 4);
  const title = `${metric}: mean of ${seeds.length} seeds, and one standard deviation`;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${Math.max(height, BOTTOM + 50 + LINE * curves.length)}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(`${title}: ${arms.map(({ arm }) => arm).join(", ")}`)}</title>`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(title, width / 2, 22, "middle"),
    ...ticks.flatMap((value) => [
      `<path d="M${left} ${y(value).toFixed(1)}H${width - right}" stroke="#ddd"/>`,
      text(String(Number(value.toPrecision(3))), left - 8, y(value) + 4, "end"),
    ]),
    text(String(first), x(first), BOTTOM + 18, "middle"),
    text(String(last), x(last), BOTTOM + 18, "middle"),
    text("step", (left + width - right) / 2, BOTTOM + 18, "middle"),
    ...drawn,
    "</svg>",
  ].join("\n")}\n`;
}

/** Earlier curves are wider: those that lie on each other are all seen. */
const widthOf = (index: number, count: number): number => Math.min(9, 2 + 2 * (count - 1 - index));

function curveOf(arm: string, runs: ComparisonEvent["runs"], metric: ComparedMetric): Curve {
  const values = new Map<number, number[]>();
  for (const { identity, points, diverged } of runs) {
    if (identity.arm !== arm || diverged !== null) continue;
    for (const { step, values: own } of points) {
      const value = own[metric];
      if (value !== undefined) values.set(step, [...(values.get(step) ?? []), value]);
    }
  }
  const points = [...values]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([step, each]): At[] => {
      const summary = summarize(each);
      return summary === null ? [] : [{ step, summary }];
    });
  return { arm, points };
}

function ends({ mean, standardDeviation }: Summary): readonly [number, number] {
  const deviation = standardDeviation ?? 0;
  return [mean - deviation, mean + deviation];
}

/** A range that can be divided by; of no numbers, some. */
function widened(low: number, high: number): readonly [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  return high > low ? [low, high] : [low, low + 1];
}

function text(content: string, x: number, y: number, anchor: "start" | "middle" | "end"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

const escaped = (content: string): string => content.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
