import { basename } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { INITIAL_WEIGHTS, METRIC_NAMES, planTraining, readAssets, trainingInputsOf } from "../../entries/run.ts";
import {
  type Arm,
  buildTrainingArtifacts,
  type ComparedData,
  type ComparedMetric,
  type CompareOptions,
  type ComparisonEvent,
  compare,
  estimateComparison,
  type Model,
  type PortableArtifacts,
  readModel,
  UsageError,
} from "../../index.ts";
import {
  type BuildFlags,
  buildOptionsOf,
  withAgr,
  withBeginning,
  withLora,
  withLoss,
  withOptimizer,
  withParameters,
  withQat,
} from "../build-options.ts";
import { Console, type OutputOptions } from "../console.ts";
import { describeComparison, describeEstimate, describeRun, describeSweep } from "../describe/comparison.ts";
import { refuseIdleOptions } from "../idle-options.ts";
import { DATA_HELP, datasetOf, type InputFlags, withInputs } from "../input-options.ts";
import { interruptible } from "../interrupt.ts";
import type { Io } from "../io.ts";
import { withModel } from "../model-options.ts";
import { packageVersion } from "../package-files.ts";
import { noteThreads, refuseRanks } from "../ranks.ts";
import { seedsOf } from "../seeds.ts";
import { type RuntimeOptions, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { forwardReadingOf, type StrictOption, withStrict } from "../strict.ts";
import { kindOf } from "../target.ts";
import { type StepsFlags, scheduleOf, withSteps } from "../train-options.ts";
import { shareOrData, withoutValidation } from "../validation.ts";
import { nonNegative, positive, wholeNumber } from "../values.ts";
import {
  contrastsOf,
  nameOf,
  optionsOf,
  parseVary,
  replacedBy,
  requireDistinct,
  settings,
  type Varied,
  withSetting,
} from "../vary.ts";
import { writeComparison } from "../write-comparison.ts";

interface CompareFlags extends Omit<BuildFlags, "set">, StepsFlags, InputFlags, RuntimeOptions, StrictOption {
  readonly data: string;
  readonly validation: number | string;
  readonly vary: readonly Varied[];
  readonly seeds: readonly number[];
  readonly weights: (typeof INITIAL_WEIGHTS)[number];
  readonly metric?: ComparedMetric;
  readonly at?: number;
  readonly evalEvery?: number;
  readonly evalBatchSize?: number;
  readonly confidence: number;
  readonly sweepLr: readonly number[];
  readonly sweepSeeds: number;
  readonly dryRun?: boolean;
  readonly output: string;
}

/** Options that say what is trained and how: those that may be varied. */
const withTrained = (command: Command): Command =>
  withSteps(withQat(withBeginning(withLora(withAgr(withOptimizer(withModel(withParameters(withLoss(command)))))))));

export function compareCommand(io: Io): Command {
  const command = new Command("compare")
    .description(
      "Train a forward model with several option sets and seeds, and say whether they differ by more than chance",
    )
    .argument("<model>", "ONNX model")
    .requiredOption("--data <file>", `training data: ${DATA_HELP}`)
    .requiredOption(
      "--validation <share|data>",
      "a share of the samples that is kept apart, the same for all runs (0.1), or other data: what runs are compared by",
      shareOrData,
    )
    .requiredOption("-o, --output <folder>", "where runs are kept; runs that are there are not made again")
    .option(
      "--vary <option=values>",
      "an option and its values, the first of which the others are compared with: agr=off,on; betas=0.9,0.99|0.9,0.999; repeatable, for all combinations",
      parseVary,
      [],
    )
    .option(
      "--seeds <n|list>",
      "how many runs of each (5: the seeds 1 to 5), or the seeds: 3,4,7 or 11-20",
      seedsOf,
      [1, 2, 3, 4, 5],
    )
    .addOption(
      new Option(
        "--weights <kind>",
        "given: all runs begin with the model's weights, and the seed adds to --init-seed; shuffled: each seed puts the numbers of every weight into another order, for models that were initialized and not trained",
      )
        .choices([...INITIAL_WEIGHTS])
        .default("given"),
    )
    .addOption(
      new Option("--metric <name>", "what decides (default: accuracy where there are classes, else the loss)").choices(
        METRIC_NAMES,
      ),
    )
    .option(
      "--at <value>",
      "the value of --metric that steps and seconds are counted to (default: what the other run of the pair ends with)",
      finite,
    )
    .option("--eval-every <n>", "steps between evaluations (default: an epoch)", wholeNumber(1))
    .option(
      "--eval-batch-size <n>",
      "samples per batch of evaluations (default: 32, or what the model asks for)",
      wholeNumber(1),
    )
    .option("--confidence <share>", "of the intervals", confidence, 0.95)
    .option(
      "--sweep-lr <list>",
      "learning rates: each option set gets the one that is best for it, found with other seeds",
      rates,
      [],
    )
    .option("--sweep-seeds <n>", "runs per learning rate of --sweep-lr", wholeNumber(1), 1)
    .option("--dry-run", "say how long it will take, by a few steps of each");
  return withTrained(withStrict(withInputs(withRuntime(command))))
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr compare model.onnx --loss cross-entropy --data train.npz --validation test.npz --vary agr=off,on -o runs/agr
  onnx-agr compare model.onnx --loss cross-entropy --data train.npz --validation 0.1 --vary optimizer=adamw,adan --vary agr=off,on --weights shuffled --seeds 10 --sweep-lr 0.0003,0.001,0.003,0.01 -o runs/agr
  onnx-agr compare model.onnx --loss cross-entropy --data train.npz --validation 0.1 --vary strength=1,0.5 --agr --dry-run -o runs/strength`,
    )
    .action(async (path: string, flags: CompareFlags, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      io.exitCode = await run(path, flags, console);
    });
}

function finite(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("It must be a finite number.");
}

function confidence(text: string): number {
  const value = nonNegative(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError("It must lie between 0 and 1.");
}

const rates = (text: string): readonly number[] => text.split(",").map((each) => positive(each.trim()));

async function run(path: string, flags: CompareFlags, console: Console): Promise<number> {
  refuseRanks("compare");
  if ((await kindOf(flags.output)) === "file") {
    throw new UsageError("E_NOT_REGULAR", `the output ${flags.output} is a file; it must be a folder`, {
      file: flags.output,
      hint: "Give another output.",
    });
  }
  const model = await readModel(path, forwardReadingOf(flags, console));
  const variable = optionsOf(withTrained(new Command()));
  const sets = settings(flags.vary).map((setting) => ({ setting, own: withSetting(flags, setting, variable) }));
  requireDistinct(sets);
  refuseIdleOptions(sets.map(({ own }) => own));
  for (const option of replacedBy(flags, flags.vary, variable))
    console.note(`what --vary ${option} says stands in the place of --${option}`);
  const first = await firstOf(model, sets[0]?.own ?? flags);
  const data = await dataOf(path, first, flags, console);
  const arms = sets.map(({ setting, own }) => armOf(nameOf(setting), own, first, path, data));
  const options: CompareOptions = {
    ...{ arms, seeds: flags.seeds, weights: flags.weights, confidence: flags.confidence },
    ...{ rates: flags.sweepLr, sweepSeeds: flags.sweepSeeds, contrasts: contrastsOf(flags.vary) },
    ...{ folder: flags.output, versions: { "onnx-agr": packageVersion() } },
    ...(flags.metric === undefined ? {} : { metric: flags.metric }),
    ...(flags.at === undefined ? {} : { target: flags.at }),
    ...(flags.evalEvery === undefined ? {} : { evaluateEvery: flags.evalEvery }),
    ...(flags.evalBatchSize === undefined ? {} : { evaluationBatchSize: flags.evalBatchSize }),
  };
  console.note(weightsNote(flags));
  noteThreads(flags, console);
  if (flags.dryRun === true) {
    const { json, lines } = describeEstimate(await estimateComparison(model, data, options));
    console.result({ command: "compare", model: path, dryRun: true, ...json }, lines);
    return 0;
  }
  return compareAll(path, model, data, options, console);
}

async function compareAll(
  path: string,
  model: Model,
  data: ComparedData,
  options: CompareOptions,
  console: Console,
): Promise<number> {
  const { folder = "" } = options;
  const assets = await readAssets();
  const { value, exitCode } = await interruptible(async (signal) => {
    let comparison: ComparisonEvent | null = null;
    for await (const event of compare(model, data, { ...options, signal })) {
      if (event.type === "run") console.note(describeRun(event));
      else if (event.type === "sweep") console.note(describeSweep(event));
      else comparison = event;
    }
    return comparison;
  });
  if (value === null) {
    console.note(`interrupted: the runs that are done are kept in ${folder}, and the same command goes on from them`);
    return exitCode ?? 0;
  }
  const { json, lines } = describeComparison(value);
  const { file, picture, report } = await writeComparison(folder, basename(path), value, json, assets);
  const written = `Written to ${file}; picture: ${picture}; report: ${report}`;
  console.result({ command: "compare", model: path, output: folder, picture, report, ...json }, [
    ...lines,
    "",
    written,
  ]);
  return 0;
}

/** What the first option set is built to: its inputs are those of all. */
async function firstOf(model: Model, flags: CompareFlags): Promise<PortableArtifacts> {
  const { portable } = await buildTrainingArtifacts(model, buildOptionsOf({ ...flags, set: ["portable"] }));
  if (portable === null) throw new Error("the portable set was not built");
  return portable;
}

async function dataOf(
  path: string,
  first: PortableArtifacts,
  flags: CompareFlags,
  console: Console,
): Promise<ComparedData> {
  const inputs = trainingInputsOf(first, path);
  const tell = (note: string): void => console.note(note);
  const all = await datasetOf(inputs, flags, tell);
  const { dataset, validation } = await withoutValidation(inputs, all, { ...flags, seed: 0 }, tell);
  if (validation === null) throw new Error("nothing to validate with");
  return { training: dataset, validation };
}

function armOf(name: string, flags: CompareFlags, first: PortableArtifacts, path: string, data: ComparedData): Arm {
  const { epochs, batchSize, accumulate, shuffle, dropLast } = flags;
  const train = {
    ...{ epochs, accumulate, shuffle, dropLast: dropLast === true },
    ...(batchSize === undefined ? {} : { batchSize }),
  };
  const { totalSteps } = planTraining(trainingInputsOf(first, path), data.training, train);
  const schedule = scheduleOf(withSwept(flags), totalSteps);
  const { runtime, executionProviders, threads, isolation } = sessionOptionsOf(flags, first);
  if (runtime === "ort-training") {
    throw new UsageError("E_OPTION", "--runtime: comparisons run on ort-node", { hint: "Leave the option out." });
  }
  const { targets: _, ...build } = buildOptionsOf({ ...flags, set: [] });
  return {
    ...{ name, build, train },
    session: {
      ...(schedule === null ? {} : { learningRate: schedule }),
      ...(executionProviders === undefined ? {} : { executionProviders }),
      ...(threads === undefined ? {} : { threads }),
      ...(isolation === undefined ? {} : { isolation }),
      ...(flags.stepsPerCall === undefined ? {} : { stepsPerCall: flags.stepsPerCall }),
    },
  };
}

/** A rate of the sweep stands for --lr, so that schedules need none. @throws UsageError `E_OPTION` where both are given */
function withSwept(flags: CompareFlags): CompareFlags {
  const [rate] = flags.sweepLr;
  if (rate === undefined) return flags;
  if (flags.lr === undefined) return { ...flags, lr: rate };
  throw new UsageError("E_OPTION", "--sweep-lr chooses the learning rate, and --lr gives one", {
    hint: "Leave one of them out.",
  });
}

function weightsNote({ weights, init, head }: CompareFlags): string {
  if (weights === "shuffled")
    return "weights: each seed has those of the model in another order, the same for all option sets";
  const anew = init.length > 0 || head !== undefined ? "; what --init and --head begin anew is drawn by each seed" : "";
  return `weights: all runs begin with those of the model${anew}`;
}
