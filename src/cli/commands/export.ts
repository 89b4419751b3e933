import { Command } from "commander";
import {
  readTrainable,
  readWeights,
  TrainingSession,
  trainingInputsOf,
  withWeights,
  writeFileAtomic,
} from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { collect } from "../values.ts";

interface ExportOptions extends StrictOption {
  readonly output: string;
  readonly checkpoint?: string;
  readonly tensor: readonly string[];
  readonly force?: boolean;
}

export function exportCommand(io: Io): Command {
  return withStrict(new Command("export"))
    .description("Write an inference model with trained weights: the eval model without its loss")
    .argument("<folder>", "folder of training artifacts, ONNX Runtime's or portable ones")
    .requiredOption("-o, --output <file>", "the model to write")
    .option("--checkpoint <path>", "weights to use: a checkpoint file, or a folder of checkpoints")
    .option(
      "--tensor <name>",
      "tensor to give (default: the outputs but the loss, or what it is computed from); repeatable",
      collect,
      [],
    )
    .option("--force", "replace a file that exists")
    .addHelpText(
      "after",
      `
Example:
  onnx-agr export artifacts --checkpoint trained-checkpoint -o model.onnx`,
    )
    .action(async (folder: string, options: ExportOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      await checkTarget(null, options.output, { force: options.force === true, inPlace: false });
      const given = await readTrainable(folder, readingOf(options));
      trainingInputsOf(given, folder);
      const source =
        options.checkpoint === undefined ? given : withWeights(given, await readWeights(options.checkpoint));
      const session = await TrainingSession.create(source);
      try {
        const bytes = await session.exportModel(options.tensor.length === 0 ? undefined : options.tensor);
        await writeFileAtomic(options.output, [bytes]);
        console.result(
          { command: "export", output: options.output, bytes: bytes.length },
          `${options.output}: ${bytes.length} bytes`,
        );
      } finally {
        await session.release();
      }
    });
}
