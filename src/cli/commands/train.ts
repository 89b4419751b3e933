import { readFile } from "node:fs/promises";
import { Command, type Command as CommandType, Option } from "commander";
import {
  type Dataset,
  datasetFor,
  identityOf,
  type LearningRateSchedule,
  type LoadedRun,
  learningRateAt,
  lockRuns,
  type ParameterGroup,
  planTraining,
  readDataFile,
  readTrainable,
  readWeights,
  type StepEvent,
  sha256,
  TRAIN_DEFAULTS,
  type Trainable,
  type TrainingPlan,
  TrainingSession,
  type TrainOptions,
  train,
  trainingInputsOf,
  UsageError,
  withWeights,
  writeFileAtomic,
} from "../../index.ts";
import { type RunIdentity, resumeFrom, saver } from "../checkpoints.ts";
import { Console, type OutputOptions } from "../console.ts";
import { interruptible } from "../interrupt.ts";
import { JsonLines } from "../json-lines.ts";
import { withGroups } from "../parameter-groups.ts";
import { Progress } from "../progress.ts";
import { preferredBy, type RuntimeOptions, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { checkTarget } from "../target.ts";
import { nonNegative, wholeNumber } from "../values.ts";

interface TrainCommandOptions extends RuntimeOptions {
  readonly data: string;
  readonly epochs: number;
  readonly batchSize?: number;
  readonly accumulate: number;
  readonly stepsPerCall: number;
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

export function trainCommand(): CommandType {
  const command = new Command("train")
    .description("Train exported artifacts through ONNX Runtime")
    .argument("<folder>", "folder of training artifacts, ONNX Runtime's or portable ones")
    .requiredOption("--data <file>", "training data: .safetensors or .npz, tensors named after the model's inputs");
  return withGroups(withRuntime(command))
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
    .option("--steps-per-call <n>", "steps ort-node runs in one call: fewer copies of the state", wholeNumber(1), 1)
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
    .option("--checkpoints <folder>", "save the run there at the end, when interrupted, and every --save-every steps")
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
  onnx-agr train artifacts --data train.safetensors --epochs 5 -o trained-checkpoint
  onnx-agr train artifacts --data train.npz --lr 0.01 --schedule cosine --warmup-steps 100 --log run.jsonl
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --save-every 500
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --resume run
  onnx-agr train artifacts --data train.npz --ep webgpu,cpu --steps-per-call 16`,
    )
    .action(async (folder: string, options: TrainCommandOptions, self: CommandType) => {
      const console = new Console(self.optsWithGlobals<OutputOptions>());
      process.exitCode = await trainLocked(folder, options, console);
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
  for (const path of [options.output, options.log]) if (path !== undefined) await checkTarget(null, path, overwrite);
  const given = await readTrainable(folder, preferredBy(options));
  const inputs = trainingInputsOf(given, folder);
  const source = options.initFrom === undefined ? given : withWeights(given, await readWeights(options.initFrom));
  const dataset = datasetFor(inputs, await readDataFile(options.data));
  const plan = planTraining(inputs, dataset, trainOptions(options));
  const schedule = scheduleOf(options, plan.totalSteps);
  const identity = await identify(given, plan, options);
  const resumed =
    options.resume === undefined ? null : await resumeFrom(options.resume, identity, options.allowMismatch);
  return { source, dataset, plan, schedule, identity, resumed };
}

/** What must be the same for a run to go on bit for bit. */
async function identify(source: Trainable, plan: TrainingPlan, options: TrainCommandOptions): Promise<RunIdentity> {
  const { hashes, agr } = identityOf(source);
  const { batchSize, shuffle, seed, dropLast, accumulate, totalSteps } = plan;
  const { lr = null, schedule, warmupSteps, stepsPerCall, threads = null, ep } = options;
  return {
    options: {
      ...{ batchSize, shuffle, seed, dropLast, accumulate, lr, schedule, warmupSteps, agr },
      groups: options.group.length === 0 ? null : JSON.stringify(options.group),
      ...{ stepsPerCall, threads, ep: ep?.join() ?? null, totalSteps: schedule === "constant" ? null : totalSteps },
    },
    hashes: { ...hashes, data: sha256(await readFile(options.data)) },
  };
}

/** Keeps the folder of checkpoints for this process while it trains. */
async function trainLocked(folder: string, options: TrainCommandOptions, console: Console): Promise<number> {
  const unlock = options.checkpoints === undefined ? null : await lockRuns(options.checkpoints);
  try {
    return await runTraining(folder, options, console);
  } finally {
    await unlock?.();
  }
}

async function runTraining(folder: string, options: TrainCommandOptions, console: Console): Promise<number> {
  const { source, dataset, plan, schedule, identity, resumed } = await prepare(folder, options);
  for (const path of resumed?.incomplete ?? []) console.note(`passed over ${path}: the checkpoint is not whole`);
  const needsNode =
    options.checkpoints !== undefined || resumed !== null || options.stepsPerCall > 1 || options.group.length > 0;
  const session = await TrainingSession.create(source, {
    ...sessionOptionsOf(options, source),
    ...(needsNode && options.runtime === undefined ? { runtime: "ort-node" } : {}),
    stepsPerCall: options.stepsPerCall,
    parameterGroups: options.group,
    ...(schedule === null ? {} : { learningRate: schedule }),
  });
  if (resumed !== null) await session.loadState(resumed.state);
  const log = options.log === undefined ? null : new JsonLines(options.log);
  const progress = new Progress(console, plan);
  const run: { last: StepEvent | null } = { last: null };
  try {
    const { exitCode } = await interruptible(async (signal) => {
      const learningRate = schedule === null ? {} : { learningRate: (step: number) => learningRateAt(schedule, step) };
      const save =
        options.checkpoints === undefined ? {} : { save: saver(options.checkpoints, session, identity, options.keep) };
      const events = train(session, dataset, {
        ...trainOptions(options),
        ...learningRate,
        ...save,
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
    if (options.output !== undefined) await writeFileAtomic(options.output, [await session.saveCheckpoint()]);
    const steps = run.last?.step ?? resumed?.manifest.step ?? 0;
    const loss = run.last?.loss ?? null;
    const saved = options.output === undefined ? "" : `; checkpoint written to ${options.output}`;
    const stopped = exitCode === null ? "" : " (interrupted)";
    console.result(
      {
        type: "end",
        command: "train",
        runtime: session.runtime,
        steps,
        plannedSteps: plan.totalSteps,
        loss,
        output: options.output ?? null,
        checkpoints: options.checkpoints ?? null,
        interrupted: exitCode !== null,
      },
      `${steps} of ${plan.totalSteps} steps${stopped}, last loss ${loss?.toPrecision(6) ?? "none"}${saved}`,
    );
    return exitCode ?? 0;
  } finally {
    progress.end();
    await log?.close();
    await session.release();
  }
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
