import { type Command, InvalidArgumentError, Option } from "commander";
import type { Augmentation, Communicator } from "../entries/run.ts";
import {
  type LearningRateSchedule,
  type ParameterGroup,
  TRAIN_DEFAULTS,
  type TrainOptions,
  UsageError,
} from "../index.ts";
import type { InputFlags } from "./input-options.ts";
import type { RankFlags } from "./ranks.ts";
import type { RuntimeOptions } from "./session-options.ts";
import type { StepFlags } from "./source.ts";
import type { StrictOption } from "./strict.ts";
import { type ValidationFlags, withValidation } from "./validation.ts";
import { nonNegative, wholeNumber } from "./values.ts";

/** How it is trained, whatever becomes of the result. */
export interface StepsFlags {
  readonly epochs: number;
  readonly batchSize?: number;
  readonly accumulate: number;
  readonly stepsPerCall?: number;
  readonly lr?: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly shuffle: boolean;
  readonly dropLast?: boolean;
}

export interface TrainCommandOptions
  extends RuntimeOptions,
    InputFlags,
    StrictOption,
    RankFlags,
    StepFlags,
    StepsFlags,
    ValidationFlags {
  readonly data: string;
  readonly seed: number;
  readonly sequential?: boolean;
  readonly augment?: Augmentation;
  readonly log?: string;
  readonly statistics?: number;
  readonly findLr?: boolean;
  readonly tensorboard?: string;
  readonly report?: string;
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

/** Checkpoints that are kept where nothing is said of it. */
export const KEPT = 2;

const list = (text: string): readonly string[] => text.split(",").map((item) => item.trim());

/** Adds the options of how it is trained, whatever becomes of the result. */
export function withSteps(command: Command): Command {
  return command
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
    .option("--no-shuffle", "take the samples in file order")
    .option("--drop-last", "leave out a last batch that is smaller than the others");
}

export const SEQUENTIAL_HELP =
  "each sample goes on with the one before it: cut them into as many runs as a batch has samples, and take the next of each run, for models that carry state";

/** Adds the options of how it is trained, and where the result goes. */
export function withTraining(command: Command): Command {
  return withSteps(withValidation(command))
    .option("--seed <n>", "seed of the shuffling", wholeNumber(0), TRAIN_DEFAULTS.seed)
    .option("--sequential", SEQUENTIAL_HELP)
    .option(
      "--augment <list>",
      "change images at random, by seed, epoch and sample: flip, crop=<pixels>, cutout=<pixels>, mixup=<alpha>",
      augmentation,
    )
    .option("--log <file>", "write one JSON object per step and per epoch")
    .option(
      "--statistics <n>",
      "every n steps tell the norm of each gradient and the alpha of AGR (with --log, --json, --tensorboard or --report)",
      wholeNumber(1),
    )
    .option("--find-lr", "try learning rates, say which one to choose and why, and train nothing further")
    .option(
      "--tensorboard <folder>",
      "write a TensorBoard event file there: losses, histograms of --statistics, pictures of samples",
    )
    .option(
      "--report <file>",
      "write a report as one HTML file: curves, --statistics, the evaluation at the end with the worst predictions",
    )
    .option("-o, --output <file>", "write the trained checkpoint, in ONNX Runtime's format")
    .option(
      "--checkpoints <folder>",
      "save the run there at the end, when interrupted, and every --save-every steps (default, without -o: runs/train-<n>)",
    )
    .option("--save-every <n>", "steps between checkpoints", wholeNumber(1))
    .option("--keep <n>", "checkpoints to keep", wholeNumber(1), KEPT)
    .option("--resume <folder>", "go on from the newest checkpoint there, bit for bit")
    .option("--allow-mismatch <items>", "items that may differ from those of the run that is resumed", list, [])
    .option("--init-from <path>", "begin with the weights of a checkpoint, and an optimizer that begins anew")
    .option("--force", "replace files that exist");
}

const AUGMENTATION = /^(flip|crop|cutout|mixup)(?:=(\d+(?:\.\d+)?))?$/;

/** What is said twice, lacks its number or has one too many is no list of augmentations. */
function augmentation(text: string): Augmentation {
  const chosen: Record<string, true | number> = {};
  for (const part of text.split(",").map((each) => each.trim())) {
    const [, name = "", value] = AUGMENTATION.exec(part) ?? [];
    if (name === "" || name in chosen || (name === "flip") !== (value === undefined))
      throw new InvalidArgumentError(
        "Give a list of flip, crop=<pixels>, cutout=<pixels>, mixup=<alpha>: flip,crop=4.",
      );
    chosen[name] = value === undefined ? true : Number(value);
  }
  return chosen;
}

/** @param communicator the ranks that train */
export function trainOptions(options: TrainCommandOptions, communicator: Communicator): TrainOptions {
  const { epochs, seed, shuffle, accumulate, dropLast, averageMoments } = options;
  const { batchSize, globalBatchSize, localSteps, augment, sequential = false } = options;
  return {
    ...{
      epochs,
      seed,
      shuffle: shuffle && !sequential,
      sequential,
      accumulate,
      dropLast: dropLast === true,
      averageMoments,
      communicator,
    },
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(globalBatchSize === undefined ? {} : { globalBatchSize }),
    ...(localSteps === undefined ? {} : { localSteps }),
    ...(augment === undefined ? {} : { augment }),
  };
}

export function scheduleOf(
  { lr, schedule, warmupSteps }: Pick<StepsFlags, "lr" | "schedule" | "warmupSteps">,
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
