/** What experiments came to, read from their comparison.json. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { ComparisonEvent, ContrastResult } from "../src/index.ts";

export interface Outcome extends Omit<ComparisonEvent, "type" | "runs"> {
  readonly runs: readonly { readonly arm: string; readonly learningRate: number | { readonly rate: number } | null }[];
  readonly options: Readonly<Record<string, { readonly build: { readonly optimizer: { readonly name: string } } }>>;
  /** Whose code it was; null where nobody knows. */
  readonly commit: string | null;
}

const HERE = new URL("./", import.meta.url);

/** What each experiment is, in the order of the page. */
export const TITLES: Readonly<Record<string, string>> = {
  vit: "A small ViT",
  vgg: "A small VGG",
  resnet: "A small ResNet",
  convnext: "A small ConvNeXt",
  noisy: "Labels with noise, on the small ViT",
  warmup: "No warm-up and large rates, on the small ViT",
  small: "Small tensors alone, of the small ViT",
  variants: "Options of AGR, on the small ViT with AdamW",
  ddpm: "A small U-Net that predicts noise",
  albert: "ALBERT, masked letters",
  order: "ALBERT, sentence order",
};

/** Null where it was not run. */
export function outcomeOf(name: string): Outcome | null {
  const file = new URL(`${name}/comparison.json`, HERE);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Outcome) : null;
}

/** Folders with results. */
export const withResults = (): readonly string[] =>
  readdirSync(HERE).filter((name) => existsSync(new URL(`${name}/comparison.json`, HERE)));

export type Metric = "accuracy" | "loss";

/** What rates were chosen by, and differences judged by. */
export const judgedBy = ({ metric }: Outcome): Metric => (metric === "accuracy" ? metric : "loss");

/** The learning rate that an option set was compared with. */
export function rateOf({ runs }: Outcome, name: string): number | null {
  const rate = runs.find(({ arm }) => arm === name)?.learningRate ?? null;
  return typeof rate === "object" ? (rate?.rate ?? null) : rate;
}

/** Runs that were compared, and those that chose a rate. */
export function countRuns({ arms, sweeps }: Outcome): number {
  const compared = arms.reduce((sum, { runs }) => sum + runs, 0);
  return compared + sweeps.reduce((sum, { results }) => sum + results.length, 0);
}

/** An option set without AGR; itself where it has none. */
const withoutAgr = (arm: string): string => arm.replace("agr=on", "agr=off").replace(/strength=[\d.]+/, "strength=0");

/** Comparisons of AGR with its absence, all else alike. */
export const contrastsOfAgr = ({ contrasts }: Outcome): readonly ContrastResult[] =>
  contrasts.filter(({ arm, against }) => arm !== against && against === withoutAgr(arm));

export const signed = (value: number, digits: number): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
