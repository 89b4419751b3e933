import { type Command, InvalidArgumentError, Option } from "commander";
import { type HeadOptions, INITIALIZATIONS, type InitializeOptions } from "../entries/graph.ts";
import { OPTIMIZERS } from "../entries/training.ts";
import {
  BUILD_TARGETS,
  type BuildOptions,
  INSERT_AGR_DEFAULTS,
  LOSS_DEFAULTS,
  LOSS_KINDS,
  type LossKind,
  type LossOptions,
  OPTIMIZER_NAMES,
  type OptimizerName,
  type OptimizerOptions,
  type ParameterGroup,
} from "../index.ts";
import { type ModelFlags, modelOptionsOf } from "./model-options.ts";
import { withGroups } from "./parameter-groups.ts";
import { collect, nonNegative, wholeNumber } from "./values.ts";

/** Options that say what a model is trained for. */
export interface LossFlags {
  readonly loss: LossKind;
  readonly lossOutput?: string;
  readonly reduction: "mean" | "sum";
  readonly classAxis: number;
  readonly labelSmoothing: number;
  readonly ignoreIndex?: number;
  readonly classWeights?: readonly number[];
  readonly threshold: number;
  readonly positiveWeight: number;
}

export interface ParameterFlags {
  readonly params: readonly string[];
  readonly freeze: readonly string[];
}

export interface BuildFlags extends LossFlags, ParameterFlags, ModelFlags {
  readonly optimizer: OptimizerName;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly betas?: readonly number[];
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly mode?: "pytorch" | "transformers";
  readonly alpha?: number;
  readonly proximal?: number;
  readonly clipNorm?: number;
  readonly clipValue?: number;
  readonly centralize?: boolean;
  readonly transform?: readonly string[];
  readonly cautious?: boolean;
  readonly decayMinRank: number;
  readonly group: readonly ParameterGroup[];
  readonly agr?: boolean;
  readonly scope?: "tensor" | "channel" | "global";
  readonly strength?: number;
  readonly minElements?: number;
  readonly set: readonly (typeof BUILD_TARGETS)[number][];
  readonly lora?: number;
  readonly loraAlpha?: number;
  readonly target: readonly string[];
  readonly head?: HeadOptions;
  readonly qat?: boolean;
  readonly init: readonly InitializeOptions[];
  readonly initSeed: number;
  readonly layerDecay: number;
  readonly carry?: Readonly<Record<string, string>>;
}

const integer = wholeNumber(Number.MIN_SAFE_INTEGER);

function numbers(text: string): readonly number[] {
  const values = text.split(",").map(Number);
  if (text.trim() === "" || !values.every(Number.isFinite))
    throw new InvalidArgumentError("It must be numbers with commas between.");
  return values;
}

/** Adds the options of the loss. */
export function withLoss(command: Command): Command {
  return command
    .addOption(new Option("--loss <kind>", "what is made small").choices(LOSS_KINDS).makeOptionMandatory())
    .option("--loss-output <name>", "output the loss is computed from (default: the first of floating-point numbers)")
    .addOption(
      new Option("--reduction <kind>", "how a batch becomes one number")
        .choices(["mean", "sum"])
        .default(LOSS_DEFAULTS.reduction),
    )
    .option(
      "--class-axis <n>",
      "cross-entropy: axis of the classes; -1 for language models",
      integer,
      LOSS_DEFAULTS.classAxis,
    )
    .option(
      "--label-smoothing <x>",
      "cross-entropy: share of the target spread over all classes",
      nonNegative,
      LOSS_DEFAULTS.labelSmoothing,
    )
    .option("--ignore-index <n>", "cross-entropy: labels of this value do not count", integer)
    .option("--class-weights <list>", "cross-entropy: a weight per class", numbers)
    .option(
      "--threshold <x>",
      "smooth-l1 (beta), huber (delta): where the square ends",
      nonNegative,
      LOSS_DEFAULTS.threshold,
    )
    .option(
      "--positive-weight <x>",
      "bce-with-logits: weight of positive targets",
      nonNegative,
      LOSS_DEFAULTS.positiveWeight,
    );
}

/** Adds the options that choose parameters. */
export function withParameters(command: Command): Command {
  return command
    .option("--params <glob>", "train only parameters of these names; repeatable", collect, [])
    .option("--freeze <glob>", "leave parameters of these names as they are; repeatable", collect, []);
}

export function withOptimizer(command: Command): Command {
  const withOwn = command
    .addOption(new Option("--optimizer <name>", "update rule").choices(OPTIMIZER_NAMES).default("adamw"))
    .option("--momentum <x>", "sgd, rmsprop, muon", nonNegative)
    .option("--nesterov", "sgd: Nesterov's momentum")
    .option("--betas <list>", "adam, adamw, lamb, lion, muon, schedule-free-adamw: two; adan: three", numbers)
    .option("--eps <x>", "all but sgd and lion", nonNegative)
    .option(
      "--weight-decay <x>",
      "decoupled for adamw, adan, lion, muon and schedule-free-adamw, coupled for the others",
      nonNegative,
    )
    .addOption(
      new Option("--mode <name>", "adamw: as PyTorch or as Hugging Face transformers had it").choices([
        "pytorch",
        "transformers",
      ]),
    )
    .option("--alpha <x>", "rmsprop: smoothing of the squares", nonNegative)
    .option("--proximal <mu>", "FedProx: hold the parameters near where the training begins", nonNegative)
    .option("--clip-norm <x>", "limit the global norm of the gradients", nonNegative)
    .option("--clip-value <x>", "limit every element of the gradients", nonNegative)
    .option("--centralize", "gradient centralization")
    .option(
      "--transform <list>",
      "what is done to the gradients, in this order, in the place of the three above: clip-norm:<x>, clip-value:<x>, centralize, agc[:<x>], normalize, and agr, which says where AGR stands",
      (text: string) => text.split(",").map((each) => each.trim()),
    )
    .option("--cautious", "adamw, adan, lion: leave out of every update what points against the gradient")
    .option(
      "--decay-min-rank <n>",
      "portable: no weight decay for parameters of lower rank; 2 leaves out biases and norms",
      wholeNumber(0),
      0,
    );
  return withGroups(withOwn);
}

export function withAgr(command: Command): Command {
  return command
    .option("--agr", "put AGR before the optimizer")
    .addOption(new Option("--scope <scope>", "AGR: what |g| is summed over").choices(["tensor", "channel", "global"]))
    .option("--strength <s>", `AGR: 1 is the paper (default: ${INSERT_AGR_DEFAULTS.strength})`, nonNegative)
    .option(
      "--min-elements <n>",
      `AGR: leave smaller gradients alone (default: ${INSERT_AGR_DEFAULTS.minElements})`,
      wholeNumber(1),
    );
}

/** Adds the options of low-rank adapters. */
export function withLora(command: Command): Command {
  return command
    .option(
      "--lora <rank>",
      "add low-rank adapters to the weights that --target names, and train them alone",
      wholeNumber(1),
    )
    .option("--target <glob>", "LoRA: weights of MatMul and Gemm that get adapters; repeatable", collect, [])
    .option("--lora-alpha <x>", "LoRA: scale times the rank (default: the rank)", nonNegative);
}

/** Adds the option that trains through quantization. */
export function withQat(command: Command): Command {
  return command.option(
    "--qat",
    "train through QuantizeLinear and DequantizeLinear by straight-through estimation, and weights that are held as integers",
  );
}

/** Adds the options of what begins anew: the last layer, and parameters. */
export function withBeginning(command: Command): Command {
  return command
    .option(
      "--head <classes=n>",
      "put a fresh last layer for n classes in the place of the model's, and cut off a Softmax behind it",
      headOf,
    )
    .option(
      "--init <globs=kind>",
      `parameters that begin anew: ${INITIALIZATIONS.join(", ")}, as in 'head.*=zeros'; repeatable`,
      initOf,
      [],
    )
    .option("--init-seed <n>", "seed of --head and --init", wholeNumber(0), 0)
    .option(
      "--layer-decay <x>",
      "portable: what the learning rate is multiplied by from each layer to the one before it",
      nonNegative,
      1,
    );
}

function headOf(text: string): HeadOptions {
  const classes = /^classes=([1-9][0-9]*)$/.exec(text)?.[1];
  if (classes === undefined) throw new InvalidArgumentError("Give the number of classes: classes=7.");
  return { classes: Number(classes) };
}

function initOf(text: string, earlier: readonly InitializeOptions[]): readonly InitializeOptions[] {
  const at = text.lastIndexOf("=");
  const kind = INITIALIZATIONS.find((each) => each === text.slice(at + 1));
  if (at <= 0 || kind === undefined) {
    throw new InvalidArgumentError(`Give globs, "=" and one of ${INITIALIZATIONS.join(", ")}: 'head.*=zeros'.`);
  }
  return [...earlier, { parameters: text.slice(0, at).split(","), kind }];
}

export function withTargets(command: Command): Command {
  return command.addOption(
    new Option("--set <kind...>", "what to write (default: both, where the training API has the optimizer)")
      .choices([...BUILD_TARGETS])
      .default([]),
  );
}

/** The options without those that were not given. */
function given<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

export function lossOf(flags: LossFlags): LossOptions {
  const { loss, lossOutput: output, reduction, classAxis, labelSmoothing, threshold, positiveWeight } = flags;
  const { ignoreIndex, classWeights } = flags;
  return {
    ...{ kind: loss, reduction, classAxis, labelSmoothing, threshold, positiveWeight },
    ...given({ output, ignoreIndex, classWeights }),
  };
}

export function parametersOf({ params, freeze }: ParameterFlags): Pick<BuildOptions, "parameters" | "freeze"> {
  return { ...(params.length === 0 ? {} : { parameters: params }), freeze };
}

function optimizerOf(flags: BuildFlags): OptimizerOptions {
  const { optimizer: name, momentum, nesterov, betas = [], eps: epsilon, weightDecay, mode, alpha } = flags;
  const { proximal, clipNorm, clipValue, centralize, transform: transforms, cautious } = flags;
  const [beta1, beta2, beta3] = betas;
  return {
    name,
    ...given({ momentum, nesterov, beta1, beta2, beta3, epsilon, weightDecay, mode, alpha }),
    ...given({ proximal, clipNorm, clipValue, centralize, transforms, cautious }),
  };
}

export function buildOptionsOf(flags: BuildFlags): BuildOptions {
  const { agr, scope, strength, minElements, set, group, decayMinRank, lora: rank, loraAlpha: alpha, target } = flags;
  const { init, initSeed, layerDecay, head, qat, carry } = flags;
  return {
    ...parametersOf(flags),
    ...modelOptionsOf(flags),
    loss: lossOf(flags),
    optimizer: optimizerOf(flags),
    parameterGroups: group,
    decayMinRank,
    layerDecay,
    ...{ initialize: init, initSeed, ...given({ head, quantizationAware: qat, carry }) },
    ...(agr === true || flags.transform?.includes("agr") ? { agr: given({ scope, strength, minElements }) } : {}),
    ...(set.length === 0 ? {} : { targets: set }),
    ...(rank === undefined ? {} : { lora: { rank, targets: target, ...given({ alpha }) } }),
  };
}

/** The optimizers with their defaults, for the help. */
export const OPTIMIZER_HELP = Object.entries(OPTIMIZERS)
  .map(
    ([name, { defaults }]) =>
      `  ${name.padEnd(8)} ${Object.entries(defaults)
        .map(([key, value]) => `${key} ${value}`)
        .join(", ")}`,
  )
  .join("\n");
