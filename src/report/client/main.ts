import uPlot from "uplot";
import type { Curves } from "../html/curves.ts";

/** Draws the curves of a report into their figures. It runs in the reader's browser, and takes all it needs from the page. */

const COLOURS = 8;
const HEIGHT = 288;
const DASHES: readonly (readonly number[])[] = [[], [8, 4], [2, 3]];

const all = JSON.parse(document.getElementById("curves")?.textContent ?? "[]") as readonly Curves[];
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function numberText(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function axis(label: string): uPlot.Axis {
  return {
    label,
    labelSize: 22,
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    values: (_, splits) => splits.map((value) => (value === null ? "" : numberText(value))),
  };
}

function optionsOf({ x, series, isLog, xLabel, yLabel }: Curves, width: number): uPlot.Options {
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false }, y: { distr: isLog ? 3 : 1 } },
    axes: [axis(xLabel), { ...axis(yLabel), size: 64 }],
    cursor: { drag: { x: true, y: false } },
    series: [
      { label: xLabel, value: (_, value) => numberText(value) },
      ...series.map(({ label, isFaint, hasPoints, colour: at }): uPlot.Series => {
        const stroke = colour(`--c${at % COLOURS}`);
        return {
          label,
          stroke: isFaint ? `${stroke}66` : stroke,
          width: isFaint ? 1 : 2,
          dash: [...(DASHES[Math.floor(at / COLOURS) % DASHES.length] ?? [])],
          spanGaps: true,
          points: { show: hasPoints || x.length === 1 },
          value: (_, value) => numberText(value),
        };
      }),
    ],
  };
}

function draw(place: HTMLElement, curves: Curves): void {
  place.replaceChildren();
  const data: uPlot.AlignedData = [[...curves.x], ...curves.series.map(({ values }) => [...values])];
  const plot = new uPlot(optionsOf(curves, place.clientWidth), data, place);
  plots.set(place, plot);
}

const plots = new Map<HTMLElement, uPlot>();
const places = [...document.querySelectorAll<HTMLElement>("[data-curves]")];

function drawAll(): void {
  for (const place of places) {
    const curves = all[Number(place.dataset["curves"])];
    plots.get(place)?.destroy();
    if (curves !== undefined) draw(place, curves);
  }
}

drawAll();
dark.addEventListener("change", drawAll);
addEventListener("resize", () => {
  for (const [place, plot] of plots) plot.setSize({ width: place.clientWidth, height: HEIGHT });
});
