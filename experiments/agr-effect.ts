/** What AGR changed, over all experiments. */

import type { ContrastResult } from "../src/index.ts";
import { holmAdjusted } from "./holm.ts";
import {
  contrastsOfAgr,
  countRuns,
  judgedBy,
  type Metric,
  type Outcome,
  outcomeOf,
  rateOf,
  TITLES,
} from "./outcome.ts";
import { changeText } from "./outcome-tables.ts";

const OPTIMIZERS: Readonly<Record<string, string>> = { adamw: "AdamW", adan: "Adan" };
const WORDS: Readonly<Record<string, string>> = { "weight-decay": "weight decay", lr: "rate" };
const LEVEL = 0.05;

type Kind = ContrastResult["verdict"]["kind"];
type Difference = NonNullable<ContrastResult["final"]["loss"]>;

interface Effect {
  readonly kind: Kind;
  readonly what: string;
  readonly isSameRate: boolean;
  readonly metric: Metric;
  readonly difference: Difference | undefined;
}

/** What an option set has beside AGR, in words; where that is nothing, its optimizer. */
function wordsOf({ options }: Outcome, arm: string): string {
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

/** Every comparison of AGR with its absence, of all experiments. */
function effects(): readonly Effect[] {
  return Object.entries(TITLES).flatMap(([name, title]) => {
    const outcome = outcomeOf(name);
    if (outcome === null) return [];
    const metric = judgedBy(outcome);
    return contrastsOfAgr(outcome).map(({ arm, against, final, verdict }) => ({
      ...{ kind: verdict.kind, metric, difference: final[metric] },
      what: `"${title}" with ${wordsOf(outcome, arm)}`,
      isSameRate: rateOf(outcome, arm) === rateOf(outcome, against),
    }));
  });
}

/** Comparisons of AGR with its absence in which each side has another rate. */
export const differentRates = (): readonly string[] =>
  effects().flatMap(({ what, isSameRate }) => (isSameRate ? [] : [what]));

/** What AGR changed in one experiment: the README has it word for word. Null where it has no results. */
export function sentenceOf(name: string): string | null {
  const outcome = outcomeOf(name);
  if (outcome === null) return null;
  const by = judgedBy(outcome);
  const parts = contrastsOfAgr(outcome).flatMap(({ arm, final, verdict }) => {
    const change = final[by];
    if (change?.interval == null) return [];
    const [mean, low, high] = [change.mean, ...change.interval].map((value) => changeText(by, value));
    const unit = by === "loss" ? "of loss" : "points of accuracy";
    return [`${wordsOf(outcome, arm)} ${mean} ${unit} (${low} to ${high}; ${verdict.kind})`];
  });
  return `${TITLES[name]?.replace(/^A /, "a ")}, ${outcome.seeds.length} seeds: ${parts.join(", ")}`;
}

/** How the comparisons of AGR with its absence ended, of all experiments: the README has it word for word. */
export function summaryOf(): string {
  const outcomes = Object.keys(TITLES).flatMap((name) => outcomeOf(name) ?? []);
  const runs = outcomes.reduce((sum, outcome) => sum + countRuns(outcome), 0);
  const all = effects();
  const named = ({ what, isSameRate }: Effect): string => `${what}${isSameRate ? "" : ", each side at another rate"}`;
  const ended = (kind: Kind): string => {
    const those = all.filter((effect) => effect.kind === kind);
    return `${kind} in ${those.length}${those.length === 0 ? "" : ` (${those.map(named).join("; ")})`}`;
  };
  const others = (["no measurable difference", "identical", "inconclusive"] as const).flatMap((kind) => {
    const those = all.filter((effect) => effect.kind === kind);
    return those.length === 0 ? [] : [`${kind} in ${those.length}`];
  });
  return `${all.length} comparisons of AGR with its absence, in ${outcomes.length} experiments of ${runs} runs: ${ended("better")}, ${[ended("worse"), ...others].join(", ")}; ${correctedText(all)}`;
}

/** What is left of the differences when all comparisons are taken together. */
function correctedText(all: readonly Effect[]): string {
  /** Where all differences of the pairs are the same there is no p, and nothing that differs. */
  const adjusted = holmAdjusted(all.map(({ difference }) => difference?.p ?? 1));
  const left = all.filter((_, index) => (adjusted[index] ?? 1) < LEVEL).map(({ what }) => what);
  return left.length === 0
    ? "corrected for their number (Holm), none is a difference"
    : `corrected for their number (Holm), a difference in ${left.length} (${left.join("; ")})`;
}

/** From where to where the intervals of accuracy reach, taken together, in points. */
export function reachOfAccuracy(): string {
  const intervals = effects().flatMap(({ metric, difference }) =>
    metric === "accuracy" && difference?.interval != null ? [difference.interval] : [],
  );
  const [low, high] = [Math.min(...intervals.map(([from]) => from)), Math.max(...intervals.map(([, to]) => to))];
  return `${changeText("accuracy", low)} to ${changeText("accuracy", high)}`;
}

/** Comparisons that the bootstrap's interval judges otherwise than Student's. */
export function otherwiseByBootstrap(): readonly string[] {
  const holdsZero = (interval: Difference["interval"] | undefined): boolean =>
    interval == null || (interval[0] <= 0 && interval[1] >= 0);
  return effects().flatMap(({ what, difference }) =>
    holdsZero(difference?.interval) === holdsZero(difference?.bootstrap) ? [] : [what],
  );
}
