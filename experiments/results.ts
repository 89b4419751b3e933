/**
 * Writes experiments/README.md: what the experiments came to, from their comparison.json.
 *
 *     npm run experiment -- results
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ComparisonEvent, ContrastResult } from "../src/index.ts";

interface Result extends Omit<ComparisonEvent, "type" | "runs"> {
  readonly runs: readonly { readonly arm: string; readonly learningRate: number | { readonly rate: number } | null }[];
}

const HERE = new URL("./", import.meta.url);

/** What each experiment is, in the order of the page. */
const TITLES: Readonly<Record<string, string>> = {
  vit: "A small ViT",
  vgg: "A small VGG",
  resnet: "A small ResNet",
  albert: "ALBERT, masked words",
  variants: "Options of AGR, on the small ViT with AdamW",
};

function resultOf(name: string): Result | null {
  const file = new URL(`${name}/comparison.json`, HERE);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Result) : null;
}

const percent = (value: number | null | undefined): string => (value == null ? "" : (100 * value).toFixed(2));
const signed = (value: number, digits: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

function armRows({ arms, runs }: Result): readonly string[] {
  return arms.map(({ arm, final, seconds, runs: count }) => {
    const rate = runs.find((run) => run.arm === arm)?.learningRate ?? null;
    const { accuracy, loss } = final;
    return `| ${[
      arm,
      typeof rate === "object" ? rate?.rate : rate,
      count,
      `${percent(accuracy?.mean)} ± ${percent(accuracy?.standardDeviation)}`,
      `${loss?.mean.toFixed(4)} ± ${loss?.standardDeviation?.toFixed(4)}`,
      `${seconds?.mean.toFixed(1)} ± ${seconds?.standardDeviation?.toFixed(1)}`,
    ].join(" | ")} |`;
  });
}

function contrastRow({ arm, against, final, toTarget, verdict }: ContrastResult): string {
  const { accuracy, loss } = final;
  const points = (value: number | undefined): string => (value === undefined ? "" : signed(100 * value, 2));
  const interval = accuracy?.interval ?? null;
  const { steps, reached } = toTarget;
  return `| ${[
    arm,
    against,
    interval === null
      ? points(accuracy?.mean)
      : `${points(accuracy?.mean)} (${points(interval[0])} to ${points(interval[1])})`,
    loss?.interval == null
      ? ""
      : `${signed(loss.mean, 4)} (${signed(loss.interval[0], 4)} to ${signed(loss.interval[1], 4)})`,
    steps === null ? "" : `${signed(steps.mean, 0)} in ${steps.pairs}`,
    `${reached.arm} of ${accuracy?.pairs ?? 0}`,
    verdict.kind,
  ].join(" | ")} |`;
}

function sweepText(sweeps: Result["sweeps"]): string {
  if (sweeps.length === 0) return "The learning rate is the same for all.";
  const rates = sweeps[0]?.results.map(({ rate }) => rate).join(", ");
  const atEnd = sweeps.filter(({ isAtEnd }) => isAtEnd).map(({ arm }) => arm);
  const where =
    atEnd.length === 0
      ? "The best lies within the list for all."
      : `The best is at an end of the list for ${atEnd.join(", ")}.`;
  return `Learning rates tried for each option set, with a seed that is not compared: ${rates}. ${where}`;
}

function sectionOf(name: string, title: string, result: Result): string {
  const { arms, sweeps, contrasts, seeds, versions, metric } = result;
  return [
    `## ${title}`,
    "",
    `\`npm run experiment -- ${name}\`. ${sweepText(sweeps)}`,
    "",
    "| options | rate | runs | accuracy, % | loss | seconds of training |",
    "|---|---|---|---|---|---|",
    ...armRows(result),
    "",
    `| options | compared with | accuracy, points (95 %) | loss (95 %) | steps to where the other ends | got there | verdict by ${metric} |`,
    "|---|---|---|---|---|---|---|",
    ...contrasts.map(contrastRow),
    "",
    `![Accuracy over the steps](${name}/curves.svg)`,
    "",
    `${arms.reduce((sum, { runs }) => sum + runs, 0)} runs of ${seeds.length} seeds are compared, with onnxruntime-node ${versions["onnxruntime-node"]} on one thread of a shared machine: seconds are rough.`,
  ].join("\n");
}

/** What AGR changed in one experiment, per optimizer: the README has it word for word. Null where it has no results. */
export function sentenceOf(name: string): string | null {
  const result = resultOf(name);
  if (result === null) return null;
  const parts = result.contrasts.flatMap(({ arm, against, final, verdict }) => {
    const [, optimizer] = /^optimizer=(\w+) agr=on$/.exec(arm) ?? [];
    const { accuracy } = final;
    if (optimizer === undefined || against !== `optimizer=${optimizer} agr=off` || accuracy?.interval == null)
      return [];
    const [mean, low, high] = [accuracy.mean, ...accuracy.interval].map((value) => signed(100 * value, 2));
    return [`${OPTIMIZERS[optimizer] ?? optimizer} ${mean} points of accuracy (${low} to ${high}; ${verdict.kind})`];
  });
  return `${TITLES[name]?.replace(/^A/, "a")}, ${result.seeds.length} seeds: ${parts.join(", ")}`;
}

const OPTIMIZERS: Readonly<Record<string, string>> = { adamw: "AdamW", adan: "Adan" };

/** The text of experiments/README.md. */
export function resultsDocument(): string {
  const sections = Object.entries(TITLES).flatMap(([name, title]) => {
    const result = resultOf(name);
    return result === null ? [] : [sectionOf(name, title, result)];
  });
  return `# Is AGR worth it?

Made by \`npm run experiment -- results\` from the \`comparison.json\` of each experiment; a test compares.

Each folder has a configuration that \`onnx-agr compare\` runs, and a model, freshly initialized by \`export-images.py\` or \`export-albert.py\` with PyTorch. \`npm run experiment -- <name>\` runs one; it goes on where it was broken off.
Whoever has other data points the configuration at them.

- Images: Fashion-MNIST (Debian's dataset-fashion-mnist), the first 12,800 training images to train with, the last 5,000 to compare by. The test images are not used. AdamW and Adan, each without AGR and with it; two epochs of 400 steps of 32 samples.
- Masked words: text of Debian's package fortunes, 64 words a sample, 15 % of them masked. AdamW with a weight decay of 5e-4, 240 steps of 16 samples.

Every option set is trained with each learning rate of one list, and keeps the best, found with a seed that is not compared. Then come the seeds that are compared, each with the same initial weights and the same order of samples in all sets.
The rate goes up over some steps and down on a cosine. Differences are means over the pairs of a seed, their intervals are Student's t.

${sections.join("\n\n")}

## What cannot be concluded

- These are small nets, short trainings and little data. Nothing follows for large models, long trainings or image generation.
- A seed decides the initial weights and the order together; the two are not told apart.
- The best rate was found with one seed each. Where neighbours in the list are close, another seed may prefer the other.
- No correction is made for the number of comparisons: of twenty at 95 %, one finds a difference where there is none.
`;
}

const FILE = fileURLToPath(new URL("README.md", HERE));

/** Writes the page. */
export function writeResults(): void {
  writeFileSync(FILE, resultsDocument());
}

/** Folders with results. */
export const withResults = (): readonly string[] =>
  readdirSync(HERE).filter((name) => existsSync(new URL(`${name}/comparison.json`, HERE)));
