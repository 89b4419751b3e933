import { Command } from "commander";
import { type NamedTensor, writeFileAtomic } from "../../entries/graph.ts";
import { planTraining } from "../../entries/run.ts";
import {
  BackendError,
  datasetFor,
  evaluate,
  insertAgr,
  readArtifacts,
  type TrainingArtifacts,
  TrainingSession,
  train,
  trainableParameters,
} from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { drawDigits } from "../demo/digits.ts";
import { type Curve, plotSvg, plotText, smooth } from "../demo/plot.ts";
import type { Io } from "../io.ts";
import { DIGITS } from "../package-files.ts";
import { Progress } from "../progress.ts";
import { checkTarget } from "../target.ts";
import { wholeNumber } from "../values.ts";

const TRAIN_SAMPLES = 2000;
const TEST_SAMPLES = 500;
const BATCH_SIZE = 32;
const SMOOTHING = 10;

/** Steps over which the runtimes are compared. */
const COMPARED = 20;

/** Steps before the clock runs, in a session that is thrown away: the first of two runs would pay for both. */
const WARM_UP = 40;

interface Run {
  readonly label: string;
  readonly runtime: "ort-node" | "ort-training";
  readonly mark: string;
  readonly color: string;
  readonly agr: boolean;
}

const RUNS: readonly Run[] = [
  { label: "AdamW", runtime: "ort-node", mark: "o", color: "#c2410c", agr: false },
  { label: "AdamW with AGR", runtime: "ort-node", mark: "+", color: "#1d4ed8", agr: true },
  { label: "AdamW with AGR", runtime: "ort-training", mark: "x", color: "#15803d", agr: true },
];

interface Result extends Run {
  readonly losses: readonly number[];
  readonly milliseconds: number;
  readonly testLoss: number;
  readonly testAccuracy: number;
}

interface DemoOptions {
  readonly epochs: number;
  readonly seed: number;
  readonly output: string;
}

export function demoCommand(io: Io): Command {
  return new Command("demo")
    .description("The whole way on embedded data: insert AGR, train with and without it, compare")
    .option("--epochs <n>", "times through the data", wholeNumber(1), 12)
    .option("--seed <n>", "seed of the digits and of the shuffling", wholeNumber(0), 1)
    .option("-o, --output <file>", "the picture", "agr-demo.svg")
    .action(async (options: DemoOptions, command: Command) => {
      await runDemo(options, new Console(io, command.optsWithGlobals<OutputOptions>()));
    });
}

async function runDemo({ epochs, seed, output }: DemoOptions, console: Console): Promise<void> {
  await checkTarget(null, output, { force: true, inPlace: false });
  console.note(`Drawing ${TRAIN_SAMPLES} digits to train on and ${TEST_SAMPLES} to test with (16x16, seed ${seed})`);
  const digits = drawDigits(TRAIN_SAMPLES, seed);
  const unseen = drawDigits(TEST_SAMPLES, seed + 1);
  const results: Result[] = [];
  for (const run of RUNS) {
    const result = await trainDigits(run, { epochs, seed, digits, unseen }, console);
    if (result !== null) results.push(result);
  }
  const shown = results.filter(({ runtime }) => runtime === "ort-node");
  const curves = shown.map(
    ({ label, mark, color, losses }): Curve => ({ label, mark, color, values: smooth(losses, SMOOTHING) }),
  );
  await writeFileAtomic(output, [new TextEncoder().encode(plotSvg("Training loss, digits", "loss", curves))]);
  console.result(
    {
      command: "demo",
      output,
      results: results.map(({ label, runtime, milliseconds, losses, testLoss, testAccuracy }) => ({
        ...{ label, runtime, milliseconds, losses, testLoss, testAccuracy },
      })),
    },
    [
      "",
      `Training loss, mean of ${SMOOTHING} steps`,
      ...plotText(curves).split("\n"),
      "",
      ...results.map(
        ({ label, runtime, milliseconds, losses, testLoss, testAccuracy }) =>
          `${label.padEnd(14)} in ${runtime.padEnd(12)} ${milliseconds.toFixed(1)} ms a step   last training loss ${last(losses).toFixed(3)}   test loss ${testLoss.toFixed(3)}   test accuracy ${(testAccuracy * 100).toFixed(1)} %`,
      ),
      `Largest difference between the curves: ${largestDifference(curves).toFixed(3)}`,
      ...betweenRuntimes(results),
      "",
      `Picture: ${output}`,
    ],
  );
}

/** The same training in both runtimes, compared over its first steps: later on, rounding is magnified by the training itself. */
function betweenRuntimes(results: readonly Result[]): readonly string[] {
  const [first, second] = results.filter(({ agr }) => agr);
  if (first === undefined || second === undefined) return [];
  const differences = first.losses
    .slice(0, COMPARED)
    .map((loss, step) => Math.abs(loss / (second.losses[step] ?? 0) - 1));
  return [
    `Between the runtimes, over the first ${differences.length} steps: ${Math.max(...differences).toExponential(0)} relative`,
  ];
}

interface Material {
  readonly epochs: number;
  readonly seed: number;
  readonly digits: readonly NamedTensor[];
  readonly unseen: readonly NamedTensor[];
}

/** Trains the net once; null where the runtime is not installed. */
async function trainDigits(
  run: Run,
  { epochs, seed, digits, unseen }: Material,
  console: Console,
): Promise<Result | null> {
  const artifacts = await readArtifacts(DIGITS);
  const parameters = trainableParameters(artifacts) ?? [];
  if (run.agr && artifacts.optimizerModel !== null) {
    const report = insertAgr(artifacts.optimizerModel, { parameters });
    console.note(`Inserted AGR into the optimizer model: ${report.optimizer}, ${parameters.length} gradients`);
  }
  try {
    await warmUp(run, artifacts, seed);
  } catch (error) {
    if (!(error instanceof BackendError) || error.code !== "E_RUNTIME_MISSING") throw error;
    console.note(`Left out ${run.runtime}: ${error.message}`);
    return null;
  }
  const session = await TrainingSession.create(artifacts, { runtime: run.runtime });
  const dataset = datasetFor(session.trainingInputs, digits);
  const options = { epochs, seed, batchSize: BATCH_SIZE };
  const label = `${run.label}, ${run.runtime}`.padEnd(28);
  const progress = new Progress(console, planTraining(session.trainingInputs, dataset, options), label);
  const losses: number[] = [];
  const seconds: number[] = [];
  for await (const event of train(session, dataset, options)) {
    if (event.type === "epoch") {
      progress.epoch(event);
      continue;
    }
    if (event.type !== "step") continue;
    progress.step(event);
    losses.push(event.loss);
    seconds.push(event.seconds);
  }
  progress.end();
  const { loss, metrics } = await evaluate(session, datasetFor(session.trainingInputs, unseen));
  await session.release();
  const testAccuracy = metrics?.task === "classification" ? metrics.accuracy : Number.NaN;
  return { ...run, losses, milliseconds: 1000 * median(seconds), testLoss: loss, testAccuracy };
}

async function warmUp({ runtime }: Run, artifacts: TrainingArtifacts, seed: number): Promise<void> {
  const session = await TrainingSession.create(artifacts, { runtime });
  const digits = datasetFor(session.trainingInputs, drawDigits(WARM_UP * BATCH_SIZE, seed));
  for await (const _ of train(session, digits, { epochs: 1, batchSize: BATCH_SIZE }));
  await session.release();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function largestDifference([first, second]: readonly Curve[]): number {
  return Math.max(...(first?.values ?? []).map((value, index) => Math.abs(value - (second?.values[index] ?? value))));
}

function last(values: readonly number[]): number {
  return values.at(-1) ?? Number.NaN;
}
