import { Command } from "commander";
import { encodeSafetensors, TrainingSession, trainingInputsOf, writeFileAtomic } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { requireState, type StepFlags, sourceAt, withStep, withWeightsAt } from "../source.ts";
import { type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { collect } from "../values.ts";

interface ExportOptions extends StrictOption, StepFlags {
  readonly output: string;
  readonly checkpoint?: string;
  readonly tensor: readonly string[];
  readonly force?: boolean;
}

export function exportCommand(io: Io): Command {
  return withStep(withStrict(new Command("export")))
    .description("Write an inference model with trained weights: the eval model without its loss")
    .argument(
      "<path>",
      "folder of training artifacts, ONNX Runtime's or portable ones, or a file with a whole train step",
    )
    .requiredOption(
      "-o, --output <file>",
      "the model to write; where it ends in .safetensors, the weights and the optimizer's state",
    )
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
Examples:
  onnx-agr export artifacts --checkpoint trained-checkpoint -o model.onnx
  onnx-agr export step.onnx --checkpoint run -o model.onnx
  onnx-agr export step.onnx --checkpoint run -o state.safetensors`,
    )
    .action(async (folder: string, options: ExportOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      await checkTarget(null, options.output, { force: options.force === true, inPlace: false });
      const { given, check } = await sourceAt(folder, options, console);
      trainingInputsOf(given, folder);
      const source = await withWeightsAt(given, options.checkpoint);
      requireState(source, folder, "--checkpoint <path> or --init <file>");
      await check();
      const session = await TrainingSession.create(source);
      try {
        const bytes = options.output.toLowerCase().endsWith(".safetensors")
          ? await stateOf(session)
          : await session.exportModel(options.tensor.length === 0 ? undefined : options.tensor);
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

/** The state by its names, as any library reads it, and `--init` takes it. */
async function stateOf(session: TrainingSession): Promise<Uint8Array> {
  const { tensors } = await session.getState();
  return encodeSafetensors([...tensors].map(([name, tensor]) => ({ name, tensor })));
}
