import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, type Command as CommandType } from "commander";
import {
  checkTrainingSet,
  type Dataset,
  type LearningRateSchedule,
  type LoadedRun,
  loadTrainingSet,
  lockRuns,
  newRun,
  planTraining,
  readWeights,
  type StepEvent,
  type Trainable,
  type TrainingPlan,
  TrainingSession,
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
import { Exchanged } from "../exchanged.ts";
import { DATA_HELP, datasetOf, withInputs } from "../input-options.ts";
import { interruptible } from "../interrupt.ts";
import type { Io } from "../io.ts";
import { JsonLines } from "../json-lines.ts";
import { withGroups } from "../parameter-groups.ts";
import { Progress } from "../progress.ts";
import { compareRanks, onRanks, type Ranks, type Resumed, shareResumed, withRanks, withThreads } from "../ranks.ts";
import { identify } from "../run-identity.ts";
import { preferredBy, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { readingOf, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { scheduleOf, type TrainCommandOptions, trainOptions, withTraining } from "../train-options.ts";

export function trainCommand(io: Io): CommandType {
  const command = new Command("train")
    .description("Train exported artifacts through ONNX Runtime")
    .argument("<folder>", "folder of training artifacts, ONNX Runtime's or portable ones")
    .requiredOption("--data <file>", `training data: ${DATA_HELP}`);
  return withTraining(withStrict(withGroups(withInputs(withRanks(withRuntime(command))))))
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr train artifacts --data train.safetensors --epochs 5
  onnx-agr train artifacts --data train.npz --lr 0.01 --schedule cosine --warmup-steps 100 --log run.jsonl
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --save-every 500
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --resume run
  onnx-agr train artifacts --data train.npz --ep webgpu,cpu
  mpirun -n 4 onnx-agr train artifacts --data train.npz --checkpoints run --save-every 500`,
    )
    .action(async (folder: string, options: TrainCommandOptions, self: CommandType) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      io.exitCode = await onRanks(options, console, (communicator, own) =>
        trainLocked(folder, options, { communicator, console: own }),
      );
    });
}

interface Prepared {
  readonly source: Trainable;
  readonly dataset: Dataset;
  readonly plan: TrainingPlan;
  readonly schedule: LearningRateSchedule | null;
  readonly identity: RunIdentity;
  /** The checkpoint that was read, on rank 0. */
  readonly loaded: LoadedRun | null;
  readonly resumed: Resumed | null;
}

async function prepare(
  folder: string,
  options: TrainCommandOptions,
  { communicator, console }: Ranks,
): Promise<Prepared> {
  if (options.resume !== undefined && options.initFrom !== undefined) {
    throw new UsageError("E_OPTION", "--resume and --init-from cannot be given together");
  }
  if (options.saveEvery !== undefined && options.checkpoints === undefined) {
    throw new UsageError("E_OPTION", "--save-every needs --checkpoints", { hint: "Give --checkpoints <folder>." });
  }
  const isFirst = communicator.rank === 0;
  const overwrite = { force: options.force === true, inPlace: false };
  if (isFirst && options.output !== undefined) await checkTarget(null, options.output, overwrite);
  /** A run that goes on goes on with its log. */
  const logForce = overwrite.force || options.resume !== undefined;
  if (isFirst && options.log !== undefined)
    await checkTarget(null, options.log, { ...overwrite, force: logForce, kind: "stream" });
  const set = await loadTrainingSet(folder, readingOf(options));
  const given = trainableOf(set, preferredBy(options));
  const inputs = trainingInputsOf(given, folder);
  const source = options.initFrom === undefined ? given : withWeights(given, await readWeights(options.initFrom));
  const dataset = await datasetOf(inputs, options, (note) => console.note(note));
  const plan = planTraining(inputs, dataset, trainOptions(options, communicator));
  const schedule = scheduleOf(options, plan.totalSteps);
  const identity = await identify(given, plan, options, communicator.size);
  if (communicator.size > 1) {
    await compareRanks(communicator, identity);
    const each = options.globalBatchSize === undefined ? ` (${plan.batchSize / communicator.size} each)` : "";
    console.note(`${communicator.size} ranks, ${communicator.library}; batches of ${plan.batchSize}${each}`);
  }
  const loaded =
    options.resume === undefined || !isFirst
      ? null
      : await resumeFrom(options.resume, identity, options.allowMismatch, communicator.size);
  const resumed = await shareResumed(communicator, loaded);
  await checkTrainingSet(folder, set);
  return { source, dataset, plan, schedule, identity, loaded, resumed };
}

/** Keeps the folder of checkpoints for this process while it trains. */
async function trainLocked(folder: string, options: TrainCommandOptions, ranks: Ranks): Promise<number> {
  const { communicator, console } = ranks;
  const unlock =
    options.checkpoints === undefined || communicator.rank > 0
      ? null
      : await lockRuns(options.checkpoints, { warn: (text) => console.note(text) });
  try {
    return await runTraining(folder, options, ranks);
  } finally {
    await unlock?.();
  }
}

async function runTraining(folder: string, options: TrainCommandOptions, ranks: Ranks): Promise<number> {
  const { communicator, console } = ranks;
  const prepared = await prepare(folder, options, ranks);
  const { source, schedule, loaded, resumed } = prepared;
  for (const path of loaded?.incomplete ?? []) console.note(`passed over ${path}: the checkpoint is not whole`);
  const needsNode =
    options.checkpoints !== undefined ||
    resumed !== null ||
    communicator.size > 1 ||
    (options.stepsPerCall ?? 1) > 1 ||
    options.group.length > 0;
  const session = await TrainingSession.create(source, {
    ...sessionOptionsOf(await withThreads(options, ranks), source),
    ...(needsNode && options.runtime === undefined ? { runtime: "ort-node" } : {}),
    ...(options.stepsPerCall === undefined ? {} : { stepsPerCall: options.stepsPerCall }),
    parameterGroups: options.group,
    ...(schedule === null ? {} : { learningRate: schedule }),
  });
  try {
    if (resumed !== null) await session.loadState(resumed.state);
    const destination =
      communicator.rank > 0
        ? NOWHERE
        : await destinationOf(options, session.can.keepState, (text) => console.note(text));
    try {
      return await trainSession(session, folder, prepared, destination, options, ranks);
    } finally {
      await destination.release();
    }
  } finally {
    await session.release();
  }
}

const NOWHERE: Destination = { checkpoints: null, output: null, release: async () => undefined };

async function trainSession(
  session: TrainingSession,
  folder: string,
  { source, dataset, plan, identity, loaded, resumed }: Prepared,
  { checkpoints, output }: Destination,
  options: TrainCommandOptions,
  { communicator, console }: Ranks,
): Promise<number> {
  const save = checkpoints === null ? null : await saverOf(checkpoints, session, identity, loaded, options, console);
  const log =
    options.log === undefined || communicator.rank > 0
      ? null
      : new JsonLines(options.log, { append: resumed !== null });
  const progress = new Progress(console, plan);
  const exchanged = new Exchanged();
  if (communicator.size > 1) {
    const { length } = Object.keys(await session.lendState("buffer"));
    if (length > 0) console.note(`${length} running statistics are averaged over the ranks, weighted by samples`);
  }
  const run: { last: StepEvent | null } = { last: null };
  try {
    const { exitCode } = await interruptible(async (signal) => {
      const events = train(session, dataset, {
        ...trainOptions(options, communicator),
        ...(save === null ? {} : { save }),
        ...(options.saveEvery === undefined ? {} : { saveEvery: options.saveEvery }),
        ...(resumed === null ? {} : { from: resumed.position }),
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
        exchanged.add(event);
        run.last = event;
      }
    });
    progress.end();
    if (output !== null) await writeFileAtomic(output, [await session.saveCheckpoint()]);
    const steps = run.last?.step ?? resumed?.state.step ?? 0;
    const loss = run.last?.loss ?? null;
    const interrupted = exitCode !== null;
    const next = nextCommand(folder, source, checkpoints, output, interrupted ? communicator.size : null);
    const saved = [
      ...(checkpoints === null ? [] : [`; run saved in ${checkpoints}`]),
      ...(output === null ? [] : [`; checkpoint written to ${output}`]),
    ].join("");
    const runtime = session.runtime;
    console.result(
      {
        ...{
          type: "end",
          command: "train",
          runtime,
          reached: session.way.name,
          steps,
          plannedSteps: plan.totalSteps,
          loss,
        },
        ...{ output, checkpoints, interrupted, next },
        ...(communicator.size === 1 ? {} : { ranks: communicator.size, exchange: exchanged.shares }),
      },
      [
        ...(communicator.size === 1 ? [] : [exchanged.line]),
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

/**
 * What one would type after this, with the names at hand; null where nothing sensible follows.
 * @param interrupted how many ranks were interrupted; null: none
 */
function nextCommand(
  folder: string,
  { evalModel }: Trainable,
  checkpoints: string | null,
  output: string | null,
  interrupted: number | null,
): string | null {
  const weights = checkpoints ?? output;
  if (weights === null) return null;
  if (interrupted === null) {
    return evalModel === null ? null : commandLine(["export", folder, "--checkpoint", weights, "-o", "model.onnx"]);
  }
  if (checkpoints === null) return null;
  const command = commandLine(resumingArguments(process.argv.slice(2), checkpoints));
  return interrupted > 1 ? `mpirun -n ${interrupted} ${command}` : command;
}
