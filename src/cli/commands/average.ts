import { Command, InvalidArgumentError, Option } from "commander";
import { writeFileAtomic } from "../../entries/graph.ts";
import { averageCheckpoints } from "../../entries/run.ts";
import { AVERAGE_DEFAULTS, AVERAGE_METHODS, type AverageMethod } from "../../entries/training.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { checkTarget } from "../target.ts";
import { nonNegative } from "../values.ts";

interface AverageCommandOptions {
  readonly output: string;
  readonly weights?: readonly number[];
  readonly method: AverageMethod;
  readonly trim?: number;
  readonly force?: boolean;
}

function weights(text: string): readonly number[] {
  const values = text.split(",").map((each) => (each.trim() === "" ? Number.NaN : Number(each)));
  if (values.every((value) => Number.isFinite(value) && value >= 0)) return values;
  throw new InvalidArgumentError("It must be numbers from 0 on with commas between.");
}

export function averageCommand(io: Io): Command {
  return new Command("average")
    .description("Average checkpoints that were trained apart: parameters, statistics and optimizer moments")
    .argument("<checkpoints...>", "files of one kind, safetensors or ONNX Runtime's, or folders of checkpoints")
    .requiredOption("-o, --output <file>", "the averaged checkpoint, of the same kind")
    .option(
      "--weights <list>",
      "mean: how much each counts, its number of samples say (default: all the same)",
      weights,
    )
    .addOption(
      new Option("--method <name>", "trimmed-mean and median are robust against a few that are far off")
        .choices(AVERAGE_METHODS)
        .default(AVERAGE_DEFAULTS.method),
    )
    .option("--trim <x>", `trimmed-mean: share left out at either end (default: ${AVERAGE_DEFAULTS.trim})`, nonNegative)
    .option("--force", "replace a file that exists")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr average a.safetensors b.safetensors --weights 100,300 -o c.safetensors
  onnx-agr average run-a run-b run-c --method median -o c.safetensors
  onnx-agr train artifacts --data own.npz --init-from c.safetensors --checkpoints run-a`,
    )
    .action(async (paths: readonly string[], options: AverageCommandOptions, self: Command) => {
      await average(paths, options, new Console(io, self.optsWithGlobals<OutputOptions>()));
    });
}

async function average(
  paths: readonly string[],
  { output, weights: given, method, trim, force }: AverageCommandOptions,
  console: Console,
): Promise<void> {
  for (const path of paths) await checkTarget(path, output, { force: force === true, inPlace: false });
  const { parts, kind, averaged, same, steps } = await averageCheckpoints(paths, {
    method,
    ...(given === undefined ? {} : { weights: given }),
    ...(trim === undefined ? {} : { trim }),
  });
  if (new Set(steps).size > 1) {
    console.note(`they were trained for ${steps.join(", ")} steps; the average says ${Math.max(...steps.map(Number))}`);
  }
  await writeFileAtomic(output, parts);
  console.result(
    { command: "average", inputs: paths, output, kind, method, averaged: averaged.length, same: same.length, steps },
    `${output}: ${averaged.length} tensors averaged over ${paths.length} checkpoints, ${same.length} the same in all`,
  );
}
