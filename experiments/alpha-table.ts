import { readFileSync } from "node:fs";
import type { GradientReport } from "../src/entries/graph.ts";
import type { Alphas } from "./alpha.ts";

type Report = Pick<GradientReport, "shape" | "nonZero" | "largestAlpha" | "change">;

const sizeOf = ({ shape }: Report): number => shape.reduce((size, dim) => size * dim, 1);

/** Below this share of numbers that are not zero a gradient is called sparse. */
const SPARSE = 0.5;

/** In the order of the table. */
const KINDS: readonly { readonly name: string; readonly holds: (report: Report) => boolean }[] = [
  { name: "sparse (embeddings)", holds: (report) => report.nonZero < SPARSE * sizeOf(report) },
  { name: "biases, norms and scales", holds: ({ shape }) => shape.length <= 1 },
  { name: "dense, below 5,000 elements", holds: (report) => sizeOf(report) < 5000 },
  { name: "dense, from 5,000 elements on", holds: () => true },
];

function middleOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const [above = 0, below = 0] = [sorted[half], sorted[half - 1]];
  return sorted.length % 2 === 1 ? above : (above + below) / 2;
}

const rangeOf = (values: readonly number[], shown: (value: number) => string): string => {
  const [least, most] = [shown(Math.min(...values)), shown(Math.max(...values))];
  return least === most ? least : `${least} to ${most}`;
};

/** How large alpha is in which tensors. */
export function alphaSection(): string {
  const { batch, experiments } = JSON.parse(readFileSync(new URL("alpha.json", import.meta.url), "utf8")) as Alphas;
  const rows = Object.entries(experiments).flatMap(([name, reports]) =>
    KINDS.flatMap((kind) => {
      const own = reports.filter((report) => KINDS.find(({ holds }) => holds(report)) === kind);
      if (own.length === 0) return [];
      const alphas = own.map(({ largestAlpha }) => largestAlpha);
      const changes = own.map(({ change }) => 100 * change);
      return `| ${[
        name,
        kind.name,
        own.length,
        rangeOf(own.map(sizeOf), String),
        `${middleOf(alphas).toFixed(4)} (${rangeOf(alphas, (value) => value.toFixed(4))})`,
        `${middleOf(changes).toFixed(2)} (${rangeOf(changes, (value) => value.toFixed(2))})`,
      ].join(" | ")} |`;
    }),
  );
  return [
    "## Where AGR can matter",
    "",
    `\`npm run experiment -- alpha\`: what \`diagnose\` tells of the gradients of one batch of ${batch} samples, at the initial weights of the first seed. The change is the norm of what AGR takes away, as a share of the gradient's norm; medians, with the least and the greatest.`,
    "",
    "| experiment | tensors | number | elements | largest alpha | change, % |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
    "Of a dense tensor with many elements AGR takes next to nothing; of biases, norms and embeddings of which a batch has few rows it takes more. An optimizer that divides by the root of mean squares, as AdamW and Adan do, takes most of a common factor back.",
  ].join("\n");
}
