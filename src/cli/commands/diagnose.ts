import { Command } from "commander";
import { DataType, type GradientReport, GraphTensor, reportGradients, writeFileAtomic } from "../../entries/graph.ts";
import { fixedBatchSize, planTraining, readBatches, trainingInputsOf } from "../../entries/run.ts";
import { encodeSafetensors } from "../../entries/training.ts";
import { readTrainable, readWeights, TrainingSession, withWeights } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { DATA_HELP, datasetOf, type InputFlags, withInputs } from "../input-options.ts";
import type { Io } from "../io.ts";
import { sessionOptionsOf } from "../session-options.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { nonNegative, wholeNumber } from "../values.ts";

interface DiagnoseOptions extends InputFlags, StrictOption {
  readonly data: string;
  readonly batchSize?: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly checkpoint?: string;
  readonly strength: number;
  readonly save?: string;
  readonly force?: boolean;
}

export function diagnoseCommand(io: Io): Command {
  return withStrict(withInputs(new Command("diagnose")))
    .description("Per parameter: how large the gradient of one batch is, its largest alpha, and what AGR changes")
    .argument("<folder>", "folder of training artifacts, ONNX Runtime's or portable ones")
    .requiredOption("--data <file>", `data: ${DATA_HELP}`)
    .option("--batch-size <n>", "samples of the batch (default: what the model asks for, else 32)", wholeNumber(1))
    .option("--seed <n>", "seed of the shuffling", wholeNumber(0), 0)
    .option("--no-shuffle", "take the first samples of the file")
    .option("--checkpoint <path>", "weights to use: a checkpoint file, or a folder of checkpoints")
    .option("--strength <s>", "strength of AGR", nonNegative, 1)
    .option("--save <file>", "write the gradients as safetensors")
    .option("--force", "replace a file that exists")
    .action(async (folder: string, options: DiagnoseOptions, command: Command) => {
      await diagnose(folder, options, new Console(io, command.optsWithGlobals<OutputOptions>()));
    });
}

async function diagnose(folder: string, options: DiagnoseOptions, console: Console): Promise<void> {
  const { save, seed, shuffle, batchSize, force } = options;
  if (save !== undefined) await checkTarget(null, save, { force: force === true, inPlace: false });
  const given = await readTrainable(folder, readingOf(options));
  const inputs = trainingInputsOf(given, folder);
  const source = options.checkpoint === undefined ? given : withWeights(given, await readWeights(options.checkpoint));
  const dataset = await datasetOf(inputs, options, (note) => console.note(note));
  const chosen = { seed, shuffle, ...(batchSize === undefined ? {} : { batchSize }) };
  const isFixed = fixedBatchSize(inputs, dataset) !== undefined;
  /** One batch is looked at: it may be smaller than asked for, and what does not fill another is no matter. */
  const plan = planTraining(inputs, dataset, { ...chosen, dropLast: isFixed });
  const session = await TrainingSession.create(source, { ...sessionOptionsOf({}, source), runtime: "ort-node" });
  try {
    const { value: feeds = {} } = await readBatches(dataset, 0, plan).next();
    const outputs = await session.runTrainStep(feeds);
    const gradients = await session.getGradients();
    const loss = Number(outputs[session.trainingOutputNames[0] ?? ""]?.data[0]);
    const reports = reportGradients(gradients, options.strength);
    if (save !== undefined) {
      const tensors = Object.entries(gradients).map(([name, { data, dims }]) => ({
        name,
        tensor: GraphTensor.from(DataType.float, [...dims], data as Float32Array),
      }));
      await writeFileAtomic(save, [encodeSafetensors(tensors)]);
    }
    console.result({ command: "diagnose", loss, gradients: reports, output: save ?? null }, table(loss, reports));
  } finally {
    await session.release();
  }
}

function table(loss: number, reports: readonly GradientReport[]): readonly string[] {
  const rows = reports.map(({ parameter, shape, norm, largest, largestAlpha, change, notice }) => [
    parameter,
    `[${shape.join(",")}]`,
    norm.toExponential(2),
    largest.toExponential(2),
    largestAlpha.toFixed(4),
    `${(change * 100).toFixed(2)} %`,
    notice ?? "",
  ]);
  const all = [["parameter", "shape", "norm", "largest |g|", "largest alpha", "AGR changes", ""], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [`loss ${loss.toPrecision(6)}`, ...lines];
}
