import { type Command, InvalidArgumentError, Option } from "commander";
import {
  BATCH_NORM_STATISTICS,
  type BatchNormStatistics,
  INITIAL_LOSS_SCALE,
  type LossScale,
  PRECISIONS,
  type Precision,
} from "../entries/graph.ts";
import type { BuildOptions } from "../index.ts";

/** Options that say how a forward model is read before anything is added to it. */
export interface ModelFlags {
  readonly dim: Readonly<Record<string, number>>;
  readonly precision?: Precision;
  readonly lossScale?: LossScale;
  readonly batchNorm?: BatchNormStatistics;
  readonly winograd?: boolean;
}

/** Adds --dim, --batch-norm, --precision and, where it takes others than float32, --loss-scale and --no-winograd to a command. */
export function withModel(command: Command, precisions: readonly Precision[] = PRECISIONS): Command {
  command
    .option(
      "--dim <name=size>",
      "fix a size that the inputs leave open, as in batch=32; one without a name is <input>.<axis>; repeatable",
      size,
      {},
    )
    .addOption(
      new Option(
        "--batch-norm <statistics>",
        "what BatchNormalization normalizes by while it is trained: each batch's statistics, or the running ones, which stay as they are (default: as each is in a file that was exported in train mode, else batch)",
      ).choices([...BATCH_NORM_STATISTICS]),
    )
    .addOption(
      new Option(
        "--precision <type>",
        precisions.length === 1
          ? "float32: take a float16 or bfloat16 model in float32 (default: as it is)"
          : "float32: train a float16 or bfloat16 model in float32; float16, bfloat16: mixed precision, products in that type over float32 parameters (default: as the model is)",
      ).choices([...precisions]),
    );
  return precisions.length === 1 ? command : withWinograd(withLossScale(command));
}

function withWinograd(command: Command): Command {
  return command.option(
    "--no-winograd",
    "keep the sums of wide 3x3 convolutions, which round less than Winograd's products that cost less",
  );
}

/** Adds the option of mixed precision's scale of the loss. */
function withLossScale(command: Command): Command {
  return command.option(
    "--loss-scale <x>",
    "portable, with --precision float16 or bfloat16: what the loss is multiplied by before its gradients are taken; dynamic, or dynamic:<first>, is doubled after 2000 updates in a row and halved where a gradient is not finite, whose update is left out (default: dynamic with float16, 1 with bfloat16)",
    lossScaleOf,
  );
}

function lossScaleOf(text: string): LossScale {
  const [, isDynamic, number = isDynamic === undefined ? "" : String(INITIAL_LOSS_SCALE)] =
    /^(?:(dynamic)(?::|$))?(.+)?$/.exec(text) ?? [];
  const scale = Number(number);
  if (!(scale > 0 && Number.isFinite(scale)))
    throw new InvalidArgumentError("Give a number above 0, dynamic or dynamic:65536.");
  return isDynamic === undefined ? scale : { initial: scale };
}

const SIZE = /^(.+)=([1-9]\d*)$/s;

function size(text: string, earlier: ModelFlags["dim"]): ModelFlags["dim"] {
  const [, name, value] = SIZE.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("Give a name and a size: batch=32.");
  return { ...earlier, [name]: Number(value) };
}

/** Adds the option of states that go on from batch to batch. */
export function withCarry(command: Command): Command {
  return command.option(
    "--carry <input=output>",
    "portable: an input that takes over an output of the batch before, without a gradient through it (truncated back-propagation through time); repeatable",
    carryOf,
    {},
  );
}

function carryOf(text: string, earlier: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const [, input, output] = /^(.+?)=(.+)$/s.exec(text) ?? [];
  if (input === undefined || output === undefined)
    throw new InvalidArgumentError("Give an input and an output: h0=hn.");
  return { ...earlier, [input]: output };
}

export function modelOptionsOf({
  dim,
  precision,
  lossScale,
  batchNorm,
  winograd,
}: ModelFlags): Pick<BuildOptions, "sizes" | "precision" | "lossScale" | "batchNorm" | "winograd"> {
  return {
    sizes: dim,
    ...(precision === undefined ? {} : { precision }),
    ...(lossScale === undefined ? {} : { lossScale }),
    ...(batchNorm === undefined ? {} : { batchNorm }),
    ...(winograd === undefined ? {} : { winograd }),
  };
}
