import { Command } from "commander";
import { sha256 } from "../../entries/graph.ts";
import {
  fixedBatchSize,
  identityOf,
  isPortable,
  isStep,
  readRunManifest,
  trainingInputsOf,
} from "../../entries/run.ts";
import { encodeState } from "../../entries/training.ts";
import { evaluate, type Trainable, TrainingSession, UsageError } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { DATA_HELP, datasetOf, type InputFlags, withInputs } from "../input-options.ts";
import type { Io } from "../io.ts";
import { describeMetrics } from "../metrics.ts";
import { compareRanks, onRanks, type RankFlags, type Ranks, withMpi, withThreads } from "../ranks.ts";
import { hashesOfInputs, inputsOf, requireReadAsTrained } from "../run-identity.ts";
import { type RuntimeOptions, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { requireState, type StepFlags, sourceAt, withStep, withWeightsAt } from "../source.ts";
import { type StrictOption, withStrict } from "../strict.ts";
import { SEQUENTIAL_HELP } from "../train-options.ts";
import { wholeNumber } from "../values.ts";

interface EvalOptions extends RuntimeOptions, InputFlags, StrictOption, StepFlags, Pick<RankFlags, "mpi"> {
  readonly data: string;
  readonly batchSize: number;
  readonly sequential?: boolean;
  readonly checkpoint?: string;
}

export function evalCommand(io: Io): Command {
  const command = new Command("eval")
    .description("Run the eval model over data: the mean loss, and accuracy, top-5, F1 or errors, by what is predicted")
    .argument(
      "<path>",
      "folder of training artifacts, ONNX Runtime's or portable ones, or a file with a whole train step",
    )
    .requiredOption("--data <file>", `data: ${DATA_HELP}`);
  return withStep(withStrict(withInputs(withMpi(withRuntime(command)))))
    .option("--checkpoint <path>", "weights to use: a checkpoint file, or a folder of checkpoints")
    .option("--batch-size <n>", "samples per batch", wholeNumber(1), 32)
    .option("--sequential", SEQUENTIAL_HELP)
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr eval artifacts --data test.safetensors --checkpoint trained-checkpoint
  onnx-agr eval artifacts --data test.safetensors --checkpoint run --json
  onnx-agr eval step.onnx --data test.safetensors --checkpoint run`,
    )
    .action(async (folder: string, options: EvalOptions, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      io.exitCode = await onRanks(options, console, (communicator, own) =>
        evaluateFolder(folder, options, { communicator, console: own }),
      );
    });
}

/** Each rank takes its share of the batches. */
async function evaluateFolder(folder: string, options: EvalOptions, ranks: Ranks): Promise<number> {
  const { communicator, console } = ranks;
  if (options.normalize === "computed") {
    throw new UsageError("E_OPTION", "--normalize computed would take the mean of the data that are evaluated", {
      hint: "Give the numbers that train said: --normalize <mean>,<deviation>.",
    });
  }
  const { given, check } = await sourceAt(folder, options, console);
  const inputs = trainingInputsOf(given, folder);
  const source = await withWeightsAt(given, options.checkpoint);
  requireState(source, folder, "--checkpoint <path> or --init <file>");
  await check();
  const dataset = await datasetOf(inputs, options, (note) => console.note(note));
  const run = options.checkpoint === undefined ? null : await readRunManifest(options.checkpoint);
  if (run !== null) requireReadAsTrained(run.options, options, dataset, (note) => console.note(`warning: ${note}`));
  const fixed = fixedBatchSize(inputs, dataset);
  const batchSize = fixed ?? options.batchSize;
  const { sequential = false } = options;
  if (communicator.size > 1) {
    const hashes = { ...(await hashesOfInputs(options)), ...identityOf(given).hashes, weights: hashOfWeights(source) };
    await compareRanks(communicator, { options: { batchSize, sequential, ...inputsOf(options) }, hashes });
  }
  const session = await TrainingSession.create(source, sessionOptionsOf(await withThreads(options, ranks), source));
  try {
    const evaluation = await evaluate(session, dataset, { batchSize, communicator, sequential });
    const { samples, loss } = evaluation;
    const told = describeMetrics(evaluation);
    console.result(
      { command: "eval", runtime: session.runtime, samples, loss, ...told.json },
      [`${samples} samples, loss ${loss.toPrecision(6)}`, ...told.parts].join(", "),
    );
    return 0;
  } finally {
    await session.release();
  }
}

function hashOfWeights(source: Trainable): string {
  if (!isPortable(source) && !isStep(source)) return sha256(source.checkpoint ?? new Uint8Array());
  return source.state === null ? "" : sha256(encodeState(source.state));
}
