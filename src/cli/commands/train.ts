import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, type Command as CommandType } from "commander";
import { writeFileAtomic } from "../../entries/graph.ts";
import { isOfAllRanks, lockRuns, newRun, ofAllRanks, readAssets } from "../../entries/run.ts";
import { type StepEvent, type TrainingSession, type TrainPosition, train, UsageError } from "../../index.ts";
import { type RunIdentity, saver } from "../checkpoints.ts";
import { Console, type OutputOptions } from "../console.ts";
import { commandLine, type Destination, destinationOf, resumingArguments } from "../destination.ts";
import { epochTable } from "../epoch-table.ts";
import { Exchanged } from "../exchanged.ts";
import { findRate, refuseBesideFinder } from "../find-learning-rate.ts";
import { DATA_HELP, withInputs } from "../input-options.ts";
import { interruptible } from "../interrupt.ts";
import type { Io } from "../io.ts";
import { type Opened, openSession } from "../open-training.ts";
import { withGroups } from "../parameter-groups.ts";
import { Place } from "../place.ts";
import { Progress } from "../progress.ts";
import { onRanks, type Ranks, sharedEnd, withRanks } from "../ranks.ts";
import { Rescue, withRemedy } from "../rescue.ts";
import { withRuntime } from "../session-options.ts";
import { withStep } from "../source.ts";
import { statisticsTable } from "../statistics-table.ts";
import { withStrict } from "../strict.ts";
import { type TrainCommandOptions, trainOptions, withTraining } from "../train-options.ts";
import type { TrainingRecord } from "../training-record.ts";
import { bestSaver, Validation } from "../validation.ts";
import { statisticsOf, Watch } from "../watch.ts";
import { writeReport } from "../write-report.ts";

export function trainCommand(io: Io): CommandType {
  const command = new Command("train")
    .description("Train exported artifacts through ONNX Runtime")
    .argument(
      "<path>",
      "folder of training artifacts, ONNX Runtime's or portable ones, or a file with a whole train step",
    )
    .requiredOption("--data <file>", `training data: ${DATA_HELP}`);
  return withTraining(withStep(withStrict(withGroups(withInputs(withRanks(withRuntime(command)))))))
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr train artifacts --data train.safetensors --epochs 5
  onnx-agr train artifacts --data train.npz --lr 0.01 --schedule cosine --warmup-steps 100 --log run.jsonl
  onnx-agr train artifacts --data train.npz --find-lr
  onnx-agr train artifacts --data train.npz --validation 0.1 --statistics 50 --report report.html
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --save-every 500
  onnx-agr train artifacts --data train.npz --epochs 50 --checkpoints run --resume run
  onnx-agr train artifacts --data train.npz --ep webgpu,cpu
  onnx-agr train step.onnx --data train.npz --init state.safetensors --checkpoints run
  mpirun -n 4 onnx-agr train artifacts --data train.npz --checkpoints run --save-every 500`,
    )
    .action(async (folder: string, options: TrainCommandOptions, self: CommandType) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      io.exitCode = await onRanks(options, console, (communicator, own) =>
        trainLocked(folder, options, { communicator, console: own }),
      );
    });
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
  refuseBesideFinder(options, communicator.size);
  const opened = await openSession(folder, options, ranks);
  const { session } = opened;
  try {
    if (options.findLr === true) return await findRate(opened, console);
    const destination =
      communicator.rank > 0
        ? NOWHERE
        : await destinationOf(options, session.can.keepState, (text) => console.note(text));
    try {
      return await trainSession(opened, folder, destination, options, ranks);
    } finally {
      await destination.release();
    }
  } finally {
    await session.release();
  }
}

const NOWHERE: Destination = { checkpoints: null, output: null, release: async () => undefined };

async function trainSession(
  opened: Opened,
  folder: string,
  { checkpoints, output }: Destination,
  options: TrainCommandOptions,
  ranks: Ranks,
): Promise<number> {
  const { session, hasEvaluation, dataset, plan, identity, loaded, resumed } = opened;
  const { communicator, console } = ranks;
  const reportAssets = options.report === undefined || communicator.rank > 0 ? null : await readAssets();
  const validation = await validationOf(opened, checkpoints, options, ranks);
  const began = performance.now();
  const save = checkpoints === null ? null : await saverOf(checkpoints, session, identity, loaded, options, console);
  const watch = await Watch.open(options, ranks, { dataset, isResumed: resumed !== null });
  const rescue = save === null ? null : new Rescue(session, save, (text) => console.note(text));
  const progress = new Progress(console, plan);
  const exchanged = new Exchanged();
  if (communicator.size > 1) {
    const { length } = Object.keys(await session.lendState("buffer"));
    if (length > 0) console.note(`${length} running statistics are averaged over the ranks, weighted by samples`);
  }
  const { evalEvery } = options;
  const place = new Place(plan, resumed?.position ?? null);
  const evaluated = async (epoch: number, step: number, position: TrainPosition): Promise<void> => {
    const reason = await validation?.after({ epoch, step, position }, (told) => watch.take(told));
    if (reason) endEarly(reason);
  };
  const run: { last: StepEvent | null; ended: string | null } = { last: null, ended: null };
  const end = new AbortController();
  const endEarly = (reason: string): void => {
    run.ended ??= reason;
    end.abort();
  };
  try {
    const interrupted = await interruptible(async (signal) => {
      const events = train(session, dataset, {
        ...trainOptions(options, communicator),
        ...(save === null ? {} : { save }),
        ...(options.saveEvery === undefined ? {} : { saveEvery: options.saveEvery }),
        ...(evalEvery === undefined ? {} : { pauseEvery: evalEvery }),
        ...(resumed === null ? {} : { from: resumed.position }),
        ...(rescue === null ? {} : { rescue: rescue.save }),
        ...statisticsOf(options, identity),
        signal: AbortSignal.any([signal, end.signal]),
      });
      for await (const event of events) {
        await watch.take(event);
        if (event.type === "statistics") continue;
        if (event.type === "epoch") {
          progress.epoch(event);
          if (evalEvery === undefined) await evaluated(event.epoch, place.step, place.after(event.epoch));
          continue;
        }
        progress.step(event);
        exchanged.add(event);
        run.last = event;
        place.take(event);
        if (evalEvery !== undefined && (event.step % evalEvery === 0 || event.step === plan.totalSteps))
          await evaluated(event.epoch, event.step, place.position);
        if (options.maxSeconds !== undefined && performance.now() - began > 1000 * options.maxSeconds)
          endEarly(`--max-seconds ${options.maxSeconds} are over`);
      }
    });
    progress.end();
    const { exitCode, reason: ended } = await sharedEnd(communicator, {
      exitCode: interrupted.exitCode,
      reason: run.ended,
    });
    if (output !== null) await writeFileAtomic(output, [await session.saveCheckpoint()]);
    if (options.report !== undefined && reportAssets !== null)
      await writeReport(options.report, folder, watch.record, opened, options, ended, reportAssets);
    const steps = run.last?.step ?? resumed?.step ?? 0;
    const loss = run.last?.loss ?? null;
    const isInterrupted = exitCode !== null;
    const next = nextCommand(folder, hasEvaluation, checkpoints, output, isInterrupted ? communicator.size : null);
    const saved = [
      ...(checkpoints === null ? [] : [`; run saved in ${checkpoints}`]),
      ...(output === null ? [] : [`; checkpoint written to ${output}`]),
      ...(options.report === undefined || communicator.rank > 0 ? [] : [`; report in ${options.report}`]),
    ].join("");
    const { runtime, batchParts, sizes } = session;
    console.result(
      {
        ...{
          type: "end",
          command: "train",
          runtime,
          reached: session.way.name,
          ...{ batchParts, sizes },
          steps,
          plannedSteps: plan.totalSteps,
          loss,
        },
        ...{ output, checkpoints, interrupted: isInterrupted, ended, best: validation?.best ?? null, next },
        ...watch.record.scaling,
        ...(communicator.size === 1 ? {} : { ranks: communicator.size, exchange: exchanged.shares }),
      },
      [
        ...(communicator.rank > 0
          ? []
          : [...epochTable(watch.record.epochs), ...statisticsTable(watch.record.statistics)]),
        ...(communicator.size === 1 ? [] : [exchanged.line]),
        ...scalingLine(watch.record.scaling),
        `${steps} of ${plan.totalSteps} steps${isInterrupted ? " (interrupted)" : ended === null || steps >= plan.totalSteps ? "" : ` (${ended})`}, last loss ${loss?.toPrecision(6) ?? "none"}${saved}`,
        ...(next === null ? [] : [`${isInterrupted ? "to go on" : "next"}: ${next}`]),
      ],
    );
    return exitCode ?? 0;
  } catch (error) {
    const told = withRemedy(error, { rescued: rescue?.steps ?? null, checkpoints, options, plan });
    throw isOfAllRanks(error) && told instanceof Error ? ofAllRanks(told) : told;
  } finally {
    progress.end();
    await watch.close();
  }
}

async function validationOf(
  { session, validation, plan, identity }: Opened,
  checkpoints: string | null,
  { patience, evalEvery, validation: given }: TrainCommandOptions,
  ranks: Ranks,
): Promise<Validation | null> {
  if (validation === null) return null;
  if (evalEvery !== undefined && ranks.communicator.size > 1)
    throw new UsageError(
      "E_OPTION",
      "--eval-every is for one process: ranks have the whole state together after each epoch",
      {
        field: "--eval-every",
        hint: "Leave it out: --validation is evaluated after each epoch.",
      },
    );
  if (session.carried.length > 0 && typeof given === "number") {
    throw new UsageError(
      "E_CARRY",
      "a share of the samples, drawn at random, leaves gaps in what the model carries from batch to batch",
      {
        field: "--validation",
        hint: "Give other data: --validation <file>.",
      },
    );
  }
  const saveBest = checkpoints === null ? null : await bestSaver(checkpoints, session, identity);
  const { batchSize, sequential = false } = plan;
  return new Validation(
    validation,
    session,
    ranks,
    { batchSize, sequential, patience, isBetween: evalEvery !== undefined },
    saveBest,
  );
}

function scalingLine(scaling: TrainingRecord["scaling"]): readonly string[] {
  if (scaling === null) return [];
  const { lossScale, skipped } = scaling;
  const which = skipped === 1 ? "1 update was" : `${skipped} updates were`;
  return [`${which} left out because a gradient was not finite; the loss's scale is ${lossScale}`];
}

/** Saves into a folder, as the run that was resumed from its newest checkpoint, or as a run of its own. */
async function saverOf(
  folder: string,
  session: TrainingSession,
  identity: RunIdentity,
  resumed: Opened["loaded"],
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
  hasEvaluation: boolean,
  checkpoints: string | null,
  output: string | null,
  interrupted: number | null,
): string | null {
  const weights = checkpoints ?? output;
  if (weights === null) return null;
  if (interrupted === null) {
    return !hasEvaluation ? null : commandLine(["export", folder, "--checkpoint", weights, "-o", "model.onnx"]);
  }
  if (checkpoints === null) return null;
  const command = commandLine(resumingArguments(process.argv.slice(2), checkpoints));
  return interrupted > 1 ? `mpirun -n ${interrupted} ${command}` : command;
}
