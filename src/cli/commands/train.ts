import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, type Command as CommandType, Option } from "commander";
import {
  checkTrainingSet,
  type Dataset,
  datasetFor,
  identityOf,
  type LearningRateSchedule,
  type LoadedRun,
  loadTrainingSet,
  lockRuns,
  newRun,
  type ParameterGroup,
  planTraining,
  readDataFile,
  readWeights,
  type StepEvent,
  sha256OfFile,
  TRAIN_DEFAULTS,
  type Trainable,
  type TrainingPlan,
  TrainingSession,
  type TrainOptions,
  train,
  trainableOf,
  trainingInputsOf,
  UsageError,
  withWeights,
  writeFileAtomic,
} from "../../index.ts";
import { type RunIdentity, resumeFrom, saver } from "../checkpoints.ts";
import { Console, type OutputOptions } from "../console.ts";
import { commandLine, type Destination, destinationOf, resumingArguments } from "../destination.ts";
import { datasetOptionsOf, type InputFlags, withInputs } from "../input-options.ts";
import { interruptible } from "../interrupt.ts";
import type { Io } from "../io.ts";
import { JsonLines } from "../json-lines.ts";
import { withGroups } from "../parameter-groups.ts";
import { Progress } from "../progress.ts";
import { preferredBy, type RuntimeOptions, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { nonNegative, wholeNumber } from "../values.ts";

interface TrainCommandOptions extends RuntimeOptions, InputFlags, StrictOption {
  readonly data: string;
  readonly epochs: number;
  readonly batchSize?: number;
  readonly accumulate: number;
  readonly stepsPerCall?: number;
  readonly lr?: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly dropLast?: boolean;
  readonly log?: string;
  readonly output?: string;
  readonly checkpoints?: string;
  readonly saveEvery?: number;
  readonly keep: number;
  readonly resume?: string;
  readonly allowMismatch: readonly string[];
  readonly initFrom?: string;
  readonly force?: boolean;
  readonly group: readonly ParameterGroup[];
}

const list = (text: string): readonly string[] => text.split(",").map((item) => item.trim());

export function trainCommand(io: Io): CommandType {
  const command = new Command("train")
    .description("Train exported artifacts through ONNX Runtime")
    .argument("<folder>", "folder of training artifacts, ONNX Runtime's or portable ones")
    .requiredOption("--data <file>", "training data: .safetensors or .npz, tensors named after the model's inputs");
  return withStrict(withGroups(withInputs(withRuntime(command))))
    .option("--epochs <n>", "times through the data", wholeNumber(1), TRAIN_DEFAULTS.epochs)
    .option(
      "--batch-size <n>",
      `samples per batch (default: what the model asks for, else ${TRAIN_DEFAULTS.batchSize})`,
      wholeNumber(1),
    )
    .option(
      "--accumulate <n>",
      "batches whose gradients are summed for one update",
      wholeNumber(1),
      TRAIN_DEFAULTS.accumulate,
    )
    .option(
      "--steps-per-call <n>",
      "steps ort-node runs in one call; the losses are the same for any (default: what the first steps show to be fast)",
      wholeNumber(1),
    )
    .option("--lr <rate>", "learning rate (default: what the optimizer model says, 0.001 as exported)", nonNegative)
    .addOption(
      new Option("--schedule <kind>", "how --lr goes down to zero over the training")
        .choices(["constant", "linear", "cosine"])
        .default("constant"),
    )
    .option("--warmup-steps <n>", "steps over which --lr goes up from zero", wholeNumber(0), 0)
    .option("--seed <n>", "seed of the shuffling", wholeNumber(0), TRAIN_DEFAULTS.seed)
    .option("--no-shuffle", "take the samples in file order")
    .option("--drop-last", "leave out a last batch that is smaller than the others")
    .option("--log <file>", "write one JSON object per step and per epoch")
    .option("-o, --output <file>", "write the trained checkpoint, in ONNX Runtime's format")
    .option(
      "--checkpoints <folder>",
      "save the run there at the end, when interrupted, and every --save-every steps (default, without -o: runs/train-<n>)",
    )
    .option("--save-every <n>", "steps between checkpoints", wholeNumber(1))
    .option("--keep <n>", "checkpoints to keep", wholeNumber(1), 2)
    .option("--resume <folder>", "go on from the newest checkpoint there, bit for bit")
    .option("--allow-mismatch <items>", "items that may differ from those of the run that is resumed", list, [])
    .option("--init-from <path>", "begin with the weights of a checkpoint, and an optimizer that begins anew")
    .option("--force", "replace files that exist")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr train artifacts --data train.safetensors --epochs 5
  onnx-agr train artifacts --data train.npz --lr 0.01 --schedule cosine --warmup-steps 100 --log run.jsonl
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --save-every 500
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --resume run
  onnx-agr train artifacts --data train.npz --ep webgpu,cpu`,
    )
    .action(async (folder: string, options: TrainCommandOptions, self: CommandType) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      io.exitCode = await trainLocked(folder, options, console);
    });
}

interface Prepared {
  readonly source: Trainable;
  readonly dataset: Dataset;
  readonly plan: TrainingPlan;
  readonly schedule: LearningRateSchedule | null;
  readonly identity: RunIdentity;
  readonly resumed: LoadedRun | null;
}

async function prepare(folder: string, options: TrainCommandOptions): Promise<Prepared> {
  if (options.resume !== undefined && options.initFrom !== undefined) {
    throw new UsageError("E_OPTION", "--resume and --init-from cannot be given together");
  }
  if (options.saveEvery !== undefined && options.checkpoints === undefined) {
    throw new UsageError("E_OPTION", "--save-every needs --checkpoints", { hint: "Give --checkpoints <folder>." });
  }
  const overwrite = { force: options.force === true, inPlace: false };
  if (options.output !== undefined) await checkTarget(null, options.output, overwrite);
  /** A run that goes on goes on with its log. */
  const logForce = overwrite.force || options.resume !== undefined;
  if (options.log !== undefined)
    await checkTarget(null, options.log, { ...overwrite, force: logForce, kind: "stream" });
  const set = await loadTrainingSet(folder, readingOf(options));
  const given = trainableOf(set, preferredBy(options));
  const inputs = trainingInputsOf(given, folder);
  const source = options.initFrom === undefined ? given : withWeights(given, await readWeights(options.initFrom));
  const dataset = datasetFor(inputs, await readDataFile(options.data), await datasetOptionsOf(options));
  const plan = planTraining(inputs, dataset, trainOptions(options));
  const schedule = scheduleOf(options, plan.totalSteps);
  const identity = await identify(given, plan, options);
  const resumed =
    options.resume === undefined ? null : await resumeFrom(options.resume, identity, options.allowMismatch);
  await checkTrainingSet(folder, set);
  return { source, dataset, plan, schedule, identity, resumed };
}

/** What must be the same for a run to go on bit for bit. */
async function identify(source: Trainable, plan: TrainingPlan, options: TrainCommandOptions): Promise<RunIdentity> {
  const { hashes, agr } = identityOf(source);
  const { batchSize, shuffle, seed, dropLast, accumulate, totalSteps } = plan;
  const { lr = null, schedule, warmupSteps, threads = null, ep } = options;
  return {
    options: {
      ...{ batchSize, shuffle, seed, dropLast, accumulate, lr, schedule, warmupSteps, agr },
      groups: options.group.length === 0 ? null : JSON.stringify(options.group),
      ...inputsOf(options),
      ...{ threads, ep: ep?.join() ?? null, totalSteps: schedule === "constant" ? null : totalSteps },
    },
    hashes: { ...hashes, data: await sha256OfFile(options.data), ...(await hashesOfConstants(options)) },
  };
}

/** Of the files that constants are read from, wherever they lie. */
async function hashesOfConstants({ input }: InputFlags): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, value] of Object.entries(input)) {
    if (typeof value === "string") hashes[`input ${name}`] = await sha256OfFile(value);
  }
  return hashes;
}

/** Inputs that are no samples, where there are any; files have their hashes. */
function inputsOf({ input: given, sampleAxis }: InputFlags): Record<string, string> {
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === "number"));
  const entries = Object.entries({ input, sampleAxis }).filter(([, each]) => Object.keys(each).length > 0);
  return Object.fromEntries(entries.map(([name, each]) => [name, JSON.stringify(each)]));
}

/** Keeps the folder of checkpoints for this process while it trains. */
async function trainLocked(folder: string, options: TrainCommandOptions, console: Console): Promise<number> {
  const unlock =
    options.checkpoints === undefined
      ? null
      : await lockRuns(options.checkpoints, { warn: (text) => console.note(text) });
  try {
    return await runTraining(folder, options, console);
  } finally {
    await unlock?.();
  }
}

async function runTraining(folder: string, options: TrainCommandOptions, console: Console): Promise<number> {
  const prepared = await prepare(folder, options);
  const { source, schedule, resumed } = prepared;
  for (const path of resumed?.incomplete ?? []) console.note(`passed over ${path}: the checkpoint is not whole`);
  const needsNode =
    options.checkpoints !== undefined ||
    resumed !== null ||
    (options.stepsPerCall ?? 1) > 1 ||
    options.group.length > 0;
  const session = await TrainingSession.create(source, {
    ...sessionOptionsOf(options, source),
    ...(needsNode && options.runtime === undefined ? { runtime: "ort-node" } : {}),
    ...(options.stepsPerCall === undefined ? {} : { stepsPerCall: options.stepsPerCall }),
    parameterGroups: options.group,
    ...(schedule === null ? {} : { learningRate: schedule }),
  });
  try {
    if (resumed !== null) await session.loadState(resumed.state);
    const destination = await destinationOf(options, session.can.keepState, (text) => console.note(text));
    try {
      return await trainSession(session, folder, prepared, destination, options, console);
    } finally {
      await destination.release();
    }
  } finally {
    await session.release();
  }
}

async function trainSession(
  session: TrainingSession,
  folder: string,
  { source, dataset, plan, identity, resumed }: Prepared,
  { checkpoints, output }: Destination,
  options: TrainCommandOptions,
  console: Console,
): Promise<number> {
  const save = checkpoints === null ? null : await saverOf(checkpoints, session, identity, resumed, options, console);
  const log = options.log === undefined ? null : new JsonLines(options.log, { append: resumed !== null });
  const progress = new Progress(console, plan);
  const run: { last: StepEvent | null } = { last: null };
  try {
    const { exitCode } = await interruptible(async (signal) => {
      const events = train(session, dataset, {
        ...trainOptions(options),
        ...(save === null ? {} : { save }),
        ...(options.saveEvery === undefined ? {} : { saveEvery: options.saveEvery }),
        ...(resumed === null ? {} : { from: resumed.manifest.position }),
        signal,
      });
      for await (const event of events) {
        if (console.options.json) console.line(event);
        await log?.write(event);
        if (event.type === "epoch") {
          progress.epoch(event);
          continue;
        }
        progress.step(event);
        run.last = event;
      }
    });
    progress.end();
    if (output !== null) await writeFileAtomic(output, [await session.saveCheckpoint()]);
    const steps = run.last?.step ?? resumed?.manifest.step ?? 0;
    const loss = run.last?.loss ?? null;
    const interrupted = exitCode !== null;
    const next = nextCommand(folder, source, checkpoints, output, interrupted);
    const saved = [
      ...(checkpoints === null ? [] : [`; run saved in ${checkpoints}`]),
      ...(output === null ? [] : [`; checkpoint written to ${output}`]),
    ].join("");
    const runtime = session.runtime;
    console.result(
      {
        ...{ type: "end", command: "train", runtime, steps, plannedSteps: plan.totalSteps, loss },
        ...{ output, checkpoints, interrupted, next },
      },
      [
        `${steps} of ${plan.totalSteps} steps${interrupted ? " (interrupted)" : ""}, last loss ${loss?.toPrecision(6) ?? "none"}${saved}`,
        ...(next === null ? [] : [`${interrupted ? "to go on" : "next"}: ${next}`]),
      ],
    );
    return exitCode ?? 0;
  } finally {
    progress.end();
    await log?.close();
  }
}

/** Saves into a folder, as the run that was resumed from its newest checkpoint, or as a run of its own. */
async function saverOf(
  folder: string,
  session: TrainingSession,
  identity: RunIdentity,
  resumed: LoadedRun | null,
  { keep }: TrainCommandOptions,
  console: Console,
): Promise<ReturnType<typeof saver>> {
  const continued = resumed?.isNewest && (await isSame(dirname(resumed.folder), folder)) ? resumed : null;
  const run = continued?.run ?? (await newRun(folder));
  if (continued === null && run > 1) console.note(`${folder} has checkpoints of an earlier run; they are kept`);
  return saver(folder, session, identity, { keep, run, warn: (text) => console.note(text) });
}

async function isSame(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => stat(path).catch(() => null)));
  return first != null && second != null && first.ino === second.ino && first.dev === second.dev;
}

/** What one would type after this, with the names at hand; null where nothing sensible follows. */
function nextCommand(
  folder: string,
  { evalModel }: Trainable,
  checkpoints: string | null,
  output: string | null,
  interrupted: boolean,
): string | null {
  const weights = checkpoints ?? output;
  if (weights === null) return null;
  if (!interrupted) {
    return evalModel === null ? null : commandLine(["export", folder, "--checkpoint", weights, "-o", "model.onnx"]);
  }
  return checkpoints === null ? null : commandLine(resumingArguments(process.argv.slice(2), checkpoints));
}

function trainOptions({ epochs, batchSize, seed, shuffle, dropLast, accumulate }: TrainCommandOptions): TrainOptions {
  return {
    ...{ epochs, seed, shuffle, accumulate, dropLast: dropLast === true },
    ...(batchSize === undefined ? {} : { batchSize }),
  };
}

function scheduleOf(
  { lr, schedule, warmupSteps }: TrainCommandOptions,
  totalSteps: number,
): LearningRateSchedule | null {
  if (lr === undefined) {
    if (schedule === "constant" && warmupSteps === 0) return null;
    throw new UsageError("E_OPTION", "--schedule and --warmup-steps need --lr", { hint: "Give --lr <rate>." });
  }
  if (warmupSteps >= totalSteps && schedule !== "constant") {
    throw new UsageError(
      "E_OPTION",
      `--warmup-steps ${warmupSteps} leaves none of the ${totalSteps} steps for the ${schedule} schedule`,
    );
  }
  return schedule === "constant" ? { rate: lr, warmupSteps } : { rate: lr, decay: schedule, warmupSteps, totalSteps };
}
