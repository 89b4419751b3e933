import { type Command, InvalidArgumentError, Option } from "commander";
import { PRECISIONS, type Precision } from "../entries/graph.ts";
import type { BuildOptions } from "../index.ts";

/** Options that say how a forward model is read before anything is added to it. */
export interface ModelFlags {
  readonly dim: Readonly<Record<string, number>>;
  readonly precision?: Precision;
}

/** Adds --dim and --precision to a command. */
export function withModel(command: Command): Command {
  return command
    .option(
      "--dim <name=size>",
      "fix a size that the inputs leave open, as in batch=32; one without a name is <input>.<axis>; repeatable",
      size,
      {},
    )
    .addOption(
      new Option(
        "--precision <type>",
        "float32: train a float16 or bfloat16 model in float32 (default: as it is)",
      ).choices([...PRECISIONS]),
    );
}

const SIZE = /^(.+)=([1-9]\d*)$/s;

function size(text: string, earlier: ModelFlags["dim"]): ModelFlags["dim"] {
  const [, name, value] = SIZE.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("Give a name and a size: batch=32.");
  return { ...earlier, [name]: Number(value) };
}

export function modelOptionsOf({ dim, precision }: ModelFlags): Pick<BuildOptions, "sizes" | "precision"> {
  return { sizes: dim, ...(precision === undefined ? {} : { precision }) };
}
