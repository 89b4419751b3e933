/** A curve over the x of its figure; null where it has no value. */
export interface Series {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** Drawn thin, behind what is read from it. */
  readonly isFaint: boolean;
  readonly hasPoints: boolean;
  readonly colour: number;
}

/** Curves that share their axes. */
export interface Curves {
  readonly xLabel: string;
  readonly yLabel: string;
  readonly isLog: boolean;
  /** Ascending. */
  readonly x: readonly number[];
  readonly series: readonly Series[];
}

/** Points of one curve: x and y. */
export type Points = readonly (readonly [x: number, y: number])[];

/** A curve to be drawn. */
export interface Line {
  readonly label: string;
  readonly points: Points;
  readonly isFaint?: boolean;
  readonly hasPoints?: boolean;
  /** Lines of one number have one colour. Default: the place among the lines. */
  readonly colour?: number;
}

export interface CurveOptions {
  readonly xLabel: string;
  readonly yLabel: string;
  readonly isLog?: boolean;
}

/** Curves of points that need not have their x in common. What a logarithm cannot show, and what is not finite, is left out. */
export function curvesOf(lines: readonly Line[], { xLabel, yLabel, isLog = false }: CurveOptions): Curves {
  const x = [...new Set(lines.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const isShown = (value: number): boolean => Number.isFinite(value) && (!isLog || value > 0);
  const series = lines.map(({ label, points, isFaint = false, hasPoints = false, colour }, place): Series => {
    const byX = new Map(points);
    const values = x.map((at) => {
      const value = byX.get(at);
      return value !== undefined && isShown(value) ? Number(value.toPrecision(6)) : null;
    });
    return { label, values, isFaint, hasPoints, colour: colour ?? place };
  });
  const isEmpty = series.every(({ values }) => values.every((value) => value === null));
  return { xLabel, yLabel, isLog: isLog && !isEmpty, x, series };
}

/** A mean is of about so small a part of the curve. */
const SMOOTHED_PART = 25;

/** Exponentially weighted means: what a curve of single batches comes to. */
export function smoothed(points: Points): Points {
  const share = 1 - 1 / (1 + points.length / SMOOTHED_PART);
  let [mean, weight] = [0, 0];
  return points.map(([x, y]) => {
    mean = share * mean + (1 - share) * y;
    weight = share * weight + (1 - share);
    return [x, mean / weight] as const;
  });
}
