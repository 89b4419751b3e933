import { createWriteStream } from "node:fs";
import { Command, type Command as CommandType, Option } from "commander";
import {
  checkCheckpointFits,
  datasetFor,
  decodeCheckpoint,
  FileSystemError,
  type LearningRateSchedule,
  learningRateAt,
  PassError,
  planTraining,
  readArtifacts,
  readDataFile,
  type StepEvent,
  TRAIN_DEFAULTS,
  TrainingSession,
  type TrainOptions,
  train,
  UsageError,
  userInputs,
  writeFileAtomic,
} from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { interruptible } from "../interrupt.ts";
import { Progress } from "../progress.ts";
import { checkTarget } from "../target.ts";
import { nonNegative, wholeNumber } from "../values.ts";

interface TrainCommandOptions {
  readonly data: string;
  readonly runtime: "ort-training";
  readonly epochs: number;
  readonly batchSize?: number;
  readonly lr?: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly dropLast?: boolean;
  readonly threads: number;
  readonly log?: string;
  readonly output?: string;
  readonly force?: boolean;
}

export function trainCommand(): CommandType {
  return new Command("train")
    .description("Train exported artifacts through ONNX Runtime")
    .argument("<folder>", "folder of training artifacts")
    .requiredOption("--data <file>", "training data: .safetensors or .npz, tensors named after the model's inputs")
    .addOption(new Option("--runtime <name>", "what trains").choices(["ort-training"]).default("ort-training"))
    .option("--epochs <n>", "times through the data", wholeNumber(1), TRAIN_DEFAULTS.epochs)
    .option(
      "--batch-size <n>",
      `samples per step (default: what the model asks for, else ${TRAIN_DEFAULTS.batchSize})`,
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
    .option("--threads <n>", "threads of the runtime", wholeNumber(1), 1)
    .option("--log <file>", "write one JSON object per step and per epoch")
    .option("-o, --output <file>", "write the trained checkpoint")
    .option("--force", "replace files that exist")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr train artifacts --data train.safetensors --epochs 5 -o trained-checkpoint
  onnx-agr train artifacts --data train.npz --lr 0.01 --schedule cosine --warmup-steps 100 --log run.jsonl`,
    )
    .action(async (folder: string, options: TrainCommandOptions, command: CommandType) => {
      const console = new Console(command.optsWithGlobals<OutputOptions>());
      process.exitCode = await runTraining(folder, options, console);
    });
}

async function runTraining(folder: string, options: TrainCommandOptions, console: Console): Promise<number> {
  const overwrite = { force: options.force === true, inPlace: false };
  for (const path of [options.output, options.log]) if (path !== undefined) await checkTarget(null, path, overwrite);
  const artifacts = await readArtifacts(folder);
  const { checkpoint, trainingModel } = artifacts;
  if (checkpoint === null || trainingModel === null) {
    const file = checkpoint === null ? "checkpoint" : "training model";
    throw new UsageError("E_ARTIFACT_MISSING", `${folder} has no ${file}, which training needs`, { file: folder });
  }
  const decoded = decodeCheckpoint(checkpoint);
  if (decoded.nominal) {
    throw new PassError(
      "E_NOMINAL",
      `the checkpoint of ${folder} is nominal: it has the parameters' names and no values`,
      {
        file: folder,
        hint: "Use the full checkpoint that was exported beside it.",
      },
    );
  }
  checkCheckpointFits(trainingModel, decoded);
  const inputs = userInputs(trainingModel, decoded);
  const dataset = datasetFor(inputs, await readDataFile(options.data));
  const plan = planTraining(inputs, dataset, trainOptions(options));
  const schedule = scheduleOf(options, plan.totalSteps);
  const session = await TrainingSession.create(artifacts, {
    runtime: options.runtime,
    threads: options.threads,
    ...(schedule === null ? {} : { learningRate: schedule }),
  });
  const log = options.log === undefined ? null : new Log(options.log);
  const progress = new Progress(console, plan);
  const run: { last: StepEvent | null } = { last: null };
  try {
    const { exitCode } = await interruptible(async (signal) => {
      const learningRate = schedule === null ? {} : { learningRate: (step: number) => learningRateAt(schedule, step) };
      for await (const event of train(session, dataset, { ...trainOptions(options), ...learningRate, signal })) {
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
    const steps = run.last?.step ?? 0;
    const loss = run.last?.loss ?? null;
    const saved = options.output === undefined ? "" : `; checkpoint written to ${options.output}`;
    const stopped = exitCode === null ? "" : " (interrupted)";
    console.result(
      {
        type: "end",
        command: "train",
        steps,
        plannedSteps: plan.totalSteps,
        loss,
        output: options.output ?? null,
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

function trainOptions({ epochs, batchSize, seed, shuffle, dropLast }: TrainCommandOptions): TrainOptions {
  return { epochs, seed, shuffle, dropLast: dropLast === true, ...(batchSize === undefined ? {} : { batchSize }) };
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

/** A JSON-lines file: whole lines only, whatever happens. */
class Log {
  readonly #path: string;
  readonly #stream: ReturnType<typeof createWriteStream>;
  #failure: Error | null = null;

  constructor(path: string) {
    this.#path = path;
    this.#stream = createWriteStream(path);
    this.#stream.on("error", (error) => {
      this.#failure = error;
    });
  }

  async write(event: object): Promise<void> {
    this.#check();
    if (!this.#stream.write(`${JSON.stringify(event)}\n`)) {
      await new Promise<void>((done) => {
        this.#stream.once("drain", done).once("error", () => done());
      });
    }
    this.#check();
  }

  async close(): Promise<void> {
    await new Promise<void>((done) => {
      this.#stream.once("error", () => done()).end(done);
    });
    this.#check();
  }

  #check(): void {
    if (this.#failure === null) return;
    throw new FileSystemError("E_FILE_SYSTEM", `cannot write the log ${this.#path}: ${this.#failure.message}`, {
      file: this.#path,
      cause: this.#failure,
    });
  }
}
