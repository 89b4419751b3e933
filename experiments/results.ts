/**
 * Writes experiments/README.md: what the experiments came to, from their comparison.json.
 *
 *     npm run experiment -- results
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ComparisonEvent, ContrastResult } from "../src/index.ts";
import { alphaSection } from "./alpha-table.ts";
import { samplesSection } from "./samples-table.ts";

interface Result extends Omit<ComparisonEvent, "type" | "runs"> {
  readonly runs: readonly { readonly arm: string; readonly learningRate: number | { readonly rate: number } | null }[];
  readonly options: Readonly<Record<string, { readonly build: { readonly optimizer: { readonly name: string } } }>>;
}

const HERE = new URL("./", import.meta.url);

/** What each experiment is, in the order of the page. */
const TITLES: Readonly<Record<string, string>> = {
  vit: "A small ViT",
  vgg: "A small VGG",
  resnet: "A small ResNet",
  convnext: "A small ConvNeXt",
  noisy: "Labels with noise, on the small ViT",
  warmup: "No warm-up and large rates, on the small ViT",
  small: "Small tensors alone, of the small ViT",
  variants: "Options of AGR, on the small ViT with AdamW",
  ddpm: "A small U-Net that predicts noise",
  albert: "ALBERT, masked words",
  order: "ALBERT, sentence order",
};

function resultOf(name: string): Result | null {
  const file = new URL(`${name}/comparison.json`, HERE);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Result) : null;
}

const percent = (value: number | null | undefined): string => (value == null ? "" : (100 * value).toFixed(2));
const hasClasses = ({ arms }: Result): boolean => arms.some(({ final }) => final.accuracy !== undefined);
const signed = (value: number, digits: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

function armRows(result: Result): readonly string[] {
  return result.arms.map(({ arm, final, seconds, runs: count }) => {
    const { accuracy, loss } = final;
    return `| ${[
      arm,
      rateOf(result, arm),
      count,
      ...(hasClasses(result) ? [`${percent(accuracy?.mean)} ± ${percent(accuracy?.standardDeviation)}`] : []),
      `${loss?.mean.toFixed(4)} ± ${loss?.standardDeviation?.toFixed(4)}`,
      `${seconds?.mean.toFixed(1)} ± ${seconds?.standardDeviation?.toFixed(1)}`,
    ].join(" | ")} |`;
  });
}

function contrastRow(result: Result, { arm, against, final, toTarget, verdict }: ContrastResult): string {
  const { accuracy, loss } = final;
  const points = (value: number | undefined): string => (value === undefined ? "" : signed(100 * value, 2));
  const interval = accuracy?.interval ?? null;
  const { steps, reached } = toTarget;
  return `| ${[
    arm,
    against,
    ...(hasClasses(result)
      ? [
          interval === null
            ? points(accuracy?.mean)
            : `${points(accuracy?.mean)} (${points(interval[0])} to ${points(interval[1])})`,
        ]
      : []),
    loss?.interval == null
      ? ""
      : `${signed(loss.mean, 4)} (${signed(loss.interval[0], 4)} to ${signed(loss.interval[1], 4)})`,
    steps === null ? "" : `${signed(steps.mean, 0)} in ${steps.pairs}`,
    `${reached.arm} of ${(accuracy ?? loss)?.pairs ?? 0}`,
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
  const [accuracy, points] = hasClasses(result) ? [" accuracy, % |", " accuracy, points (95 %) |"] : ["", ""];
  const line = hasClasses(result) ? "---|" : "";
  return [
    `## ${title}`,
    "",
    `\`npm run experiment -- ${name}\`. ${sweepText(sweeps)}`,
    "",
    `| options | rate | runs |${accuracy} loss | seconds of training |`,
    `|---|---|---|${line}---|---|`,
    ...armRows(result),
    "",
    `| options | compared with |${points} loss (95 %) | steps to where the other ends | got there | verdict by ${metric} |`,
    `|---|---|${line}---|---|---|---|`,
    ...contrasts.map((contrast) => contrastRow(result, contrast)),
    "",
    `![The ${metric} over the steps](${name}/curves.svg)`,
    "",
    ...(name === "ddpm" ? samplesSection() : []),
    `${arms.reduce((sum, { runs }) => sum + runs, 0)} runs of ${seeds.length} seeds are compared, with onnxruntime-node ${versions["onnxruntime-node"]} on one thread of a shared machine, where runs were stopped at times: seconds are rough.`,
  ].join("\n");
}

const OPTIMIZERS: Readonly<Record<string, string>> = { adamw: "AdamW", adan: "Adan" };
const WORDS: Readonly<Record<string, string>> = { "weight-decay": "weight decay", lr: "rate" };

/** What an option set has beside AGR, in words; where that is nothing, its optimizer. */
function wordsOf({ options }: Result, arm: string): string {
  const parts = arm.split(" ").filter((part) => !part.startsWith("agr="));
  const optimizer = options[arm]?.build.optimizer.name ?? "";
  if (parts.length === 0) return OPTIMIZERS[optimizer] ?? optimizer;
  return parts
    .map((part) => {
      const [option = "", value = ""] = part.split("=");
      return option === "optimizer" ? (OPTIMIZERS[value] ?? value) : `${WORDS[option] ?? option} ${value}`;
    })
    .join(", ");
}

/** Comparisons of AGR with its absence, all else alike. */
const ofAgr = ({ contrasts }: Result): readonly ContrastResult[] =>
  contrasts.filter(({ arm, against }) => arm.includes("agr=on") && against === arm.replace("agr=on", "agr=off"));

const rateOf = ({ runs }: Result, name: string): number | null => {
  const rate = runs.find(({ arm }) => arm === name)?.learningRate ?? null;
  return typeof rate === "object" ? (rate?.rate ?? null) : rate;
};

/** Every comparison of AGR with its absence, of all experiments. */
const pairsOfAgr = () =>
  Object.entries(TITLES).flatMap(([name, title]) => {
    const result = resultOf(name);
    if (result === null) return [];
    return ofAgr(result).map((contrast) => ({
      contrast,
      what: `"${title}" with ${wordsOf(result, contrast.arm)}`,
      isSameRate: rateOf(result, contrast.arm) === rateOf(result, contrast.against),
    }));
  });

/** Comparisons of AGR with its absence in which each side has another rate. */
const differentRates = (): readonly string[] =>
  pairsOfAgr().flatMap(({ what, isSameRate }) => (isSameRate ? [] : [what]));

/** What AGR changed in one experiment: the README has it word for word. Null where it has no results. */
export function sentenceOf(name: string): string | null {
  const result = resultOf(name);
  if (result === null) return null;
  const isLoss = result.metric === "loss";
  const parts = ofAgr(result).flatMap(({ arm, final, verdict }) => {
    const change = isLoss ? final.loss : final.accuracy;
    if (change?.interval == null) return [];
    const shown = (value: number): string => (isLoss ? signed(value, 4) : signed(100 * value, 2));
    const [low, high] = change.interval;
    const what = isLoss ? "of loss" : "points of accuracy";
    return [`${wordsOf(result, arm)} ${shown(change.mean)} ${what} (${shown(low)} to ${shown(high)}; ${verdict.kind})`];
  });
  return `${TITLES[name]?.replace(/^A /, "a ")}, ${result.seeds.length} seeds: ${parts.join(", ")}`;
}

/** How the comparisons of AGR with its absence ended, of all experiments: the README has it word for word. */
export function summaryOf(): string {
  const results = Object.keys(TITLES).flatMap((name) => resultOf(name) ?? []);
  const runs = results.reduce(
    (sum, { arms, sweeps }) =>
      sum +
      arms.reduce((part, arm) => part + arm.runs, 0) +
      sweeps.reduce((part, sweep) => part + sweep.results.length, 0),
    0,
  );
  const pairs = pairsOfAgr();
  const ended = (kind: ContrastResult["verdict"]["kind"]): string => {
    const those = pairs.filter(({ contrast }) => contrast.verdict.kind === kind);
    const names = those.map(({ what, isSameRate }) => `${what}${isSameRate ? "" : ", each side at another rate"}`);
    return those.length === 0 ? `${kind} in 0` : `${kind} in ${those.length} (${names.join("; ")})`;
  };
  const others = (["no measurable difference", "identical", "inconclusive"] as const).flatMap((kind) => {
    const those = pairs.filter(({ contrast }) => contrast.verdict.kind === kind);
    return those.length === 0 ? [] : [`${kind} in ${those.length}`];
  });
  return `${pairs.length} comparisons of AGR with its absence, in ${results.length} experiments of ${runs} runs: ${ended("better")}, ${[ended("worse"), ...others].join(", ")}`;
}

/** The text of experiments/README.md. */
export function resultsDocument(): string {
  const sections = Object.entries(TITLES).flatMap(([name, title]) => {
    const result = resultOf(name);
    return result === null ? [] : [sectionOf(name, title, result)];
  });
  return `# Is AGR worth it?

Made by \`npm run experiment -- results\` from the \`comparison.json\` of each experiment; a test compares.

${summaryOf()}. At 95 %, chance alone finds a difference in one of twenty.

Each folder has a configuration that \`onnx-agr compare\` runs, and a model, freshly initialized by \`export-images.py\`, \`export-unet.py\` or \`export-albert.py\` with PyTorch. \`npm run experiment -- <name>\` runs one; it goes on where it was broken off.

- Images: Fashion-MNIST (Debian's dataset-fashion-mnist), the first 12,800 training images to train with, the last 5,000 to compare by. The test images are not used. AdamW and Adan, each without AGR and with it; two epochs of 400 steps of 32 samples.
- Labels with noise: 40 % of the labels to train with are drawn anew from all classes; AdamW.
- No warm-up, and small tensors alone (only biases and norms are trained): AdamW, one epoch of 400 steps. Without warm-up the learning rates are compared one by one, and none is chosen.
- Image generation: the noise in the same images is predicted, at 200 steps of diffusion (Ho et al. 2020). 25,600 images with noise, each seen once, in batches of 32; gradients clipped at norm 1 before AGR; Adan. The loss is the mean squared error over 2,000 images with noise that are not trained with.
- Masked words: text of Debian's package fortunes, 64 words a sample, 15 % of them masked. AdamW with a weight decay of 5e-4, 240 steps of 16 samples. It has barely learned more than how frequent words are.
- Sentence order: the first six words of each fortune and the last six, in the right order or the wrong one. AdamW at three weight decays, 250 steps of 32 samples.

Every option set is trained with each learning rate of one list, and keeps the best, found with a seed that is not compared. Then come the seeds that are compared, each with the same initial weights and the same order of samples in all sets.
The rate goes up over some steps and down on a cosine. Differences are means over the pairs of a seed, their intervals are Student's t.

${[...sections, alphaSection()].join("\n\n")}

## With other data

- CIFAR-10 and CIFAR-100 are read as they are: \`python3 experiments/export-images.py --channels 3 --size 32 --classes 100 --folder cifar convnext\`, then \`onnx-agr compare cifar/convnext/model.onnx --config experiments/convnext/onnx-agr.config.yaml --data train.bin --validation test.bin --output cifar/runs\`. Without \`--seeds\`, \`--sweep-lr\` and \`--epochs\` they are those of the file.
- Tiny ImageNet has its images one folder deeper than they are read, and those of its validation without folders. Put them in one folder per class, export a model with \`--channels 3 --size 64 --classes 200\`, and give the folders as \`--data\` and \`--validation\`.
- WikiText, or any text: \`FORTUNES=<folder of text files> npm run experiment -- order\` (or \`albert\`), with an empty \`experiments/data\`. Texts are divided by lines of \`%\`, or where there are none, line by line.

## What cannot be concluded

- These are small nets, short trainings and little data. Nothing follows for large models, long trainings, or nets that are trained until they overfit, where regularization would show.
- "No measurable difference" is not "no difference": an effect that is smaller than the interval would not be seen, and differences as small as some of the paper's lie inside these intervals.
- A seed decides the initial weights and the order together; the two are not told apart. The samples with which nets are compared are the same for all.
- The best rate was found with one seed each. Where neighbours in the list are close, another seed may prefer the other. The sides have different rates in ${differentRates().join("; ")}: what differs there is the rate and AGR together.
- No correction is made for the number of comparisons: of twenty at 95 %, one finds a difference where there is none.
- The images that the U-Net draws are blobs, far from real ones by both scores: it was trained for 800 steps. That both sides are as far says little of nets that draw well. The classifier that scores them is small: its distances compare the two sides with each other, and with nothing that is published.
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
