import { existsSync, readFileSync } from "node:fs";
import type { PairedDifference } from "../src/entries/run.ts";
import { summarize } from "../src/entries/run.ts";
import type { SampleScores } from "./samples.ts";

const FILE = new URL("ddpm/samples.json", import.meta.url);

const differenceOf = (difference: PairedDifference | null): string => {
  if (difference?.interval == null) return "";
  const [mean, low, high] = [difference.mean, ...difference.interval].map(
    (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`,
  );
  return `${mean} (${low} to ${high})`;
};

/** How images that were drawn score. Nothing where none were. */
export function samplesSection(): readonly string[] {
  if (!existsSync(FILE)) return [];
  const { images, classifier, real, runs, contrasts } = JSON.parse(readFileSync(FILE, "utf8")) as SampleScores;
  const arms = [...new Set(runs.map(({ arm }) => arm))];
  const shown = (arm: string, score: "frechet" | "inception"): string => {
    const summary = summarize(runs.filter((run) => run.arm === arm).map((run) => run[score]));
    return `${summary?.mean.toFixed(3)} ± ${summary?.standardDeviation?.toFixed(3)}`;
  };
  return [
    `\`npm run experiment -- samples\` trains the networks of the seeds ${[...new Set(runs.map(({ seed }) => seed))].join(", ")} again, which gives the same losses, draws ${images} images with each from the same noise, and scores them by the last features and the classes of the small ResNet (${classifier.arm}, seed ${classifier.seed}): the formula of the Frechet inception distance, to the images of the three classes that are not trained with (less is nearer), and that of the inception score.`,
    "",
    "| images | Frechet distance | inception score |",
    "|---|---|---|",
    `| real ones, of those to train with | ${real.frechet.toFixed(3)} | ${real.inception.toFixed(3)} |`,
    ...arms.map((arm) => `| ${arm} | ${shown(arm, "frechet")} | ${shown(arm, "inception")} |`),
    ...contrasts.map(
      ({ arm, against, frechet, inception }) =>
        `| ${arm}, compared with ${against} (95 %) | ${differenceOf(frechet)} | ${differenceOf(inception)} |`,
    ),
    "",
    `![Images drawn, a row for each option set (${arms.join(", ")}), from the same noise](ddpm/samples.png)`,
    "",
  ];
}
