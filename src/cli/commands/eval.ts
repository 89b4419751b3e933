import { Command } from "commander";
import {
  batches,
  type Communicator,
  type Dataset,
  DataType,
  encodeState,
  exchangeNumbers,
  fixedBatchSize,
  type InputSpec,
  identityOf,
  isPortable,
  isStep,
  type NamedTensors,
  samplesOf,
  sha256,
  type Trainable,
  TrainingSession,
  trainingInputsOf,
  UsageError,
} from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { DATA_HELP, datasetOf, type InputFlags, withInputs } from "../input-options.ts";
import type { Io } from "../io.ts";
import { compareRanks, onRanks, type RankFlags, type Ranks, withMpi, withThreads } from "../ranks.ts";
import { hashesOfInputs } from "../run-identity.ts";
import { type RuntimeOptions, sessionOptionsOf, withRuntime } from "../session-options.ts";
import { requireState, type StepFlags, sourceAt, withStep, withWeightsAt } from "../source.ts";
import { type StrictOption, withStrict } from "../strict.ts";
import { wholeNumber } from "../values.ts";

interface EvalOptions extends RuntimeOptions, InputFlags, StrictOption, StepFlags, Pick<RankFlags, "mpi"> {
  readonly data: string;
  readonly batchSize: number;
  readonly checkpoint?: string;
}

export function evalCommand(io: Io): Command {
  const command = new Command("eval")
    .description("Run the eval model over data: the mean loss, and the accuracy where there are classes")
    .argument(
      "<path>",
      "folder of training artifacts, ONNX Runtime's or portable ones, or a file with a whole train step",
    )
    .requiredOption("--data <file>", `data: ${DATA_HELP}`);
  return withStep(withStrict(withInputs(withMpi(withRuntime(command)))))
    .option("--checkpoint <path>", "weights to use: a checkpoint file, or a folder of checkpoints")
    .option("--batch-size <n>", "samples per batch", wholeNumber(1), 32)
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
        evaluate(folder, options, { communicator, console: own }),
      );
    });
}

/** Each rank takes its share of the batches. */
async function evaluate(folder: string, options: EvalOptions, ranks: Ranks): Promise<number> {
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
  const fixed = fixedBatchSize(inputs, dataset);
  const batchSize = fixed ?? options.batchSize;
  if (communicator.size > 1) {
    const hashes = { ...(await hashesOfInputs(options)), ...identityOf(given).hashes, weights: hashOfWeights(source) };
    await compareRanks(communicator, { options: { batchSize }, hashes });
  }
  const session = await TrainingSession.create(source, sessionOptionsOf(await withThreads(options, ranks), source));
  try {
    const totals = new Totals(session.evalOutputNames, inputs);
    let batch = 0;
    for (const feeds of inOrder(dataset, batchSize)) {
      if (batch++ % communicator.size !== communicator.rank) continue;
      totals.add(feeds, samplesOf(dataset, feeds), await session.runEvalStep(feeds));
    }
    await totals.reduce(communicator);
    const { loss, accuracy, samples } = totals;
    console.result(
      { command: "eval", runtime: session.runtime, samples, loss, accuracy },
      `${samples} samples, loss ${loss.toPrecision(6)}${accuracy === null ? "" : `, accuracy ${(accuracy * 100).toFixed(2)} %`}`,
    );
    return 0;
  } finally {
    await session.release();
  }
}

const inOrder = (dataset: Dataset, batchSize: number): Iterable<NamedTensors> =>
  batches(dataset, 0, { batchSize, shuffle: false, seed: 0, dropLast: false });

function hashOfWeights(source: Trainable): string {
  if (!isPortable(source) && !isStep(source)) return sha256(source.checkpoint ?? new Uint8Array());
  return source.state === null ? "" : sha256(encodeState(source.state));
}

/** Sums over batches. The loss is taken to be a mean over the samples of its batch, as training artifacts have it. */
class Totals {
  samples = 0;
  readonly #lossName: string;
  readonly #labels: string | null;
  readonly #outputs: readonly string[];
  #loss = 0;
  #right = 0;
  #judged = 0;

  constructor(outputs: readonly string[], inputs: readonly InputSpec[]) {
    const [loss = "", ...others] = outputs;
    this.#lossName = loss;
    this.#outputs = others;
    const labels = inputs.filter(({ dtype, shape }) => dtype === DataType.int64 && shape?.length === 1);
    this.#labels = labels.length === 1 ? (labels[0]?.name ?? null) : null;
  }

  /** Adds up what all ranks have. */
  async reduce(communicator: Communicator): Promise<void> {
    const own = [this.samples, this.#loss, this.#right, this.#judged];
    const all = await exchangeNumbers(communicator, own);
    const [samples = 0, loss = 0, right = 0, judged = 0] = own.map((_, index) =>
      all.reduce((sum, numbers) => sum + (numbers[index] ?? 0), 0),
    );
    this.samples = samples;
    [this.#loss, this.#right, this.#judged] = [loss, right, judged];
  }

  get loss(): number {
    return this.#loss / this.samples;
  }

  /** Null where there is not one vector of labels and one matrix of scores. */
  get accuracy(): number | null {
    return this.#judged === 0 ? null : this.#right / this.#judged;
  }

  add(feeds: NamedTensors, count: number, results: NamedTensors): void {
    this.samples += count;
    this.#loss += Number(results[this.#lossName]?.data[0]) * count;
    const labels = this.#labels === null ? undefined : feeds[this.#labels];
    const scores = this.#outputs.map((name) => results[name]).find((each) => each?.dims.length === 2);
    if (labels === undefined || scores === undefined) return;
    const [rows = 0, classes = 0] = scores.dims;
    const values = scores.data as Float32Array;
    for (let row = 0; row < rows; row++) {
      const own = values.subarray(row * classes, (row + 1) * classes);
      if (own.indexOf(Math.max(...own)) === Number(labels.data[row])) this.#right++;
      this.#judged++;
    }
  }
}
