import { isStep, planTraining, sizesOfBatches, type TrainingPlan, trainingInputsOf } from "../entries/run.ts";
import {
  BackendError,
  CheckpointError,
  type Dataset,
  type LearningRateSchedule,
  type LoadedRun,
  readWeights,
  type Trainable,
  TrainingSession,
  type TrainPosition,
  UsageError,
  withWeights,
} from "../index.ts";
import { type RunIdentity, resumeFrom } from "./checkpoints.ts";
import type { Console } from "./console.ts";
import { refuseIdleTrainOptions } from "./idle-options.ts";
import { datasetOf } from "./input-options.ts";
import { compareRanks, type Ranks, type Resumed, shareResumed, withThreads } from "./ranks.ts";
import { alikeOnRanks, identify } from "./run-identity.ts";
import { sessionOptionsOf } from "./session-options.ts";
import { requireState, sourceAt } from "./source.ts";
import { checkTarget } from "./target.ts";
import { scheduleOf, type TrainCommandOptions, trainOptions } from "./train-options.ts";
import { withoutValidation } from "./validation.ts";

interface Prepared {
  readonly source: Trainable;
  readonly dataset: Dataset;
  /** What is evaluated after each epoch. */
  readonly validation: Dataset | null;
  readonly plan: TrainingPlan;
  /** Of the batches that one rank takes, where the models leave them open. */
  readonly sizes: Readonly<Record<string, number>>;
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
  refuseIdleTrainOptions(options);
  if (communicator.size === 1 && options.localSteps !== undefined)
    console.note("--local-steps changes nothing on one rank");
  const isFirst = communicator.rank === 0;
  const overwrite = { force: options.force === true, inPlace: false };
  if (isFirst && options.output !== undefined) await checkTarget(null, options.output, overwrite);
  /** A run that goes on goes on with its log. */
  const logForce = overwrite.force || options.resume !== undefined;
  if (isFirst && options.log !== undefined)
    await checkTarget(null, options.log, { ...overwrite, force: logForce, kind: "stream" });
  if (isFirst && options.report !== undefined) await checkTarget(null, options.report, overwrite);
  /** Event files have names of their own: those of other runs stay beside them. */
  if (isFirst && options.tensorboard !== undefined)
    await checkTarget(null, options.tensorboard, { force: true, inPlace: false, kind: "folder" });
  const { given, check } = await sourceAt(folder, options, console);
  if (isStep(given)) requireStepOptions(options, communicator.size);
  const inputs = trainingInputsOf(given, folder);
  const source = options.initFrom === undefined ? given : withWeights(given, await readWeights(options.initFrom));
  if (options.resume === undefined) requireState(source, folder, "--init <file>");
  const tell = (note: string): void => console.note(note);
  const all = await datasetOf(inputs, options, tell);
  const { dataset, validation } = await withoutValidation(inputs, all, options, tell);
  const plan = planTraining(inputs, dataset, trainOptions(options, communicator));
  const perRank = Math.min(plan.batchSize, dataset.size) / communicator.size;
  const sizes = Number.isInteger(perRank) ? sizesOfBatches(inputs, dataset, perRank) : {};
  const schedule = scheduleOf(options, plan.totalSteps);
  const identity = await identify(given, folder, plan, options, all, communicator.size);
  if (communicator.size > 1) {
    await compareRanks(communicator, await alikeOnRanks(identity, options));
    const each = options.globalBatchSize === undefined ? ` (${plan.batchSize / communicator.size} each)` : "";
    console.note(`${communicator.size} ranks, ${communicator.library}; batches of ${plan.batchSize}${each}`);
  }
  const loaded =
    options.resume === undefined || !isFirst
      ? null
      : await resumeFrom(options.resume, identity, options.allowMismatch, communicator.size);
  const resumed = await shareResumed(communicator, loaded);
  await check();
  const begun = isStep(source) && resumed !== null ? { ...source, state: resumed.state } : source;
  return { source: begun, dataset, validation, plan, sizes, schedule, identity, loaded, resumed };
}

/** A whole step updates what it trains in every call. */
function requireStepOptions({ accumulate, group, output, localSteps }: TrainCommandOptions, ranks: number): void {
  const wrong: readonly (readonly [isWrong: boolean, reason: string, hint: string])[] = [
    [accumulate > 1, "--accumulate sums up gradients", "Put the accumulation into the step, or leave the option out."],
    [group.length > 0, "--group writes an optimizer", "The step has its groups in it; leave the option out."],
    [output !== undefined, "-o writes a checkpoint of ONNX Runtime", "Use --checkpoints, and export for the result."],
    [ranks > 1 && localSteps === undefined, "ranks average gradients", "Give --local-steps <n>."],
  ];
  const [first] = wrong.filter(([isWrong]) => isWrong);
  if (first === undefined) return;
  const [, reason, hint] = first;
  throw new UsageError("E_OPTION", `${reason}, and a whole step gives out none: it is trained as it is`, { hint });
}

/** A session ready to train. The tensors it was made of are its own now: nothing here holds them, which may be gigabytes. */
export interface Opened extends Omit<Prepared, "source" | "loaded" | "resumed"> {
  readonly session: TrainingSession;
  readonly hasEvaluation: boolean;
  readonly loaded: Omit<LoadedRun, "state"> | null;
  readonly resumed: { readonly step: number; readonly position: TrainPosition } | null;
}

export async function openSession(folder: string, options: TrainCommandOptions, ranks: Ranks): Promise<Opened> {
  const { communicator, console } = ranks;
  const { source, loaded, resumed, ...prepared } = await prepare(folder, options, ranks);
  for (const path of loaded?.incomplete ?? []) console.note(`passed over ${path}: the checkpoint is not whole`);
  const { schedule, sizes } = prepared;
  const hasEvaluation = source.evalModel !== null;
  if (prepared.validation !== null && !hasEvaluation)
    throw new BackendError("E_NO_EVAL_MODEL", `${folder} has no eval model, which --validation needs`, {
      field: "--validation",
    });
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
    ...{ parameterGroups: options.group, sizes },
    ...(schedule === null ? {} : { learningRate: schedule }),
  });
  tellSizes(session, console);
  try {
    await requireSavable(session, options.output);
    if (resumed !== null) await session.loadState(resumed.state);
  } catch (error) {
    await session.release();
    throw error;
  }
  return {
    ...{ ...prepared, session, hasEvaluation, loaded: withoutState(loaded) },
    resumed: resumed === null ? null : { step: resumed.state.step, position: resumed.position },
  };
}

function tellSizes({ sizes }: TrainingSession, console: Console): void {
  const named = Object.entries(sizes).map(([name, size]) => `${name} ${size}`);
  if (named.length === 0) return;
  console.note(`models made for ${named.join(", ")}; batches of other sizes take those for any`);
}

function withoutState(run: LoadedRun | null): Opened["loaded"] {
  if (run === null) return null;
  const { state: _, ...rest } = run;
  return rest;
}

/** @throws CheckpointError `E_CHECKPOINT_SIZE` before the training, not after it */
async function requireSavable(session: TrainingSession, output: string | undefined): Promise<void> {
  if (output === undefined || session.can.saveCheckpoint) return;
  if ((await session.lossScale()) !== null) {
    throw new CheckpointError("E_CHECKPOINT", "ONNX Runtime's checkpoint format has no place for the loss's scale", {
      ...{ file: output, field: "--output", hint: "Save with --checkpoints <folder> in place of -o." },
    });
  }
  throw new CheckpointError(
    "E_CHECKPOINT_SIZE",
    "parameters and optimizer state have more than 2 GiB, which ONNX Runtime's checkpoint format does not hold",
    { file: output, field: "--output", hint: "Save with --checkpoints <folder> in place of -o." },
  );
}
