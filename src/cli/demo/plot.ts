/** A curve over the steps of a training run. */
export interface Curve {
  readonly label: string;
  /** One character in the terminal. */
  readonly mark: string;
  /** CSS colour in the SVG file. */
  readonly color: string;
  readonly values: readonly number[];
}

/** Means over windows of the curve, so that single batches do not hide the course. */
export function smooth(values: readonly number[], window: number): readonly number[] {
  return values.map((_, index) => {
    const part = values.slice(Math.max(0, index - window + 1), index + 1);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

function rangeOf(curves: readonly Curve[]): readonly [low: number, high: number] {
  const all = curves.flatMap(({ values }) => values);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  return [low, high === low ? low + 1 : high];
}

/** The curves as text; `*` where they meet. */
export function plotText(curves: readonly Curve[], width = 72, height = 14): string {
  const [low, high] = rangeOf(curves);
  const rows = Array.from({ length: height }, () => Array<string>(width).fill(" "));
  for (const { mark, values } of curves) {
    for (let column = 0; column < width; column++) {
      const value = values[Math.round((column * (values.length - 1)) / (width - 1))] ?? low;
      const row = rows[Math.round(((high - value) / (high - low)) * (height - 1))];
      if (row === undefined) continue;
      row[column] = row[column] === " " || row[column] === mark ? mark : "*";
    }
  }
  const labels = rows.map((_, index) => (high - (index * (high - low)) / (height - 1)).toFixed(2).padStart(6));
  const steps = Math.max(...curves.map(({ values }) => values.length));
  return [
    ...rows.map((row, index) => `${labels[index]} |${row.join("").trimEnd()}`),
    `${" ".repeat(7)}+${"-".repeat(width)}`,
    `${" ".repeat(8)}1${String(steps).padStart(width - 1)}  step`,
    `${" ".repeat(8)}${curves.map(({ mark, label }) => `${mark} ${label}`).join("   ")}   * both`,
  ].join("\n");
}

const FRAME = { width: 720, height: 400, left: 60, right: 20, top: 40, bottom: 50 };

/** The curves as an SVG picture; earlier ones are drawn wider, so that curves that lie on each other are all seen. */
export function plotSvg(title: string, yLabel: string, curves: readonly Curve[]): string {
  const { width, height, left, right, top, bottom } = FRAME;
  const [low, high] = rangeOf(curves);
  const steps = Math.max(...curves.map(({ values }) => values.length));
  const x = (step: number): number => left + ((step - 1) / Math.max(steps - 1, 1)) * (width - left - right);
  const y = (value: number): number => top + ((high - value) / (high - low)) * (height - top - bottom);
  const text = (content: string, atX: number, atY: number, anchor: string): string =>
    `<text x="${atX}" y="${atY}" text-anchor="${anchor}">${content}</text>`;
  const ticks = Array.from({ length: 5 }, (_, index) => low + (index * (high - low)) / 4);
  const grid = ticks.map((value) => {
    const at = y(value).toFixed(1);
    return `<path d="M${left} ${at}H${width - right}" stroke="#ddd"/>${text(value.toFixed(2), left - 8, Number(at) + 4, "end")}`;
  });
  const lines = curves.map(({ color, values }, index) => {
    const width = 1.5 * 3 ** (curves.length - 1 - index);
    const points = values.map((value, index) => `${x(index + 1).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    return `<polyline points="${points}" fill="none" stroke="${color}" stroke-width="${width}"/>`;
  });
  const legend = curves.map(({ label, color }, index) => {
    const atY = top + 14 + index * 18;
    return `<path d="M${width - 190} ${atY - 4}h24" stroke="${color}" stroke-width="3"/>${text(label, width - 158, atY, "start")}`;
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(title, width / 2, 22, "middle"),
    ...grid,
    ...lines,
    ...legend,
    text("1", left, height - bottom + 20, "middle"),
    text(String(steps), width - right, height - bottom + 20, "middle"),
    text("step", (left + width - right) / 2, height - 12, "middle"),
    text(yLabel, left - 8, top - 10, "end"),
    "</svg>",
  ].join("\n")}\n`;
}
