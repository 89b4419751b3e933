import { Command } from "commander";
import { decodeModel, encodeModel, putWeights, readExternalTensors, writeFileAtomic } from "../../entries/graph.ts";
import { trainingInputsOf } from "../../entries/run.ts";
import { encodeSafetensors } from "../../entries/training.ts";
import { type Model, readModel, TrainingSession, UsageError } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { requireState, type StepFlags, sourceAt, withStep, withWeightsAt } from "../source.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { collect } from "../values.ts";

interface ExportOptions extends StrictOption, StepFlags {
  readonly output: string;
  readonly checkpoint?: string;
  readonly tensor: readonly string[];
  readonly into?: string;
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
    .option(
      "--into <model>",
      "write that forward model, which the artifacts were built from, with the trained weights in its own types",
    )
    .option("--force", "replace a file that exists")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr export artifacts --checkpoint trained-checkpoint -o model.onnx
  onnx-agr export artifacts --checkpoint run --into half.onnx -o trained-half.onnx
  onnx-agr export step.onnx --checkpoint run -o model.onnx
  onnx-agr export step.onnx --checkpoint run -o state.safetensors`,
    )
    .action(async (folder: string, options: ExportOptions, command: Command) => {
      refuseBoth(options);
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      await checkTarget(null, options.output, { force: options.force === true, inPlace: false });
      const { given, check } = await sourceAt(folder, options, console);
      trainingInputsOf(given, folder);
      const source = await withWeightsAt(given, options.checkpoint);
      requireState(source, folder, "--checkpoint <path> or --init <file>");
      await check();
      const session = await TrainingSession.create(source);
      try {
        const bytes = await contentOf(session, given, options);
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

/** What is written, by the kind of file and options. */
async function contentOf(session: TrainingSession, given: WithEvalModel, options: ExportOptions): Promise<Uint8Array> {
  const { output, tensor, into } = options;
  if (output.toLowerCase().endsWith(".safetensors")) return stateOf(session);
  const exported = await session.exportModel(tensor.length === 0 ? undefined : tensor);
  return into === undefined ? exported : putInto(into, exported, given, options);
}

interface WithEvalModel {
  readonly evalModel: Model | null;
}

/** The forward model with the weights of an exported one. */
async function putInto(
  path: string,
  exported: Uint8Array,
  { evalModel }: WithEvalModel,
  options: ExportOptions,
): Promise<Uint8Array> {
  const trained = new Set(evalModel?.graph.inputs.map(({ name }) => name));
  const weights = decodeModel(exported).graph.initializers.flatMap(({ name, tensor }) =>
    tensor === null || !trained.has(name) ? [] : [[name, tensor] as const],
  );
  const model = await readModel(path, readingOf(options));
  await readExternalTensors(model);
  putWeights(model, new Map(weights));
  return encodeModel(model);
}

/** @throws UsageError `E_OPTION` for options that contradict each other */
function refuseBoth({ into, tensor, output }: ExportOptions): void {
  const other =
    tensor.length > 0
      ? "--tensor chooses others"
      : output.toLowerCase().endsWith(".safetensors")
        ? "-o asks for the state alone"
        : null;
  if (into === undefined || other === null) return;
  throw new UsageError("E_OPTION", `--into keeps the model as it is, and ${other}`, { hint: "Leave out one of them." });
}
