import { FIND_LEARNING_RATE_DEFAULTS, findLearningRate, type LearningRateTrial, UsageError } from "../index.ts";
import type { Console } from "./console.ts";
import { commandLine } from "./destination.ts";
import { interruptible } from "./interrupt.ts";
import type { Opened } from "./open-training.ts";
import type { TrainCommandOptions } from "./train-options.ts";

/** What has no meaning where nothing is trained further. */
const WITHOUT: readonly (keyof TrainCommandOptions)[] = [
  ...(["lr", "output", "checkpoints", "resume", "report", "tensorboard", "log", "statistics"] as const),
];

/** @throws UsageError `E_OPTION` where --find-lr stands beside what is about a training */
export function refuseBesideFinder(options: TrainCommandOptions, ranks: number): void {
  if (options.findLr !== true) return;
  const beside = WITHOUT.find((name) => options[name] !== undefined);
  if (beside === undefined && ranks === 1) return;
  const what = beside === undefined ? "several ranks" : `--${beside}`;
  throw new UsageError("E_OPTION", `--find-lr and ${what} cannot be given together: it trains nothing further`, {
    field: "--find-lr",
    hint: "Leave it out, and give what --find-lr chooses with --lr after that.",
  });
}

/** Tries learning rates, and says which one it would choose. @returns the exit code */
export async function findRate({ session, dataset, plan }: Opened, console: Console): Promise<number> {
  const { batchSize, shuffle, sequential = false, seed, dropLast, accumulate } = plan;
  const { from, to, steps } = FIND_LEARNING_RATE_DEFAULTS;
  console.note(`learning rates from ${from} to ${to} are tried in ${steps} steps; what they train is thrown away`);
  const trials: LearningRateTrial[] = [];
  const { exitCode } = await interruptible(async (signal) => {
    const options = { batchSize, shuffle, sequential, seed, dropLast, accumulate, signal };
    for await (const event of findLearningRate(session, dataset, options)) {
      if (event.type === "trial") {
        trials.push(event);
        if (console.options.json) console.line(event);
        continue;
      }
      const { learningRate, reason, type: _, ...found } = event;
      const next =
        learningRate === null
          ? null
          : commandLine([...withoutFinder(process.argv.slice(2)), "--lr", String(learningRate)]);
      console.result({ type: "end", command: "train", learningRate, reason, ...found, trials: trials.length, next }, [
        ...plotRates(trials, learningRate),
        reason,
        ...(next === null ? [] : [`next: ${next}`]),
      ]);
    }
  });
  return exitCode ?? 0;
}

const withoutFinder = (args: readonly string[]): readonly string[] => args.filter((arg) => arg !== "--find-lr");

const [WIDTH, HEIGHT] = [64, 12];

/** The smoothed loss over the rates, which lie at the same distance from each other; a mark below the chosen one. */
function plotRates(trials: readonly LearningRateTrial[], chosen: number | null): readonly string[] {
  const [first, last] = [trials[0], trials.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  const losses = trials.map(({ smoothedLoss }) => smoothedLoss);
  const low = Math.min(...losses);
  /** What comes after the loss began to explode would flatten the rest. */
  const high = Math.min(Math.max(...losses), low + 2 * Math.max(first.smoothedLoss - low, Number.EPSILON));
  const columnOf = (rate: number): number =>
    Math.round((Math.log(rate / first.learningRate) / Math.log(last.learningRate / first.learningRate)) * (WIDTH - 1));
  const rows = Array.from({ length: HEIGHT }, () => Array<string>(WIDTH).fill(" "));
  for (let column = 0; column < WIDTH; column++) {
    const loss = losses[Math.round((column / (WIDTH - 1)) * (losses.length - 1))] ?? low;
    const row = rows[Math.round(((high - Math.min(loss, high)) / (high - low)) * (HEIGHT - 1))];
    if (row !== undefined) row[column] = "*";
  }
  const label = (at: number): string => (high - (at * (high - low)) / (HEIGHT - 1)).toPrecision(3).padStart(9);
  const ends = [first, last].map(({ learningRate }) => learningRate.toExponential(1)) as [string, string];
  return [
    "     loss",
    ...rows.map((row, at) => `${label(at)} |${row.join("").trimEnd()}`),
    `${" ".repeat(10)}+${"-".repeat(WIDTH)}`,
    ...(chosen === null ? [] : [`${" ".repeat(11 + Math.max(0, columnOf(chosen)))}^ ${chosen}`]),
    `${" ".repeat(11)}${ends[0]}${ends[1].padStart(WIDTH - ends[0].length)}  rate`,
  ];
}
